"""
`savemode simulate-upstream` as a process: its banner, its lines, what its options do, and how it ends.
"""

import contextlib
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Run, error_line
from tests.support.processes import SAVEMODE, Running, post, running
from tests.support.simulated import KEY, VERSION, asks

HEADERS = (KEY, VERSION)
BODY = json.dumps(asks("secret words")).encode()


@contextlib.contextmanager
def simulating(*options: str) -> Iterator[tuple[Running, str]]:
    """
    The command on a free port, and its URL.
    """
    with running(*SAVEMODE, "simulate-upstream", "--port", "0", *options) as one:
        yield one, one.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")[1]


def test_banner_line_and_end() -> None:
    """
    The banner goes to stderr with the line to copy last; each request is a line on stdout; Ctrl-C ends it with 130.
    """
    with simulating() as (server, url):
        assert post(url, BODY, HEADERS)[0] == 200
        line = server.out.wait_for("POST")[0]
        assert server.end(signal.SIGINT) == 130

    assert line
    banner = server.err.all()
    assert "  tokens    estimates: no tokenizer is public\n" in banner
    assert (
        f"""  hint      to advance its clock:\n            curl -d '{{"advance_s": 600}}' {url}/-/clock\n""" in banner
    )
    assert banner.endswith(f"\n  export ANTHROPIC_BASE_URL={url}\n\nsavemode stopped")
    told = server.out.lines[0]
    assert told[8:].startswith(" POST /v1/messages 200 model=claude-opus-5-5 read=0 write_5m=0 write_1h=0 input=")
    assert told.endswith(" tokens=estimated")
    assert "secret" not in told + banner


def test_it_ends_when_it_is_told() -> None:
    """
    SIGTERM is no interruption.
    """
    with simulating("--quiet") as (server, url):
        post(url, BODY, HEADERS)
        assert server.end() == 0

    assert server.out.all() == ""


def test_options(tmp_path: Path) -> None:
    """
    A script is played, faults happen as often as wanted, and the banner tells of both.
    """
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"turns": [{"text": "as written"}]}))
    with simulating("--script", str(script), "--fault", "status=529*1", "--fault", "downgrade", "--gzip") as (
        server,
        url,
    ):
        statuses = [post(url, BODY, HEADERS)[0] for _ in range(2)]
        _, body = post(url, BODY, HEADERS)
        server.end()

    assert statuses == [529, 200]
    assert json.loads(body)["content"] == [{"type": "text", "text": "as written"}]
    assert "  answers   1 turns of a script\n" in server.err.all()
    assert "  faults    status, downgrade\n" in server.err.all()


def test_bad_fault(savemode: Run) -> None:
    """
    One line with what is wrong, and the list.
    """
    done = savemode("simulate-upstream", "--fault", "statsu=529")

    assert error_line(done) == "error: fault 'statsu=529': unknown fault [config_error]"
    assert "names: status, truncate, error, stall, drop, garbage, downgrade, no-ttl" in done.err


def test_bad_script(savemode: Run, tmp_path: Path) -> None:
    """
    The place in the file is named.
    """
    script = tmp_path / "script.json"
    script.write_text('[{"texts": "x"}]')

    assert "turns.0.texts: unknown key" in error_line(savemode("simulate-upstream", "--script", str(script)))


@pytest.mark.parametrize("words", [("--port", "99999"), ("--token-ms", "-1"), ("--port", "x")])
def test_misuse(savemode: Run, words: tuple[str, str]) -> None:
    """
    What is out of range is refused.
    """
    assert words[0] in error_line(savemode("simulate-upstream", *words))


def test_port_taken(savemode: Run) -> None:
    """
    A port that is taken is named.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}" in error_line(savemode("simulate-upstream", "--port", port))
