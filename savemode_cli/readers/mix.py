"""
The tokens with which models are compared if the user names no record: those of this session, otherwise of the last 30
days.

Rule of this file: it reads counters and times that savemode and Claude Code have recorded on this machine. It reads a
limited amount, because the user did not ask for it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from savemode_cli.core.errors import SavemodeError
from savemode_cli.core.exchange.bill import usage_of_json
from savemode_cli.core.money.mix import TYPICAL, TokenMix
from savemode_cli.core.wire.usage import Usage
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.costs import recorded_files, recorded_usages
from savemode_cli.readers.files import reader_of
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.registry import TRANSCRIPTS
from savemode_cli.readers.transcript_files import groups
from savemode_cli.readers.transcripts import read_group
from savemode_cli.serving.running import exchanges_of, running_proxies

_PERIOD = timedelta(days=30)
_MAX_TRANSCRIPT_BYTES = 32 * 1024 * 1024
"""How many bytes of transcripts are read, newest first. This takes half a second."""


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """
    Where the traffic of this user is recorded.
    """

    proxies: Path
    """The folder in which running proxies are registered."""
    ledger: str
    """
    The ledger of the proxies whose traffic counts. A ledger in memory, which a simulated upstream uses, does not contain
    traffic of this user.
    """
    token: str | None = field(repr=False)
    """The access token of those proxies; None if none is configured."""
    captures: Path
    """The folder of captures."""
    transcripts: tuple[Path, ...]
    """Claude Code's folders of transcripts."""


def claude_projects(environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """
    Claude Code's folders of transcripts: those in CLAUDE_CONFIG_DIR, otherwise the default ones.

    Source: https://code.claude.com/docs/en/settings (CLAUDE_CONFIG_DIR).
    """
    named = [Path(name.strip()) for name in environ.get("CLAUDE_CONFIG_DIR", "").split(",") if name.strip()]
    return tuple(folder / "projects" for folder in named or (home / ".claude", home / ".config" / "claude"))


def own_mix(own: OwnRecord, now: datetime) -> tuple[TokenMix, str]:
    """
    The tokens of this user, and a text that says where they come from.

    Args:
        own: where the traffic is recorded.
        now: the current time.
    """
    for origin, usages in (
        ("this session", _session(own)),
        ("the last 30 days", _captured(own.captures, now - _PERIOD)),
        ("the last 30 days", _transcribed(own.transcripts, now - _PERIOD)),
    ):
        mix = TokenMix(usages)
        if mix.requests:
            return mix, origin
    return TokenMix([TYPICAL]), "a typical request, because none is recorded"


def mix_of(name: str) -> TokenMix:
    """
    The tokens of recorded traffic at or below a path.

    Raises:
        BadInput: the path does not exist.
    """
    return TokenMix(recorded_usages(recorded_files(name), Problems()))


def _session(own: OwnRecord) -> Iterator[Usage]:
    """
    The usage of each request of the session that the proxies answered last.
    """
    exchanges = [
        exchange
        for proxy in running_proxies(own.proxies)
        if own.ledger and proxy.ledger == own.ledger
        for exchange in exchanges_of(proxy, own.token)
        if isinstance(exchange.get("usage"), dict)
    ]
    newest = max(exchanges, key=_started, default=None)
    if newest is not None:
        session = newest.get("session")
        yield from _usages(exchange["usage"] for exchange in exchanges if exchange.get("session") == session)


def _started(exchange: Mapping[str, Any]) -> str:
    return str(exchange.get("started_at"))


def _usages(counters: Iterable[object]) -> Iterator[Usage]:
    for counts in counters:
        with suppress(msgspec.ValidationError):
            yield usage_of_json(counts)


def _captured(folder: Path, since: datetime) -> Iterator[Usage]:
    """
    The usages in the capture store. The bodies are not read.
    """
    from savemode_cli.captures.store import CaptureStore, Filter  # noqa: PLC0415 - most commands never come here

    with suppress(SavemodeError, OSError):
        store = CaptureStore.open(folder)
        try:
            for row in store.rows(Filter(since=since), damaged=lambda *_: None):
                if row.capture.exchange.bill.usage is not None:
                    yield row.capture.exchange.bill.usage
        finally:
            store.close()


def _transcribed(folders: Sequence[Path], since: datetime) -> Iterator[Usage]:
    paths = list(_newest((path for folder in folders for path in folder.rglob("*.jsonl")), since))
    ids = Ids()
    with suppress(OSError):
        for group in groups(path for path in paths if reader_of(path) is TRANSCRIPTS):
            for request in read_group(group, ids, Problems()).requests:
                if not request.copy and request.started_at >= since:
                    yield request.usage


def _newest(paths: Iterable[Path], since: datetime) -> Iterator[Path]:
    """
    The files that were written after `since`, newest first, up to the limit.
    """
    files = []
    with suppress(OSError):
        for path in paths:
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    remaining = _MAX_TRANSCRIPT_BYTES
    for written, size, path in sorted(files, reverse=True):
        remaining -= size
        if written < since.timestamp() or remaining < 0:
            return
        yield path
