"""
The calls in a file of recorded bodies, our own store of captures included: the one place where both meet.

Rule of this file: a capture tells the replay what any other record tells it, and nothing more.
"""

from collections.abc import Iterator
from pathlib import Path

from savemode_cli.captures.file import is_store
from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.capture import Capture
from savemode_cli.core.errors import SavemodeError
from savemode_cli.core.messages import MESSAGES_PATH
from savemode_cli.core.recorded import Call
from savemode_cli.readers.bodies import calls, is_answered
from savemode_cli.readers.files import Kind
from savemode_cli.readers.problems import Problems


def holds_bodies(path: Path, kind: Kind) -> bool:
    """
    Whether a file is one of recorded bodies; of databases only our own is.
    """
    return kind in ("bodies", "body", "har") or (kind == "captures" and is_store(path))


def calls_in(path: Path, kind: Kind, problems: Problems) -> Iterator[Call]:
    """
    The calls in such a file, one at a time.
    """
    if kind != "captures":
        yield from calls(path, kind, problems)
        return

    def damaged(number: int, error: SavemodeError) -> None:
        problems.add(f"{path.name}: capture {number}", None, error.message)

    try:
        store = CaptureStore.open(path)
    except SavemodeError as error:
        problems.add(path.name, None, error.message)
        return
    try:
        for row in store.captures(damaged=damaged):
            place = f"{path.name}: capture {row.number}"
            if not row.capture.exchange.is_call:
                continue
            if row.capture.request_body is None:
                problems.add(place, None, "its body was not kept")
                continue
            yield _call(row.capture, row.capture.request_body, place)
    finally:
        store.close()


def _call(capture: Capture, body: bytes, place: str) -> Call:
    """
    The body as the client sent it, before any edit: what it was billed says what was on the wire.
    """
    exchange = capture.exchange
    return Call(
        place,
        body,
        headers=tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in capture.request_headers),
        path=f"/{exchange.product}{MESSAGES_PATH}",
        started_at=exchange.started_at,
        ended_at=capture.ended_at,
        usage=exchange.usage,
        session=exchange.session,
        subscription=any(skip.code == "oauth" for skip in exchange.skips),
        answered=is_answered(exchange.status, exchange.usage),
    )
