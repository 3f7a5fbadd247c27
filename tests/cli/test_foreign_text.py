"""
Text of somebody else on its way to a terminal: planted in every field that a peer or a file controls, and looked for in
everything that the commands print.
"""

import asyncio
import itertools
import json
import os
import pty
import subprocess
import sys
import urllib.parse
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.config import load, user_captures
from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import reserve
from savemode_cli.core.errors import SavemodeError
from savemode_cli.core.exchange.capture import decode, encode
from savemode_cli.ledgers import open_ledger
from tests.conftest import FLAG
from tests.core.exchange.test_capture import a_capture
from tests.readers.test_har import an_entry
from tests.support.planted import NAME, PLANT, planted, unprintable
from tests.support.processes import SAVEMODE, environment, post, running, savemode, savemode_here, serving
from tests.support.streams import message, streamed_text, text
from tests.support.transcripts import Transcript, usage
from tests.support.upstream import Received, Upstream, error, reply
from tests.support.waiting import LONG_S

BODY: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    "tools": [{"name": "t", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": {"type": "x"}}]}],
    "metadata": {"user_id": "somebody"},
    "stream": False,
}
USAGE = usage(read=10, w5=20)
PRICES = {
    "checked": "2026-11-24",
    "price": [
        {
            "model": "claude-opus-5-5",
            "input": "4.00",
            "output": 20,
            "source": "our contract",
            "effective": "2026-10-07",
            "fast": {"input": 8, "output": 40},
            "long": {"above_tokens": 100000, "input": 20, "output": 100},
        }
    ],
}
SCRIPT = {"turns": [{"text": "a", "tool_use": [{"name": "t", "input": {"cmd": "make"}}], "stop_reason": "tool_use"}]}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nothing is folded: a line that begins with the plant was forged.
    """
    monkeypatch.setenv("COLUMNS", "20000")


def check(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """
    Run a command; whatever it prints is printable.
    """
    done = savemode(*arguments, stdin=stdin) if stdin else savemode_here(*arguments)
    assert b"Traceback" not in done.stderr
    assert (unprintable(done.stdout), unprintable(done.stderr), arguments) == (set(), set(), arguments)
    return done


def lines(name: str, documents: Any) -> str:
    """
    A file of JSON lines.
    """
    Path(name).write_text("".join(json.dumps(one) + "\n" for one in documents))
    return name


def on_a_terminal(*command: str, errors_too: bool = False) -> bytes:
    """
    What a process writes to a terminal, which ends its lines with CR and LF; on stderr too, progress bars included.
    """
    ours, its = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its if errors_too else subprocess.DEVNULL,
        env=environment(),
    )
    os.close(its)
    written = b""
    with suppress(OSError):  # that is how a terminal says that nobody writes to it any more
        while piece := os.read(ours, 65536):
            written += piece
    os.close(ours)
    assert process.wait(LONG_S) in (0, 1, 2)
    return written.replace(b"\r\n", b"\n")


def test_request_bodies() -> None:
    """
    `diff-request`, whatever of a body is planted: the report, the patch, an error.
    """
    codes: list[int] = []
    for number, body in enumerate(planted(BODY)):
        Path("body.json").write_text(json.dumps(body))
        forms = ((), ("--json",), ("--json-patch",), ("--headers",))
        codes += [check("diff-request", "body.json", *form, "--ttl-policy", "always").returncode for form in forms]
        if number % 25 == 0:
            for wrapped in planted({"body": body}):
                Path("body.json").write_text(json.dumps(wrapped))
                codes.append(check("diff-request", "body.json").returncode)
    assert set(codes) == {0, 2}


def test_names_of_files_and_words_of_the_command_line() -> None:
    """
    A name in an error, in a report, in a table; an option that does not exist; a command that does not exist.
    """
    folder = Path(NAME)
    folder.mkdir()
    (folder / f"{NAME}.json").write_text(json.dumps(BODY))
    (folder / f"{NAME}.jsonl").write_text("{\n")
    (folder / f"{NAME}.toml").write_text("[[price]]\nmodel = 1")
    file = str(folder / f"{NAME}.json")
    for words in (
        ("diff-request", file),
        ("diff-request", file, "--output", f"no/{NAME}"),
        ("diff-request", NAME),
        ("diff-request", file, "--flag", NAME),
        ("diff-request", file, "--provider", NAME),
        ("replay", str(folder), "--verbose"),
        ("replay", f"no{NAME}"),
        ("replay", file, "--plot", NAME),
        ("replay", file, "--since", NAME),
        ("replay", file, "--out", NAME),
        ("simulate-budget", "--budget", "5", "--trace", str(folder / f"{NAME}.jsonl")),
        ("simulate-budget", "--budget", NAME),
        ("simulate-budget", "--budget", "5", "--model", NAME),
        ("simulate-budget", "--budget", "5", "--effort", NAME),
        ("prices", NAME),
        ("prices", "--price-file", str(folder / f"{NAME}.toml")),
        ("prices", "--config", NAME),
        ("serve", "--upstream", NAME),
        ("serve", "--host", NAME),
        ("serve", "--capture", file),
        ("simulate-upstream", "--script", NAME),
        ("simulate-upstream", "--fault", NAME),
        ("budget", "show", "--ledger", f"sqlite:///{NAME}"),
        ("budget", "set", NAME),
        ("budget", "set", "5", "--name", NAME),
        ("budget", "allow", "--for", NAME),
        ("budget", "drop", NAME),
        ("budget", "release", NAME),
        ("captures", "list", "--dir", file),
        ("captures", "list", "--session", NAME),
        ("captures", "show", NAME),
        ("captures", "export", "--har", "--out", f"no/{NAME}"),
        ("captures", "list", "--since", NAME),
        ("doctor", "--upstream", NAME),
        ("doctor", "--ledger", f"sqlite:///{NAME}/{NAME}"),
        ("run", "--", f"./{NAME}"),
        ("run", "--", str(folder)),
        (NAME,),
        ("serve", f"--{NAME}"),
        ("serve", "--port", NAME),
        ("budget", NAME),
    ):
        check(*words)
    assert unprintable(savemode("serve", "--ledger", NAME).stderr) == set()


def test_recordings() -> None:
    """
    `replay` and `simulate-budget --trace` over transcripts, lines of bodies, a HAR and a trace, each planted throughout.
    """
    bodies = [{"body": BODY, "started_at": "2026-11-24T12:00:00Z", "duration_ms": 5, "usage": USAGE, "session": "s"}]
    bodies = [*bodies, *planted(bodies[0])]
    transcript = Transcript("session", "agent").user().answer("a", USAGE).user().answer("b", USAGE).lines
    entries = [an_entry(), *planted(an_entry())]
    trace = {"at": "2026-11-23T12:00:00Z", "cost_usd": "0.12", "duration_s": 5}
    files = [
        lines("bodies.jsonl", bodies),
        lines("transcript.jsonl", [*transcript, *(one for line in transcript for one in planted(line))]),
        lines("har.har", [{"log": {"version": "1.2", "entries": entries}}]),
        lines("trace.jsonl", [trace, *planted(trace)]),
    ]
    for file in (*files, "."):
        check("replay", file)
        check("replay", file, "--verbose", "--ttl-policy", "always")
        check("replay", file, "--json", "--verbose")
        check("report", file, "--since", "2020-01-01")
        check("report", file, "--by", "session", "--csv")
        check("report", file, "--by", "model", "--json")
    for file in files:
        check("simulate-budget", "--budget", "5", "--trace", file)
        check("simulate-budget", "--budget", "5", "--trace", file, "--json")
        check("simulate-budget", "--budget", "5", "--trace", file, "--csv")


def test_price_files_and_scripts() -> None:
    """
    Each key and each value, in a table of prices or in an error.
    """
    for prices in planted(PRICES):
        Path("prices.json").write_text(json.dumps(prices))
        check("prices", "--price-file", "prices.json")
        check("prices", "--price-file", "prices.json", "--json")
        check("prices", "claude-opus-5-5", "--price-file", "prices.json")
    for script in planted(SCRIPT):
        Path("script.json").write_text(json.dumps(script))
        with suppress(SavemodeError):
            from savemode_cli.simulated.script import read_script

            read_script(Path("script.json"))
            continue  # the command would serve it
        assert check("simulate-upstream", "--script", "script.json").returncode == 2


def test_config_files() -> None:
    """
    A key, a table, a value, of an option that exists and of one that does not: in errors, in reports.
    """
    settings: dict[str, Any] = {
        "upstream": "https://a.example",
        "product": "p",
        "budget": "5",
        "ledger": "memory:",
        "posthog_host": "https://b.example",
        "capture": "c",
        "products": {"p": {"idle_prone": True}},
        "aliases": {"a": "p"},
        "budgets": {"b": {"limit_usd": "5", "window": "week"}},
    }
    for number, changed in enumerate(planted(settings)):
        for name in ("savemode.toml", "other.toml"):
            Path(name).write_text(toml(changed))
        commands = [("budget", "show"), ("captures", "list"), ("prices", "--json")]
        check(*commands[number % 3])
        check("budget", "show", "--config", "other.toml")
        check("trust")
        if check("trust", "--yes").returncode == 0:
            check("trust", "--list")
            check(*commands[number % 3])
    Path("savemode.toml").write_bytes(PLANT.encode("utf-8", "surrogatepass"))
    check("budget", "show")


def toml(value: Any) -> str:
    """
    A value as an inline TOML value, or, at the top, as a document.
    """

    def inline(inner: Any) -> str:
        if isinstance(inner, dict):
            return "{" + ", ".join(f"{quoted(key)} = {inline(one)}" for key, one in inner.items()) + "}"
        return "true" if inner is True else quoted(inner) if isinstance(inner, str) else str(inner)

    def quoted(text: str) -> str:
        return '"' + "".join(f"\\U{ord(one):08X}" for one in text) + '"'

    return "\n".join(f"{quoted(key)} = {inline(one)}" for key, one in value.items())


def test_a_ledger() -> None:
    """
    Ids, keys, names of models and of users in a ledger that others wrote to.
    """
    now = datetime.now(UTC)
    url = load({}, {}).ledger_url
    ledger = open_ledger(url)
    budget = Budget("team", 10**9, scope="user")
    ledger.set_budget(budget)
    for number, ends in enumerate((now - timedelta(hours=1), now + timedelta(hours=1))):
        limit = limit_of(budget, f"u{number}{PLANT}", now)
        keys = (limit.key, f"k{PLANT}")
        reserve(ledger, Hold(f"{number}{PLANT}", keys, 2 * 10**9, ends, f"m{PLANT}"), [limit], now)
    ledger.close()

    for words in (("budget", "show"), ("budget", "show", "--json"), ("doctor",), ("doctor", "--json")):
        check(*words)
    shown = check("budget", "show", "--check")
    assert shown.returncode == 1
    assert rb"\x1b[2J" in shown.stdout
    assert rb"\x1b[2J" in check("budget", "release", "--all-expired").stdout


def test_captures() -> None:
    """
    `captures` and `replay` over a store of which each field was planted, and on a terminal the bodies too.
    """
    store = CaptureStore.make(user_captures())
    body = json.dumps(BODY | {"system": PLANT}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    kept = 0
    for one in planted(json.loads(encode(a_capture()))):
        with suppress(SavemodeError, ValueError):
            store.append(decode(json.dumps(one).encode(), body, PLANT.encode()))
            kept += 1
    store.close()
    assert kept > 50

    check("captures", "list", "--last", "0")
    check("captures", "list", "--last", "0", "--json")
    for number in range(1, kept + 1, 5):
        check("captures", "show", str(number))
        check("captures", "show", str(number), "--json")
    check("replay", str(user_captures()), "--verbose")
    check("replay", str(user_captures()), "--verbose", "--json")
    for words in (
        ("captures", "show", "1"),
        ("captures", "show", "1", "--body", "request"),
        ("captures", "show", "1", "--body", "response"),
        ("captures", "list"),
        ("captures", "export", "--har"),
        ("captures", "export", "--jsonl"),
        ("replay", str(user_captures())),
        ("diff-request", write_body(body), "--output", "-"),
    ):
        written = on_a_terminal(*SAVEMODE, *words)
        assert (unprintable(written) - {"FORGED"}, words) == (set(), words)
    assert savemode("captures", "show", "1", "--body", "response").stdout == PLANT.encode()


def write_body(body: bytes) -> str:
    """
    A body in a file.
    """
    Path("body.json").write_bytes(body.replace(b"\0", b""))
    return "body.json"


def answers() -> list[bytes]:
    """
    What an upstream answers: messages, streams, errors, heads, each planted throughout.
    """
    found = [reply(json.dumps(one).encode()) for one in planted(message(text("hello")))]
    stream = streamed_text("hello")
    for number, event in enumerate(stream):
        for one in planted(event):
            events = [*stream[:number], one, *stream[number + 1 :]]
            name = str(one.get("type", "")).encode("utf-8", "surrogatepass").replace(b"\n", b"").replace(b"\r", b"")
            body = b"".join(
                b"event: %b\ndata: %b\n\n" % (name, json.dumps(one).encode()) for one in events if isinstance(one, dict)
            )
            found.append(reply(body, headers=(("content-type", "text/event-stream"),)))
    envelope = {"type": "error", "error": {"type": "overloaded_error", "message": "m"}, "request_id": "r"}
    found += [reply(json.dumps(one).encode(), "529 Overloaded") for one in planted(envelope)]
    found += [error("invalid_request_error", f"cache_control ttl {PLANT}")]
    obs = "".join(map(chr, range(0x80, 0x100)))
    found += [reply(headers=((name, f"a{obs}"),)) for name in ("request-id", "content-type", "server", "x-a", "x-\x9b")]
    found += [reply(status=f"{status} a{obs}") for status in (200, 400, 500)]
    return found


def headers() -> list[tuple[tuple[str, str], ...]]:
    """
    Headers of requests; an HTTP parser lets through what is above ASCII, as Latin-1 or as UTF-8.
    """
    obs = "".join(map(chr, range(0x80, 0x100))) + "\u202e\u2028".encode().decode("latin-1")
    names = (
        "x-posthog-property-$plan",
        "x-posthog-property-\x9b2J",
        "x-posthog-flag-x",
        "x-posthog-provider",
        "x-posthog-distinct-id",
        "x-posthog-trace-id",
        "x-claude-code-session-id",
        "traceparent",
        "anthropic-beta",
        "user-agent",
        "x-a",
    )
    flag = tuple(FLAG.items())
    pairs = [((name, f"a{obs}"), *flag) for name in names if name.isascii()]
    return [*pairs, (("x-posthog-properties", json.dumps({f"k{PLANT}": f"v{PLANT}"})), *flag)]


@pytest.mark.parametrize("form", ["text", "json"])
def test_serve(upstream: Upstream, form: str) -> None:
    """
    Request lines, details, events, warnings, `/-/exchanges`: whatever clients send and the upstream answers.
    """
    replies = itertools.cycle(answers())

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(next(replies))

    upstream.script = script
    options = ("--verbose", "--print-events", "--telemetry-content", "--ttl-policy", "always", "--budget", "1000000")
    with serving(upstream.url, *options, "--log-format", form, "--capture", "caps") as (one, url):
        for body in planted(BODY):
            post(url, json.dumps(body).encode(), tuple(FLAG.items()))
        for more in headers():
            post(url, json.dumps(BODY).encode(), more)
        for _ in range(len(answers())):
            post(url, json.dumps(BODY).encode(), tuple(FLAG.items()))
        for path in ("/v1/x", "", "/v1/messages/count_tokens"):
            with suppress(OSError):
                quoted = urllib.parse.quote(PLANT.encode("utf-8", "surrogatepass"))
                post(f"{url}/{quoted}{path}?{quoted}", json.dumps(BODY).encode())
        exchanges = subprocess.run(["curl", "-s", f"{url}/-/exchanges"], capture_output=True, check=True).stdout
        one.end()
    out, err = one.out.all(), one.err.all()

    assert out.count("request.done") > 200
    assert r"\u202e" in out
    assert exchanges.isascii()
    assert (unprintable(out.encode()), unprintable(err.encode()), unprintable(exchanges)) == (set(), set(), set())
    for number in range(1, 40):
        check("captures", "show", str(number), "--dir", "caps")
    check("captures", "list", "--dir", "caps", "--last", "0")


def test_run(upstream: Upstream) -> None:
    """
    The lines, the receipt and the warnings of `run`; the command's own output is its own.
    """
    body = json.dumps(BODY | {"model": f"m{PLANT}"})
    code = (
        "import os, sys, urllib.request as u\n"
        "u.urlopen(u.Request(os.environ['ANTHROPIC_BASE_URL'] + '/v1/messages', sys.argv[1].encode()))"
    )
    for form in ("text", "json"):
        done = savemode(
            *("run", "--verbose", "--log-format", form, "--capture", f"caps{NAME}", "--upstream", upstream.url),
            *("--", sys.executable, "-c", code, body),
        )
        assert (done.returncode, done.stdout) == (0, b"")
        assert unprintable(done.stderr) == set()


def test_simulated_upstream() -> None:
    """
    Its line for each request.
    """
    with running(*SAVEMODE, "simulate-upstream", "--port", "0") as one:
        url = one.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")[1]
        quoted = urllib.parse.quote(PLANT.encode("utf-8", "surrogatepass"))
        auth = (("x-api-key", "k"), ("anthropic-version", "v"))
        post(f"{url}/{quoted}", b"{}", auth)
        for body in planted(BODY):
            post(url, json.dumps(body).encode(), (*auth, ("x-savemode-fault", "a\x9b\xad")))
            post(url, json.dumps(body).encode(), auth)
        one.end()
    out, err = one.out.all(), one.err.all()

    assert len(out.splitlines()) > 60
    assert (unprintable(out.encode()), unprintable(err.encode())) == (set(), set())


def test_a_name_beside_a_progress_bar() -> None:
    """
    It is no markup, in which a link could hide, and steers nothing.
    """
    name = "[link=https:evil.example]a\x1b]0;title\x07\u202e.jsonl"
    Path(name).write_text('{"at": "2026-11-23T12:00:00Z", "cost_usd": "0.12"}\n' * 1000)
    written = on_a_terminal(*SAVEMODE, "simulate-budget", "--budget", "5", "--trace", name, errors_too=True).decode()

    assert "[link=https:evil.example]a" in written
    assert not any(sign in written for sign in ("\x1b]", "\x07", "\u202e"))
