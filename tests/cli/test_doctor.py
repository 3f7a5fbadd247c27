"""
`savemode doctor`: what it looks at, what it says of it, and that it leaves nothing behind.
"""

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.admission import Hold
from savemode_cli.core.budget import Budget, limit_of
from savemode_cli.ledgers import open_ledger
from tests.cli.command import Run, lines
from tests.upstream import RunningProxy, Upstream, reply

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
    Nothing to mend is exit code 0, and every row fits the screen.
    """
    done = savemode("doctor", "--port", PORT, "--upstream", upstream.url)

    assert (done.code, done.err) == (0, "")
    assert lines(done.out)[-1] == "nothing to mend"
    assert {line.split()[0] for line in lines(done.out)[1:-1] if line[0] != " "} == {"OK", "INFO"}
    assert received_no_credential(upstream)


def received_no_credential(upstream: Upstream) -> bool:
    """
    Whether it was asked for nothing but an answer.
    """
    return [(one.method, one.all("x-api-key"), one.all("authorization")) for one in upstream.received] == [
        ("HEAD", [], [])
    ]


def test_it_leaves_nothing_behind(examined: Any, tmp_path: Path) -> None:
    """
    A ledger that is not there is not made.
    """
    before = sorted(tmp_path.rglob("*"))
    level, text, _ = examined()["ledger"]

    assert (level, "none yet" in text) == ("OK", True)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bad_configuration_is_the_only_finding(savemode: Run) -> None:
    """
    What else could be looked at would be settings that nobody asked for.
    """
    Path("savemode.toml").write_text('ttl_policy = "sometimes"')
    done = savemode("doctor", "--json")

    (finding,) = json.loads(done.out)["findings"]
    assert done.code == 1
    assert (finding["level"], finding["about"]) == ("WARN", "config")
    assert "savemode.toml" in finding["text"]


def test_where_options_come_from(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Files and variables by name; a variable's value may be a secret.
    """
    Path("savemode.toml").write_text("quiet = true")
    monkeypatch.setenv("SAVEMODE_ACCESS_TOKEN", "0123456789abcdef")

    assert examined()["config"] == ("OK", "SAVEMODE_ACCESS_TOKEN, savemode.toml", "")


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

    assert (level, "a savemode serves there" in text) == ("OK", True)


def test_troubles_of_a_running_proxy(examined: Any, proxy: RunningProxy) -> None:
    """
    What it suffers from is told here too.
    """
    proxy.server.config.app.relay.accounts.ledger_trouble = "the disk is full"  # type: ignore[union-attr]

    assert examined("--port", str(proxy.port), code=1)["proxy"][:2] == ("WARN", "its ledger: the disk is full")


def test_no_upstream(examined: Any) -> None:
    """
    One that is not there, and one that is there and not well.
    """
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    level, text, fix = examined("--upstream", f"http://127.0.0.1:{port}", code=1)["upstream"]

    assert (level, text) == ("WARN", f"http://127.0.0.1:{port}: no connection")
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
    ("value", "debug", "level", "code"),
    [(None, False, "OK", 0), ("true", True, "INFO", 0), ("true", False, "WARN", 1), ("yes", True, "WARN", 1)],
)
def test_gate(
    examined: Any, monkeypatch: pytest.MonkeyPatch, value: str | None, debug: bool, level: str, code: int
) -> None:
    """
    An override that is ignored is the one thing to mend.
    """
    if value is not None:
        monkeypatch.setenv("COST_CONTROLS_ENABLED", value)

    assert examined(*(["--debug"] if debug else []), code=code)["gate"][0] == level


def test_product_that_is_not_upgraded(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The default product is not idle-prone, which people do not expect.
    """
    assert examined()["policy"][0] == "INFO"
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
    ledger.reserve(Hold("dead", (limit.key,), 1_000_000_000, now - timedelta(hours=1), "m"), (limit,), now)
    ledger.close()
    found = examined("--ledger", "sqlite:///ledger.db", code=1)

    assert found["holds"][0] == "WARN"
    assert found["budget"][:2] == ("OK", "new requests may start")

    ledger = open_ledger("sqlite:///ledger.db")
    ledger.settle("dead", 10_000_000_000, "reported", now)
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

    assert (level, text) == ("OK", f"events go to {upstream.url}, without prompts and answers")
    assert all("phc_" not in str(one.headers) + one.target for one in upstream.received)


def test_telemetry_nobody_takes(examined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An address that does not answer is something to mend.
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
    assert examined()["captures"] == ("OK", "off: nothing that is said is kept", "")
    monkeypatch.setenv("SAVEMODE_CAPTURE", "kept")
    assert examined()["captures"][1] == "on, nothing was kept yet"
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
    assert examined("--upstream", "simulated")["upstream"] == ("OK", "simulated: it comes with the proxy", "")


@pytest.fixture(autouse=True)
def no_client_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Those of the machine do not count.
    """
    for name in ("ENABLE_PROMPT_CACHING_1H", "FORCE_PROMPT_CACHING_5M", "DISABLE_PROMPT_CACHING"):
        monkeypatch.delenv(name, raising=False)
