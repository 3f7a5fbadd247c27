"""
Which tokens are used if no record is named: those of this session, otherwise of the last 30 days, otherwise of a typical
request.
"""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.exchange.capture import Capture
from savemode_cli.core.money.mix import TYPICAL, TokenMix
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.readers import mix as reader
from savemode_cli.readers.mix import OwnRecord, claude_projects, mix_of, own_mix
from savemode_cli.serving.running import RunningProxy, registered
from tests.builders import a_price, an_exchange
from tests.serving.test_running import answering
from tests.support.command import Run
from tests.support.transcripts import NOON, Transcript, a_session, usage

PRICE = a_price()
NOW = NOON + timedelta(days=1)


def own(folder: Path) -> OwnRecord:
    """
    The user's own record below a folder.
    """
    return OwnRecord(folder / "proxies", "ours", None, folder / "captures", (folder / "projects",))


def costs(folder: Path, now: datetime = NOW) -> tuple[int, int, str]:
    """
    The number of requests, their cost at Opus 5.5's prices, and their origin.
    """
    mix, words = own_mix(own(folder), now)
    return mix.requests, mix.cost_nusd(PRICE), words


def cost(*usages: Usage) -> int:
    """
    The cost of some usages.
    """
    return TokenMix(usages).cost_nusd(PRICE)


def transcribed(folder: Path, name: str, read: int, at: datetime = NOON) -> None:
    """
    A session of one answer.
    """
    path = Transcript(name, at=at).user().answer(name, usage(read=read)).write(folder / "projects" / "p")
    os.utime(path, (at.timestamp(), at.timestamp()))


def captured(folder: Path, read: int, at: datetime = NOON) -> None:
    """
    An exchange in the store.
    """
    store = CaptureStore.make(folder / "captures")
    exchange = an_exchange(started_at=at, usage=Usage(Tokens(read=read)))
    store.append(Capture(exchange, at))
    store.close()


def exchanges(*rows: tuple[str | None, int, int]) -> bytes:
    """
    The last exchanges of a proxy: session, minute and tokens read.
    """
    shown: Sequence[Any] = [
        {"session": session, "started_at": f"2026-11-24T12:{minute:02}:00Z", "usage": {"cache_read_tokens": read}}
        for session, minute, read in rows
    ]
    more = [{"session": "a", "started_at": "2026-11-24T13:00:00Z", "usage": None}, 7]
    odd = [{"session": "a", "started_at": "2026-11-24T11:00:00Z", "usage": {"cache_read_tokens": "many"}}]
    return json.dumps({"exchanges": [*shown, *more, *odd]}).encode()


def test_nothing_is_recorded(tmp_path: Path) -> None:
    """
    A typical request, which is named as such.
    """
    assert costs(tmp_path) == (1, cost(TYPICAL), "a typical request, because none is recorded")


def test_this_session_comes_first(tmp_path: Path) -> None:
    """
    The session that the running proxies answered last, across all of them.
    """
    transcribed(tmp_path, "s", 5)
    captured(tmp_path, 7)
    with (
        answering(200, exchanges(("a", 1, 100), ("b", 9, 1000), ("a", 3, 10))) as first,
        answering(200, exchanges(("b", 5, 2000), ("c", 8, 1))) as second,
        answering(200, exchanges(("d", 20, 9))) as simulated,
        registered(tmp_path / "proxies", RunningProxy(first, os.getpid(), "ours")),
        registered(tmp_path / "proxies", RunningProxy(second, os.getpid(), "ours")),
        registered(tmp_path / "proxies", RunningProxy(simulated, os.getpid(), "")),
    ):
        assert costs(tmp_path) == (2, cost(Usage(Tokens(read=3000))), "this session")


@pytest.mark.parametrize("body", [b"{}", b'{"exchanges": 7}', b'{"exchanges": []}', b"junk"])
def test_a_proxy_without_exchanges(body: bytes, tmp_path: Path) -> None:
    """
    Then the recorded traffic counts.
    """
    transcribed(tmp_path, "s", 5)
    with answering(200, body) as url, registered(tmp_path / "proxies", RunningProxy(url, os.getpid(), "ours")):
        assert costs(tmp_path)[2] == "the last 30 days"


def test_captures_before_transcripts(tmp_path: Path) -> None:
    """
    They contain the same calls; only the last 30 days count.
    """
    transcribed(tmp_path, "old", 1, NOW - timedelta(days=31))
    assert costs(tmp_path)[2] == "a typical request, because none is recorded"
    transcribed(tmp_path, "new", 5)
    assert costs(tmp_path) == (1, cost(Usage(Tokens(3, read=5, output=7))), "the last 30 days")
    captured(tmp_path, 100, NOW - timedelta(days=31))
    assert costs(tmp_path)[0:2] == (1, cost(Usage(Tokens(3, read=5, output=7))))
    captured(tmp_path, 7)
    assert costs(tmp_path) == (1, cost(Usage(Tokens(read=7))), "the last 30 days")


def test_the_amount_read_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The newest files first, up to the limit; files that are not transcripts do not count.
    """
    for number in range(4):
        transcribed(tmp_path, f"s{number}", 10**number, NOON + timedelta(minutes=number))
    (tmp_path / "projects" / "p" / "notes.jsonl").write_text("{}\n")
    size = (tmp_path / "projects" / "p" / "s3.jsonl").stat().st_size
    monkeypatch.setattr(reader, "_MAX_TRANSCRIPT_BYTES", 2 * size + 100)
    two = [Usage(Tokens(3, read=read, output=7)) for read in (100, 1000)]

    assert costs(tmp_path)[0:2] == (2, cost(*two))


def test_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    """
    It is ignored.
    """
    (tmp_path / "captures").mkdir()
    (tmp_path / "captures" / "captures.sqlite3").write_text("junk")
    transcribed(tmp_path, "new", 5)

    assert costs(tmp_path)[2] == "the last 30 days"


@pytest.mark.parametrize(
    ("named", "folders"),
    [
        (None, ["/home/me/.claude/projects", "/home/me/.config/claude/projects"]),
        (" ", ["/home/me/.claude/projects", "/home/me/.config/claude/projects"]),
        ("/a", ["/a/projects"]),
        ("/a, /b", ["/a/projects", "/b/projects"]),
    ],
)
def test_where_transcripts_are(named: str | None, folders: list[str]) -> None:
    """
    The folders in which the client looks for them.
    """
    environ = {} if named is None else {"CLAUDE_CONFIG_DIR": named}

    assert [str(one) for one in claude_projects(environ, Path("/home/me"))] == folders


def test_a_record_that_is_named(tmp_path: Path) -> None:
    """
    All of it counts, at any time: transcripts and bodies.
    """
    transcribed(tmp_path, "old", 1, NOW - timedelta(days=300))
    row = {"started_at": "2026-11-24T12:00:00Z", "usage": {"input_tokens": 9}, "body": {"model": "m", "messages": []}}
    (tmp_path / "calls.jsonl").write_text(f"{json.dumps(row)}\n" * 2)
    mix = mix_of(str(tmp_path))

    assert (mix.requests, mix.cost_nusd(PRICE)) == (3, cost(Usage(Tokens(21, read=1, output=7))))


def test_the_command(savemode: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A named record, a trace of recorded traffic, the user's own traffic; a record without usage is one error.
    """
    folder = tmp_path / "home" / "projects"
    a_session("s", [10] * 4, at=datetime.now(UTC) - timedelta(days=1)).write(folder / "p")

    def chosen(*arguments: str) -> Any:
        return json.loads(savemode("simulate-budget", "--budget", "20", "--json", *arguments).out)["max_save"]

    by_name, trace, none = chosen("--mix", str(folder)), chosen("--trace", str(folder)), chosen()
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(folder.parent))
    ours = chosen()
    empty = savemode("simulate-budget", "--budget", "20", "--mix", str(tmp_path / "none"))

    assert [one["tokens_of"] for one in (by_name, trace, ours)] == ["projects", "projects", "the last 30 days"]
    assert [one["requests"] for one in (by_name, trace, ours)] == [5, 5, 5]
    assert by_name["saving_nusd"] == trace["saving_nusd"] == ours["saving_nusd"] != none["saving_nusd"]
    assert none["tokens_of"] == "a typical request, because none is recorded"
    assert empty.code == 2
    assert "none: no recorded usage was found" in empty.err
