"""
Request bodies with `cache_control` in many places, and what is found and upgraded in them.
"""

import json
from typing import Any

from savemode_cli.core.upgrade.edits import revert
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.messages import (
    dotted,
)
from tests.support.oracle import MARK, additions

BARE = {"type": "ephemeral"}
BARE_KEY = b'"cache_control":{"type":"ephemeral"}'
PERSON = Caller("posthog_code", idle_prone=True)


def block(**more: Any) -> dict[str, Any]:
    """
    A text block with a bare marker.
    """
    return {"type": "text", "text": "x", "cache_control": BARE, **more}


def raw(body: Any) -> bytes:
    """
    The body as a compact client writes it.
    """
    return json.dumps(body, separators=(",", ":")).encode()


def found(body: bytes) -> list[tuple[str, str]]:
    """
    The place and kind of each breakpoint, in order.
    """
    return [(dotted(one.path), one.kind) for one in facts(body).breakpoints]


def upgraded(body: bytes) -> list[str]:
    """
    Where a TTL was added, after a check of the bytes.
    """
    done = transform(body, Policy("always"), PERSON)
    assert body == revert(done.body, done.edits)
    assert [edit.path for edit in sorted(done.edits, key=lambda edit: edit.at)] == [
        one.path for one in (additions(body, done.body) if done.edits else [])
    ]
    return [dotted(edit.path[:-2]) for edit in done.edits]


ONE_KEY = b'{"system":[{"type":"text","text":"x",%b}]}'


def many_blocks(count: int) -> bytes:
    """
    Tiny blocks, of which every tenth is nested and the last is marked.
    """
    small: list[Any] = [{"type": "text"}, *[{}] * 8, {"content": [{}]}]
    return raw({"system": [*small * (count // 10), block()]})


def many_markers(count: int) -> bytes:
    """
    Nothing but marked blocks.
    """
    return raw({MARK: BARE, "messages": [{"role": "user", "content": [block()] * count}]})


def many_decoys(count: int) -> bytes:
    """
    One text full of what looks like markers.
    """
    return raw({"system": [block(text='"cache_control":{"type":"ephemeral"} "cache_control" ' * count)]})


def many_keys_in_input(count: int) -> bytes:
    """
    Real keys of the marker's name in the user's own data.
    """
    return raw({"messages": [{"content": [{"type": "tool_use", "input": [{MARK: BARE}] * count}, block()]}]})


def many_unknown_places(count: int) -> bytes:
    """
    Markers where nobody documents one.
    """
    return raw({"system": [block(), block(extra=[{MARK: BARE}] * count)]})


def many_hidden(count: int) -> bytes:
    """
    One key over and over in one object.
    """
    return b'{"system":[{%b}]}' % b",".join([BARE_KEY] * count)


def many_open_markers(count: int) -> bytes:
    """
    Long markers that never become a flat object.
    """
    return raw({"system": [block(cache_control={"a": "x{" * 200, "b": {}})] * count})


def many_escaped_keys(count: int) -> bytes:
    """
    Marked blocks whose keys are spelled with escapes.
    """
    return many_markers(count).replace(b'"cache_control"', b'"cache\\u005fcontrol"')
