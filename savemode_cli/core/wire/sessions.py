"""
To which conversation and which trace a request belongs: read from its headers, and from the facts of its body.

Rule of this file: the same conversation has the same key in every process. A key is a hash unless the client names the
conversation.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress

from msgspec.structs import replace

from savemode_cli.core.remembered import remembered
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts

_SESSION_IN_USER_ID = re.compile(r"_session_([0-9a-fA-F-]{36})$")


def trace_id(caller: Caller, user_id: object, fresh: Callable[[], str]) -> str:
    """
    The trace of a request: from `traceparent`, else from `metadata.user_id`, else `fresh`, which makes a UUID4.

    A `user_id` that is a UUID is used as it is. Any other gives a UUID5 that is the same each time; if it is an object,
    the order of its keys does not matter.
    """
    if caller.trace_id is not None:
        return caller.trace_id
    if user_id is None or user_id in ("", {}):
        return fresh()
    return _trace_of_text(user_id) if isinstance(user_id, str) else _trace_of_words(_stable(user_id))


@remembered
def _trace_of_text(user_id: str) -> str:
    with suppress(ValueError):
        return str(uuid.UUID(user_id))
    return _trace_of_words(_stable(user_id))


def _trace_of_words(words: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, words))


def session_key(caller: Caller, known: Facts) -> str:
    """
    The conversation to which a request belongs, as a short opaque key. A sub-agent has a key of its own.

    The key comes from a header that names a conversation; else from the session inside `metadata.user_id`; else it is a
    hash. The hash includes the beginning of the conversation (model, system, tools, first user message) and everything
    that identifies its owner: the credential, the person, PostHog's session, and the whole `metadata.user_id`. It does
    not include the trace, because a conversation may have a new one for each turn.
    """
    session = named_session(caller, known)
    if session is not None:
        return named_session_key(caller.product, caller.agent_id or "", session)
    parts = [caller.product, caller.agent_id or "", caller.key_fingerprint, known.model or ""]
    parts.append(hashlib.sha256(b"\0".join(known.opening)).hexdigest())
    whose = (caller.distinct_id, caller.posthog_session_id, _stable(known.user_id))
    parts += [f"{number} {text}" for number, text in enumerate(whose) if text]
    return _session_key(parts)


def session_and_conversation(caller: Caller, known: Facts) -> tuple[str, str]:
    """
    Both keys of a request: see `session_key` and `conversation_key`.
    """
    named = named_session(caller, known)
    if named is not None:
        return named_session_key(caller.product, caller.agent_id or "", named), named
    key = session_key(caller, known)
    return key, (key if caller.agent_id is None else conversation_key(caller, known))


def named_session_key(product: str, agent: str, session: str) -> str:
    """
    The key of a conversation whose client names it.

    Args:
        product: the product of its requests.
        agent: the ID of the sub-agent, "" for the main conversation.
        session: the ID that the client gives the session.
    """
    return _session_key((product, agent, session))


def _session_key(parts: Iterable[str]) -> str:
    return _hashed("\0".join(parts))


@remembered
def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def named_session(caller: Caller, known: Facts) -> str | None:
    """
    The session that a request names, in a header or in `metadata.user_id`; None if it names none.
    """
    return caller.session_id or _session_in(known.user_id)


def conversation_key(caller: Caller, known: Facts | None) -> str:
    """
    The conversation to which a request belongs. For a sub-agent this is the conversation for which it works. It is the
    client's name, or else a short opaque key.

    Args:
        caller: who sends the request.
        known: what is known about the body; None if nobody read it. Without a header that names the conversation, the
            result is then empty.
    """
    if known is None:
        return caller.session_id or ""
    return named_session(caller, known) or session_key(replace(caller, agent_id=None), known)


def _stable(user_id: object) -> str:
    """
    The same text for the same `metadata.user_id`, whatever the order of its keys; empty if there is none.
    """
    if user_id is None or user_id in ("", {}):
        return ""
    if isinstance(user_id, str):
        return _sorted_json(user_id)
    return json.dumps(user_id, sort_keys=True, separators=(",", ":"))


@remembered
def _sorted_json(text: str) -> str:
    """
    The text itself. If it is a JSON object, the same object with sorted keys.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(read, sort_keys=True, separators=(",", ":")) if isinstance(read, dict) else text


def _session_in(user_id: object) -> str | None:
    if isinstance(user_id, str):
        return _session_in_text(user_id)
    session = user_id.get("session_id") if isinstance(user_id, dict) else None
    return session if isinstance(session, str) and session else None


@remembered
def _session_in_text(user_id: str) -> str | None:
    match = _SESSION_IN_USER_ID.search(user_id)
    if match is not None:
        return match[1]
    try:
        read = json.loads(user_id)
    except (ValueError, RecursionError):
        return None
    return None if isinstance(read, str) else _session_in(read)
