"""
`savemode doctor`: what it looks at, what it says of it, and that it leaves nothing behind.
"""

import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.ledgers import open_ledger
from tests.support.command import Run, lines
from tests.support.network import Answering, Authority, HttpProxy, listening
from tests.support.upstream import RunningProxy, Upstream, reply

PORT = "0"


@pytest.fixture
def examined(savemode: Run, upstream: Upstream) -> Any:
    """
    The findings, with an upstream that answers unless another is named.
    """

    def run(*words: str, code: int = 0) -> dict[str, tuple[str, str, str]]:
        done = savemode("doctor", "--json", "--port", PORT, "--upstream", upstream.url, *words)
        read = json.loads(done.out)
        assert (done.code, read["ok"]) == (code, code == 0)
        return {one["about"]: (one["level"], one["text"], one["fix"] or "") for one in read["findings"]}

    return run


def test_all_is_well(savemode: Run, upstream: Upstream) -> None:
    """
    Without a problem the exit code is 0, and every row fits the screen.
    """
    done = savemode("doctor", "--port", PORT, "--upstream", upstream.url)

    assert (done.code, done.err) == (0, "")
    assert lines(done.out)[-1] == "no problems found"
    assert {line.split()[0] for line in lines(done.out)[1:-1] if line[0] != " "} == {"OK", "INFO"}
    assert received_no_credential(upstream)


def received_no_credential(upstream: Upstream) -> bool:
    """
    Whether it was asked for nothing but an answer.
    """
    return [(one.method, one.all("x-api-key"), one.all("authorization")) for one in upstream.received] == [
        ("GET", [], [])
    ]


def test_it_leaves_nothing_behind(examined: Any, tmp_path: Path) -> None:
    """
    A ledger that is not there is not made.
    """
    before = sorted(tmp_path.rglob("*"))
    level, text, _ = examined()["ledger"]

    assert (level, "does not exist yet" in text) == ("OK", True)
    assert sorted(tmp_path.rglob("*")) == before


def test_faults_of_the_configuration(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each is said with its place, and the rest is looked at without the options that cannot be used.
    """
    Path("savemode.toml").write_text('ttl_policy = "sometimes"\nproduct = "wizard"\nwarn_at = 0.99\nengage_at = 0.9')
    monkeypatch.setenv("SAVEMODE_KEEP", "never")
    found = examined(code=1)

    assert found["policy"][1] == "/v1/messages counts as wizard, which is not idle-prone: its requests are not upgraded"
    assert {"port", "upstream", "gate", "prices", "ledger", "captures", "telemetry"} <= set(found)


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("ttl_policy =", "savemode.toml is not TOML"),
        ("products = 5", "savemode.toml: products is 5"),
        ("products = { ide = 5 }", "product ide needs idle_prone"),
        ("aliases = { a = 'nobody' }", "alias a names no known product"),
        ("product = 'nobody'", "unknown product"),
        ("warn_at = 0.99", "savemode.toml: warn_at: warn_at 0.99 is above engage_at"),
        ("budgets = 5", "savemode.toml: budgets is 5"),
        ("budgets = { team = {} }", "savemode.toml: budgets.team has no limit_usd"),
        ("budget = 'a lot'", "savemode.toml: budget is 'a lot'"),
        ("nonsense = 1", "savemode.toml: nonsense: there is no such option"),
    ],
)
def test_any_fault_of_a_file(savemode: Run, upstream: Upstream, file: str, place: str) -> None:
    """
    Two faults are two rows, and neither ends the examination.
    """
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "savemode"
    user.mkdir()
    (user / "savemode.toml").write_text(f"{file}\nport = 'x'" if "=\n" not in f"{file}\n" else file)
    done = savemode("doctor", "--json", "--upstream", upstream.url, "--port", PORT)

    rows = json.loads(done.out)["findings"]
    said = [one["text"] for one in rows if (one["level"], one["about"]) == ("WARN", "config")]
    assert done.code == 1
    assert any(place in text for text in said), said
    assert len(said) == (1 if "not TOML" in place else 2)
    assert [one["level"] for one in rows if one["about"] == "upstream"] == ["OK"]


@pytest.mark.parametrize("place", ["/proc/nowhere/x", "a_file/x"])
def test_a_ledger_that_cannot_be_made(examined: Any, place: str) -> None:
    """
    In a place where nobody can write, or below a file.
    """
    Path("a_file").write_text("")
    level, text, fix = examined("--ledger", f"sqlite:///{place}/ledger.db", code=1)["ledger"]

    assert (level, "cannot be created" in text, "--ledger" in fix) == ("WARN", True, True)


@pytest.mark.parametrize("place", ["/proc/nowhere/x", "a_file", "a_file/x"])
def test_captures_that_cannot_be_made(examined: Any, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """
    The same for the folder of captures.
    """
    Path("a_file").write_text("")
    monkeypatch.setenv("SAVEMODE_CAPTURE", place)
    level, text, fix = examined(code=1)["captures"]

    assert (level, "cannot capture to" in text, "--capture" in fix) == ("WARN", True, True)


def test_an_events_file(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its folder is not made, so it must be there.
    """
    monkeypatch.setenv("SAVEMODE_EVENTS_FILE", "events.jsonl")
    assert examined()["events"][:2] == ("OK", "written to events.jsonl")
    monkeypatch.setenv("SAVEMODE_EVENTS_FILE", "nowhere/events.jsonl")
    assert examined(code=1)["events"][:2] == (
        "WARN",
        "nowhere/events.jsonl cannot be written: there is no folder nowhere",
    )
    assert not Path("events.jsonl").exists()


def test_where_options_come_from(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Files and variables by name; a variable's value may be a secret.
    """
    Path("savemode.toml").write_text("quiet = true")
    monkeypatch.setenv("SAVEMODE_ACCESS_TOKEN", "0123456789abcdef")

    where = f"{Path.cwd()}/savemode.toml (not trusted): quiet"
    assert examined()["config"] == ("OK", f"{where}; SAVEMODE_ACCESS_TOKEN", "")


def test_a_port_that_somebody_else_has(examined: Any) -> None:
    """
    Said with a way out.
    """
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.listen()
        port = str(other.getsockname()[1])
        other.settimeout(0)
        level, text, fix = examined("--port", port, code=1)["port"]

    assert (level, "--port" in fix) == ("WARN", True)
    assert port in text


def test_a_port_that_a_savemode_has(examined: Any, proxy: RunningProxy) -> None:
    """
    Our own proxy is no trouble.
    """
    level, text, _ = examined("--port", str(proxy.port))["port"]

    assert (level, "savemode is already running there" in text) == ("OK", True)


def test_troubles_of_a_running_proxy(examined: Any, proxy: RunningProxy) -> None:
    """
    What it suffers from is told here too.
    """
    proxy.server.config.app.application.relay.till._ledger.ledger_trouble = "the disk is full"  # type: ignore[union-attr]

    assert examined("--port", str(proxy.port), code=1)["proxy"][:2] == ("WARN", "its ledger: the disk is full")


def test_no_upstream(examined: Any) -> None:
    """
    One that is not there, and one that is there and not well.
    """
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    level, text, fix = examined("--upstream", f"http://127.0.0.1:{port}", code=1)["upstream"]

    assert (level, text) == (
        "WARN",
        f"http://127.0.0.1:{port}: cannot reach 127.0.0.1: connection refused",
    )
    assert "--upstream" in fix


def test_an_upstream_that_is_not_well(examined: Any, upstream: Upstream) -> None:
    """
    Any answer below 500 will do: without a key there are only errors to be had.
    """

    async def script(_received: object, writer: Any) -> None:
        writer.write(reply(b"", "503 Service Unavailable"))

    upstream.script = script

    assert examined(code=1)["upstream"][0] == "WARN"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            "socks5h://127.0.0.1:{port}",
            "cannot reach the proxy socks5h://127.0.0.1:{port} (HTTP_PROXY): connection refused",
        ),
        ("127.0.0.1:{port}", "cannot reach the proxy http://127.0.0.1:{port} (HTTP_PROXY): connection refused"),
        ("gopher://u:s3cr3t@p", "HTTP_PROXY names a proxy of the kind gopher, which is not supported"),
    ],
)
def test_the_environments_proxy(examined: Any, monkeypatch: pytest.MonkeyPatch, value: str, text: str) -> None:
    """
    Doctor goes the way that serve goes, and names the variable where that does not work.
    """
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", value.format(port=port))

    found = examined("--upstream", "http://api.example", code=1)["upstream"]
    assert found[:2] == ("WARN", f"http://api.example: {text.format(port=port)}")
    assert found[2]


def test_a_proxy_is_used_and_named(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without its password.
    """
    with listening(HttpProxy(login="user:s3cr3t")) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:s3cr3t@127.0.0.1:{port}")
        level, text, _ = examined("--upstream", "http://api.example")["upstream"]

    assert level == "OK"
    assert text.startswith(f"http://api.example answers through the proxy http://127.0.0.1:{port} (HTTP_PROXY) (")


def test_certificates_of_the_environment(examined: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Doctor trusts what serve trusts; a variable that names nothing is said by name.
    """
    authority, file = Authority(), tmp_path / "authority.pem"
    file.write_bytes(authority.pem)
    with listening(Answering(authority.serving("localhost"))) as port:
        url = f"https://localhost:{port}"
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        found = examined("--upstream", url)
        assert (found["upstream"][0], found["network"][1]) == (
            "OK",
            f"trusts the certificates in {file} (SSL_CERT_FILE)",
        )

        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        assert "SSL_CERT_FILE names /nowhere" in examined("--upstream", url, code=1)["upstream"][1]

        monkeypatch.delenv("SSL_CERT_FILE")
        monkeypatch.setenv("NODE_EXTRA_CA_CERTS", "/nowhere")
        assert "NODE_EXTRA_CA_CERTS names /nowhere" in examined("--upstream", url, code=1)["network"][1]


@pytest.mark.parametrize(
    ("value", "debug", "level", "code"),
    [(None, False, "OK", 0), ("true", True, "INFO", 0), ("true", False, "WARN", 1), ("yes", True, "WARN", 1)],
)
def test_gate(
    examined: Any, monkeypatch: pytest.MonkeyPatch, value: str | None, debug: bool, level: str, code: int
) -> None:
    """
    An override that is ignored is the one problem.
    """
    if value is not None:
        monkeypatch.setenv("COST_CONTROLS_ENABLED", value)

    assert examined(*(["--debug"] if debug else []), code=code)["gate"][0] == level


def test_product_that_is_not_upgraded(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The default product is not idle-prone, which people do not expect.
    """
    level, _, fix = examined()["policy"]
    assert (level, fix.partition(";")[0]) == ("INFO", "--save upgrades your own requests")
    monkeypatch.setenv("SAVEMODE_PRODUCT", "posthog_code")
    assert examined()["policy"] == ("OK", "ttl policy product, product posthog_code", "")


def test_bad_price_file(examined: Any) -> None:
    """
    Its error is a finding.
    """
    Path("prices.toml").write_text("[[price]]\nmodel = 5\n")

    assert examined("--price-file", "prices.toml", code=1)["prices"][0] == "WARN"


def test_ledger_that_is_none(examined: Any) -> None:
    """
    A file that is no ledger is said to be none.
    """
    Path("ledger.db").write_text("not a database" * 100)

    level, text, fix = examined("--ledger", "sqlite:///ledger.db", code=1)["ledger"]
    assert level == "WARN"
    assert "ledger.db" in text
    assert fix


def test_caps_and_holds(examined: Any) -> None:
    """
    A cap that is reached and a hold that was never settled want something done.
    """
    now = datetime.now(UTC)
    ledger = open_ledger("sqlite:///ledger.db")
    ledger.set_budget(Budget("default", 10_000_000_000))
    limit = limit_of(Budget("default", 10_000_000_000), "", now)
    reserve(ledger, Hold("dead", (limit.key,), 1_000_000_000, now - timedelta(hours=1), "m"), (limit,), now)
    ledger.close()
    found = examined("--ledger", "sqlite:///ledger.db", code=1)

    assert found["holds"][0] == "WARN"
    assert found["budget"][:2] == ("OK", "new requests may start")

    ledger = open_ledger("sqlite:///ledger.db")
    settle(ledger, "dead", 10_000_000_000, "reported", now)
    ledger.close()
    found = examined("--ledger", "sqlite:///ledger.db", code=1)

    assert "holds" not in found
    assert found["budget"][0] == "WARN"


def test_no_cap(examined: Any) -> None:
    """
    Counting without a cap is a choice, and worth a word.
    """
    ledger = open_ledger("sqlite:///ledger.db")
    ledger.close()

    assert examined("--ledger", "sqlite:///ledger.db")["budget"][0] == "INFO"


def test_no_key_no_telemetry(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nothing is sent, and that is said; also where it was switched off.
    """
    assert examined()["telemetry"][:2] == ("INFO", "no key: nothing is sent to PostHog")
    monkeypatch.setenv("POSTHOG_API_KEY", "phc_made_up")
    monkeypatch.setenv("SAVEMODE_TELEMETRY", "false")
    assert examined()["telemetry"][:2] == ("INFO", "switched off: nothing is sent to PostHog")


def test_telemetry(examined: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where events go, and what waits; the key is not shown, nor sent to ask.
    """
    monkeypatch.setenv("POSTHOG_API_KEY", "phc_made_up")
    monkeypatch.setenv("POSTHOG_HOST", upstream.url)
    level, text, _ = examined()["telemetry"]

    assert (level, text) == ("OK", f"events go to PostHog, {upstream.url}, without prompts and answers")
    assert all("phc_" not in str(one.headers) + one.target for one in upstream.received)


def test_telemetry_nobody_takes(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An address that does not answer is a problem.
    """
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    monkeypatch.setenv("POSTHOG_API_KEY", "phc_made_up")
    monkeypatch.setenv("POSTHOG_HOST", f"http://127.0.0.1:{port}")

    assert examined(code=1)["telemetry"][0] == "WARN"


def test_captures(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Off, on and empty, there, and broken; none is made by looking.
    """
    assert examined()["captures"] == ("OK", "off: no prompt or response is stored", "")
    monkeypatch.setenv("SAVEMODE_CAPTURE", "kept")
    assert examined()["captures"][1] == "on, no exchange was stored yet"
    assert not Path("kept").exists()
    CaptureStore.make(Path("kept")).close()
    assert examined()["captures"][:2] == ("OK", "0 calls, prompts included, in kept")
    next(Path("kept").glob("*.sqlite3")).write_bytes(b"no database" * 500)
    assert examined(code=1)["captures"][0] == "WARN"


def test_variables_of_clients(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What a client started here would do to the cache itself.
    """
    monkeypatch.setenv("DISABLE_PROMPT_CACHING", "1")

    level, text, _ = examined()["client"]
    assert level == "INFO"
    assert text.startswith("DISABLE_PROMPT_CACHING is set: ")


def test_simulated_upstream_is_not_asked(examined: Any) -> None:
    """
    It comes with the proxy.
    """
    assert examined("--upstream", "simulated")["upstream"] == ("OK", "simulated: starts with the proxy", "")


def test_client_that_goes_past_us(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A variable or a settings file sends it elsewhere, where no cap holds; one that sends it here is right.
    """
    file = Path(os.environ["CLAUDE_CONFIG_DIR"]) / "settings.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": f"http://localhost:{PORT}"}}))
    assert "client" not in examined()

    file.write_text('{"env": {"ANTHROPIC_BASE_URL": "https://relay.example"}}')
    level, text, fix = examined(code=1)["client"]
    assert (level, fix) == ("WARN", f"remove ANTHROPIC_BASE_URL from {file}")
    assert f"is set in {file}: Claude Code sends its requests to relay.example:443, not to savemode" in text

    file.unlink()
    monkeypatch.setenv("CLAUDE_CODE_USE_BEDROCK", "1")
    assert examined(code=1)["client"] == (
        "WARN",
        "CLAUDE_CODE_USE_BEDROCK is set: Claude Code sends its requests to Amazon Bedrock, "
        "not to savemode; no budget limits them",
        "unset CLAUDE_CODE_USE_BEDROCK",
    )


def test_installed_clients(examined: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    They are named; a config file of theirs that names another address is a warning.
    """
    program = tmp_path / "bin" / "opencode"
    program.parent.mkdir()
    program.touch(0o700)
    monkeypatch.setenv("PATH", str(program.parent))
    level, text, _ = examined()["clients"]
    assert (level, text) == ("INFO", "installed: opencode")

    file = Path("opencode.json")
    file.write_text('{"provider": {"anthropic": {"options": {"baseURL": "https://relay.example/v1"}}}}')
    level, text, fix = examined(code=1)["client"]
    assert (level, "relay.example" in text, bool(fix)) == ("WARN", True, True)
    file.write_text(f'{{"provider": {{"anthropic": {{"options": {{"baseURL": "http://127.0.0.1:{PORT}/v1"}}}}}}}}')
    assert "client" not in examined()


def test_no_command_is_advised_that_cannot_reach_the_ledger(examined: Any) -> None:
    """
    What a simulated upstream bills is counted in the proxy's memory.
    """
    assert examined("--upstream", "simulated")["budget"][2] == "savemode serve --budget 20"
    assert examined()["budget"][2] == "savemode budget set 20"


@pytest.fixture(autouse=True)
def no_client_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Those of the machine do not count.
    """
    for name in ("ENABLE_PROMPT_CACHING_1H", "FORCE_PROMPT_CACHING_5M", "DISABLE_PROMPT_CACHING"):
        monkeypatch.delenv(name, raising=False)
