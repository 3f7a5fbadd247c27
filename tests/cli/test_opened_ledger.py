"""
The ledger of a command: when it is created, when an empty one takes its place, and that it is closed at the end.
"""

from pathlib import Path
from typing import Any

import pytest

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.opened_ledger import ask_proxies, open_configured, opened_ledger
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.errors import BadInput, LedgerUnavailable
from tests.support.command import Run, error_line
from tests.support.trusting import trusted_config

USD = 10**9
URL = "sqlite:///ledger.db"


def given(**options: Any) -> Flags:
    """
    The flags of a command line with these options.
    """
    return Flags(options)


def test_create() -> None:
    """
    The file is created, and the next command reads what this one wrote.
    """
    with opened_ledger(given(ledger=URL)) as (settings, ledger):
        ledger.set_budget(Budget("team", 7 * USD))
    assert settings.ledger_url == URL

    with opened_ledger(given(ledger=URL), missing="refuse") as (_, again):
        assert [(one.name, one.limit_nusd) for one in again.budgets()] == [("team", 7 * USD)]


def test_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A ledger that does not exist yet is shown as an empty one, with a line on stderr, and is not created.
    """
    trusted_config(f'ledger = "{URL}"\n')

    with opened_ledger(given(), missing="empty") as (_, ledger):
        assert ledger.budgets() == ()

    said = capsys.readouterr()
    assert said.out == ""
    assert "there is no ledger at ledger.db yet" in said.err
    assert not Path("ledger.db").exists()


@pytest.mark.parametrize(
    ("options", "missing"), [({}, "refuse"), ({"ledger": URL}, "refuse"), ({"ledger": URL}, "empty")]
)
def test_refuse(options: dict[str, str], missing: Any) -> None:
    """
    A command that needs a ledger does not create it, and an address on the command line that leads to none is a mistake.
    """
    trusted_config(f'ledger = "{URL}"\n')

    with (
        pytest.raises(BadInput, match=r"^there is no ledger at ledger\.db$"),
        opened_ledger(given(**options), missing=missing),
    ):
        pass

    assert not Path("ledger.db").exists()


def test_ledger_in_the_memory_of_a_proxy() -> None:
    """
    No command can write it; a command that may use an empty ledger gets one.
    """
    with pytest.raises(BadInput, match="in the memory of the proxy"), opened_ledger(given(ledger="memory:")):
        pass
    with opened_ledger(given(ledger="memory:"), missing="empty") as (settings, ledger):
        assert isinstance(ledger, MemoryLedger)
        assert ask_proxies(settings, ledger).proxies == ()


def test_closed_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The ledger is closed if the command fails, too.
    """
    closed: list[int] = []

    class Closing(MemoryLedger):
        def close(self) -> None:
            closed.append(1)

    monkeypatch.setattr("savemode_cli.cli.opened_ledger.open_configured", lambda _settings: Closing())
    with pytest.raises(ZeroDivisionError), opened_ledger(given(ledger=URL)):
        raise ZeroDivisionError

    assert closed == [1]


def test_budgets_that_no_proxy_enforces() -> None:
    """
    If no proxy runs, the budgets are those that the next one would enforce: the configured ones and those in the ledger.
    """
    with opened_ledger(given(ledger=URL, budget="20")) as (settings, ledger):
        ledger.set_budget(Budget("team", 7 * USD))
        asked = ask_proxies(settings, ledger)

    assert (asked.proxies, asked.silent) == ((), ())
    assert sorted((one.budget.name, one.source) for one in asked.next) == [
        ("default", "configuration"),
        ("team", "ledger"),
    ]


def test_ledger_that_cannot_be_opened(savemode: Run) -> None:
    """
    It is an error line.
    """
    Path("ledger.db").write_text("this is no database, and long enough to be taken for one" * 20)

    with pytest.raises(LedgerUnavailable, match="cannot open the ledger"):
        open_configured(given(ledger=URL).settings())
    assert "cannot open the ledger ledger.db" in error_line(savemode("budget", "show", "--ledger", URL))
