"""
`savemode budget forecast` and `savemode budget suggest`.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import CLAIMS, reserve, settle
from savemode_cli.core.budget.window import parse_window
from savemode_cli.ledgers import open_ledger
from tests.support.command import Run, error_line
from tests.support.transcripts import Transcript, usage
from tests.support.trusting import trusted_config

USD = 10**9
URL = "sqlite:///ledger.db"


@pytest.fixture(autouse=True)
def configured() -> None:
    """
    A budget of $400, and a ledger in the folder we are in.
    """
    trusted_config(f'budget = "400"\nbudget_window = "30d"\nledger = "{URL}"\n')


def spend(days: int = 20, nusd: int = 10 * USD, *, budget: str = "default", scope: str = "all", who: str = "") -> None:
    """
    A charge at noon of each of the last days, today not included.
    """
    ledger, now = open_ledger(URL), datetime.now(UTC)
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
    counted = Budget(budget, 1, parse_window("30d"), scope=scope)
    for day in range(days, 0, -1):
        at = noon - timedelta(days=day)
        name = f"{budget}{who}{day}"
        reserve(ledger, Hold(name, (counted.key(who, at),), nusd, at + timedelta(minutes=9)), [], at)
        settle(ledger, name, nusd, "reported", at)
    claim = Hold(f"alert{who}", (CLAIMS,), 0, now)
    reserve(ledger, claim, [], now)
    settle(ledger, claim.id, 0, "none", now)
    ledger.close()


def test_forecast_from_the_ledger(savemode: Run) -> None:
    """
    $10 a day: $200 of $400 are spent, and the rolling window has charges of up to 20 days.
    """
    spend()
    read = json.loads(savemode("budget", "forecast", "--json").out)

    assert (read["budget"], read["source"], read["days"]) == ("default", "the ledger", 20)
    assert (read["spent_nusd"], read["limit_nusd"]) == (200 * USD, 400 * USD)
    assert read["reached"] == {"earliest": None, "expected": None, "latest": None}
    nearer = json.loads(savemode("budget", "forecast", "--limit", "235", "--json").out)
    expected = datetime.fromisoformat(nearer["reached"]["expected"]) - datetime.now(UTC)
    assert timedelta(days=2) < expected < timedelta(days=4)
    assert "reached" in savemode("budget", "forecast").out


def test_forecast_from_files(savemode: Run) -> None:
    """
    The spend in the window is then that of the files.
    """
    made = Transcript("s", at=datetime.now(UTC) - timedelta(days=20))
    for number in range(20):
        made.user().answer(str(number), usage(plain=1_000_000)).wait(days=1)
    made.write(Path("projects"))
    read = json.loads(savemode("budget", "forecast", "--from", "projects", "--json").out)

    assert (read["source"], read["days"]) == ("1 file", 20)
    assert read["spent_nusd"] == 20 * 4_000_140_000
    assert savemode("budget", "suggest", "--from", "projects").out.startswith("      windows")


def test_forecast_of_a_person(savemode: Run) -> None:
    """
    Of that person's charges only.
    """
    Path("my.toml").write_text(f'ledger = "{URL}"\n[budgets.team]\nlimit_usd = "90"\nscope = "user"\nwindow = "30d"\n')
    spend(budget="team", scope="user", who="ann")
    spend(budget="team", scope="user", who="bob", nusd=USD)
    read = json.loads(savemode("budget", "forecast", "team", "--who", "bob", "--json", "--config", "my.toml").out)

    assert (read["who"], read["spent_nusd"], read["usual_nusd"]["Mon"]) == ("bob", 20 * USD, USD)
    assert "each user has a budget team of its own" in savemode("budget", "forecast", "team", "--config", "my.toml").err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "a forecast needs 10 complete days of spend, and there are 0"),
        (("nobody",), "there is no budget 'nobody'"),
        (("--limit", "0"), "--limit '0' is not an amount above 0"),
        (("--from", "nowhere"), "nowhere"),
    ],
)
def test_errors(savemode: Run, words: tuple[str, ...], says: str) -> None:
    """
    One line, and a way out.
    """
    done = savemode("budget", "forecast", *words)

    assert done.code == 2
    assert says in error_line(done)


def test_windows_that_cannot_be_forecast(savemode: Run) -> None:
    """
    A window of hours, and a budget without a limit.
    """
    spend()
    savemode("budget", "set", "0")
    assert "has no limit that can be reached" in savemode("budget", "forecast").err
    savemode("budget", "set", "short", "5", "--window", "5h")
    assert "a forecast counts in days" in savemode("budget", "forecast", "short").err


def test_suggest_and_set(savemode: Run) -> None:
    """
    The table; with `--set` the budget is in the ledger, and takes effect in running proxies.
    """
    spend()
    done = savemode("budget", "suggest", "--set", "day", "--set", "week")
    budgets = {one["name"]: one for one in json.loads(savemode("budget", "show", "--json").out)["budgets"]}

    assert done.out.splitlines()[1].split() == ["day", "20", "$10.0000", "$10.0000", "$10.0000", "$11.0000", "0"]
    assert "budget day is now $11.0000; to remove it: savemode budget drop day" in done.err
    assert (budgets["day"]["limit_nusd"], budgets["week"]["window"]) == (11 * USD, "week")
    read = json.loads(savemode("budget", "suggest", "--days", "5", "--json").out)
    assert [(one["window"], one["windows"]) for one in read["suggested"]] == [("day", 5)]


def test_nothing_to_suggest_from(savemode: Run) -> None:
    """
    It says what is missing, and sets nothing.
    """
    assert "the ledger has no complete day of spend in the last 30 days" in savemode("budget", "suggest").err
    spend(5)
    done = savemode("budget", "suggest", "--set", "day", "--set", "week")
    assert "the ledger has no complete week of spend in the last 30 days" in done.err
    assert "day" not in [one["name"] for one in json.loads(savemode("budget", "show", "--json").out)["budgets"]]
    assert "--set must be one of day, week, month (got 'year')" in savemode("budget", "suggest", "--set", "year").err
