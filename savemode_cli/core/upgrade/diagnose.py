"""
The rule `diagnose`: ask the API why its cache missed.

Rule of this file: it adds the parameter `diagnostics` to a request that has none, and changes nothing else. It names the answer
before it in the same conversation; the first request asks to be remembered.
Source: the cache diagnostics of the Messages API (SDK 2.14.0, checked 2026-11-29): generally available, no beta header, not on
Bedrock and Vertex.
"""

import re
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from savemode_cli.core.upgrade.edits import Edit, RuleInput, RuleOutput, Skip
from savemode_cli.core.upgrade.rules import DIAGNOSE
from savemode_cli.core.wire.diagnostics import DIAGNOSTICS, parameter
from savemode_cli.core.wire.models import is_cloud_model

_SPACE: Final = b" \t\r\n"
_BEGINS: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"')
"""An object with a member: what is inserted before it ends with a comma."""


class _Own(Struct, gc=False):
    diagnostics: Any | UnsetType = UNSET


_decode_own = msgspec.json.Decoder(_Own).decode


def diagnose(request: RuleInput) -> RuleOutput:
    """
    The edit that asks for a diagnosis, or why there is none.
    """
    if DIAGNOSE not in request.policy.rules:
        return [], []
    skip = _skip(request)
    if skip is not None:
        return [], [Skip(DIAGNOSE, (), *skip)]
    body = request.body
    at = len(body) - len(body.lstrip(_SPACE)) + 1
    before = request.previous_message_id
    inserted = parameter(before) + b","
    beside = body[at - 1 : at + 1].decode("latin-1")
    edit = Edit(
        rule=DIAGNOSE,
        path=(DIAGNOSTICS,),
        after={"previous_message_id": before},
        at=at,
        removed=b"",
        inserted=inserted,
        was=beside,
        becomes=f"{beside[0]}{inserted.decode()}{beside[1:]}",
        why="ask the API why its cache missed" if before else "ask the API to remember the request",
    )
    return [edit], []


def _skip(request: RuleInput) -> tuple[str, str] | None:
    """
    The code and the words of why a request is left alone; None if it is not.
    """
    facts, caller, policy = request.facts, request.caller, request.policy
    if facts.problem or _BEGINS.match(request.body) is None:
        return "unreadable", "the body cannot be read"
    if caller.oauth and not policy.allow_oauth:
        return "oauth", "a subscription pays (--allow-oauth-edits edits its requests too)"
    if caller.provider == "bedrock" or is_cloud_model(facts.model or ""):
        return "cloud", "Bedrock and Vertex have no cache diagnostics"
    if DIAGNOSTICS.encode() in request.body or b"\\u00" in request.body:
        try:
            own = _decode_own(request.body).diagnostics
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return "unreadable", "the body cannot be read"
        if own is not UNSET:
            return "own", "the client asks for a diagnosis itself"
    return None
