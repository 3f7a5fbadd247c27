"""
The pages of the simulated upstream that the API does not have: its clock, its usage, its script and its faults.

Rule of this file: a page shows or replaces a part of the upstream's state; `upstream` decides what the state means.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from savemode_cli.core.errors import SavemodeError
from savemode_cli.simulated.call import Call
from savemode_cli.simulated.faults import Fault, parse
from savemode_cli.simulated.script import parse_script

if TYPE_CHECKING:
    from savemode_cli.simulated.upstream import SimulatedUpstream

Object = dict[str, Any]
SCHEMA_VERSION = 1


async def page(upstream: "SimulatedUpstream", call: Call) -> None:
    """
    Answer a request for one of `PAGES`: GET shows the state, POST changes it.
    """
    show, change = PAGES[call.path]
    raw = await call.body()
    if call.method == "POST" and change is not None:
        try:
            change(upstream, _read_object(raw))
        except (ValueError, SavemodeError) as error:
            hint = getattr(error, "hint", "")
            return await call.refuse(400, "invalid_request_error", f"{error}; {hint}" if hint else str(error))
    elif call.method not in ("GET", "HEAD"):
        return await call.refuse(405, "invalid_request_error", "Method Not Allowed")
    return await call.answer(200, msgspec.json.encode({"schema_version": SCHEMA_VERSION, **show(upstream)}), [])


def _read_object(raw: bytes) -> Object:
    try:
        read = msgspec.json.decode(raw or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise ValueError("send a JSON object")
    return read


def _single_value(received: Object, name: str, example: str) -> Any:
    if set(received) != {name}:
        raise ValueError(f"send {example}")
    return received[name]


def _show_health(_upstream: "SimulatedUpstream") -> Object:
    return {"status": "ok", "simulated": True}


def _show_clock(upstream: "SimulatedUpstream") -> Object:
    return {"now": upstream.clock().isoformat(), "turned_s": upstream.clock.turned_s}


def _advance_clock(upstream: "SimulatedUpstream", received: Object) -> None:
    seconds = _single_value(received, "advance_s", '{"advance_s": 600}')
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise ValueError("advance_s must be a number of seconds")
    try:
        upstream.clock.advance(seconds)
    except ValueError as error:
        raise ValueError(f"advance_s must be {error}") from None


def _show_state(upstream: "SimulatedUpstream") -> Object:
    return {
        "simulated": True,
        "tokens": "estimated",
        **_show_clock(upstream),
        **upstream.usage_totals.to_json(),
        "cache_entries": len(upstream.cache),
    }


def _reset(upstream: "SimulatedUpstream", _received: Object) -> None:
    upstream.reset()


def _show_faults(upstream: "SimulatedUpstream") -> Object:
    return {"faults": [_fault(fault) for fault in upstream.faults.remaining]}


def _fault(fault: Fault) -> Object:
    shown: Object = {"name": fault.name, "count": fault.count}
    given = {"status": fault.status, "type": fault.api_type, "after_events": fault.after, "seconds_s": fault.seconds}
    return shown | {key: value for key, value in given.items() if value}


def _set_faults(upstream: "SimulatedUpstream", received: Object) -> None:
    words = _single_value(received, "faults", '{"faults": ["status=529*2"]}, or an empty list')
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("faults must be a list of strings")
    upstream.faults.set(fault for word in words for fault in parse(word))


def _show_script(upstream: "SimulatedUpstream") -> Object:
    return {"turns": len(upstream.script)}


def _set_script(upstream: "SimulatedUpstream", received: Object) -> None:
    upstream.script = parse_script(received)


Show = Callable[["SimulatedUpstream"], Object]
Change = Callable[["SimulatedUpstream", Object], None]

PAGES: dict[str, tuple[Show, Change | None]] = {
    "/-/health": (_show_health, None),
    "/-/clock": (_show_clock, _advance_clock),
    "/-/state": (_show_state, None),
    "/-/reset": (_show_state, _reset),
    "/-/faults": (_show_faults, _set_faults),
    "/-/script": (_show_script, _set_script),
}
"""Each path with the function that shows it and the function that changes it."""
