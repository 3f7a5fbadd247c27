"""
How an address names a ledger.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.errors import ConfigError, LedgerUnavailable
from savemode_cli.ledgers import SCHEMES, Scheme, connected_ledger, file_of, open_ledger
from savemode_cli.ledgers.sqlite import SqliteLedger
from tests.support.awaited import AwaitedLedger
from tests.support.command import Run
from tests.support.processes import python
from tests.support.upstream import Upstream, running_proxy
from tests.support.wire import exchange, request


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_memory(url: str) -> None:
    """
    For a process that stores nothing.
    """
    assert isinstance(open_ledger(url), MemoryLedger)


def test_sqlite_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Three slashes before a relative path, or four before an absolute one; `~` is the home folder.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    for url in ("sqlite:///one.db", f"sqlite:///{tmp_path}/two.db", "sqlite:///~/deep/three.db"):
        ledger = open_ledger(url)
        assert isinstance(ledger, SqliteLedger)
        ledger.close()

    assert {"one.db", "two.db", "deep/three.db"} <= {str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*.db")}


@pytest.mark.parametrize(
    "url", ["", "sqlite:", "sqlite://", "sqlite:///", "memory:x", "mysql://:secret@host/0", "ledger.db"]
)
def test_no_ledger(url: str) -> None:
    """
    The error has examples, and does not contain the password that an address may have.
    """
    with pytest.raises(ConfigError) as error:
        open_ledger(url)

    assert "sqlite:///" in error.value.hint
    assert "secret" not in error.value.message


@pytest.mark.parametrize("url", ["redis://me:secret@host/0", "rediss://:secret@host", "redis://host/0?password=secret"])
@pytest.mark.parametrize("opened", [open_ledger, connected_ledger])
def test_password_is_no_part_of_an_address(url: str, opened: Callable[[str], object]) -> None:
    """
    It would stand in the process list. The error names the two places for it, and does not repeat it.
    """
    with pytest.raises(ConfigError, match="holds a password") as error:
        opened(url)

    assert "SAVEMODE_LEDGER_PASSWORD" in error.value.hint
    assert "secret" not in error.value.message + error.value.hint


def test_ledger_that_cannot_be_opened(tmp_path: Path) -> None:
    """
    If an address is valid but no file can be created there, the ledger is unavailable; this is not a configuration error.
    """
    (tmp_path / "file").write_text("")

    with pytest.raises(LedgerUnavailable, match="cannot open the ledger"):
        open_ledger(f"sqlite:///{tmp_path}/file/ledger.db")


def test_back_end_is_imported_where_it_is_chosen() -> None:
    """
    A ledger in memory does not import SQLite.
    """
    code = "import sys; from savemode_cli.ledgers import open_ledger; open_ledger('memory:'); print('sqlite3' in sys.modules)"

    assert python(code).strip() == "False"


def test_a_ledger_is_one_scheme(monkeypatch: pytest.MonkeyPatch, savemode: Run, upstream: Upstream) -> None:
    """
    A scheme from outside is opened by its address, counts the requests of a proxy, and appears in `doctor`, in `budget
    show` and in the hint of an error.
    """
    ledger = MemoryLedger()
    scheme = Scheme("stone", ("stone://tablet",), lambda url, _: ledger if url == "stone://tablet" else None)
    monkeypatch.setitem(SCHEMES, "stone", scheme)

    assert open_ledger("stone://tablet") is ledger
    assert file_of("stone://tablet") is None
    with running_proxy(upstream.url, ledger="stone://tablet", budget_nusd=1_000_000_000) as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", b'{"model":"claude-opus-5-5","messages":[]}'))
        proxy.exchange()
    assert ledger.charges()
    words = ("--ledger", "stone://tablet")
    assert "stone://tablet" in savemode("doctor", "--port", "0", "--upstream", upstream.url, *words).out
    assert savemode("budget", "show", *words).code == 0
    with pytest.raises(ConfigError, match="stone: does not name a ledger") as error:
        open_ledger("stone://elsewhere")
    assert "stone://tablet" in error.value.hint


def test_a_ledger_over_a_network_is_one_scheme(
    monkeypatch: pytest.MonkeyPatch, savemode: Run, upstream: Upstream
) -> None:
    """
    A proxy awaits the ledger that `connect` returns, from the banner to the last bill; commands call the ledger that
    `open` returns.
    """
    ledger = MemoryLedger()
    awaited = AwaitedLedger(ledger)
    scheme = Scheme(
        "far", ("far://away",), lambda url, _: ledger if url == "far://away" else None, connect=lambda _, __: awaited
    )
    monkeypatch.setitem(SCHEMES, "far", scheme)
    body = b'{"model":"claude-opus-5-5","max_tokens":9,"messages":[]}'

    with running_proxy(upstream.url, ledger="far://away", budget_nusd=1_000_000_000) as proxy:
        answers = [exchange(proxy.port, request("POST", "/v1/messages", body)) for _ in range(2)]
        health = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)
        bill = proxy.exchange(1).bill
    assert [answer.all(b"x-posthog-budget") for answer in answers] == [[b"ok"]] * 2
    assert len(ledger.charges()) == len(awaited.steps) // 2 == 2
    assert (health["ledger"], health["budgets"][0]["spent_nusd"]) == ("ok", sum(one.nusd for one in ledger.charges()))
    assert bill.budget_after is not None
    assert bill.budget_after.status == "ok"
    words = ("--ledger", "far://away")
    assert "far://away" in savemode("doctor", "--port", "0", "--upstream", upstream.url, *words).out
    assert savemode("budget", "show", *words).code == 0
    done = savemode("run", "--budget", "5", *words, "--", sys.executable, "-c", "pass")
    assert done.code == 0
    assert "budget    default" in done.err
