"""
`savemode budget`: what is kept in the ledger, what is shown of it, and one line for what cannot be done.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.cli.budget import parse_duration
from savemode_cli.core.admission import Hold
from savemode_cli.core.budget import Budget, Window
from savemode_cli.core.errors import BadInput
from savemode_cli.ledgers import open_ledger
from tests.cli.command import Done, Run, error_line, lines

USD = 10**9
URL = "sqlite:///ledger.db"
ELSEWHERE = "caps of a running proxy (--budget) are not in the ledger: see its /-/health"


@pytest.fixture(autouse=True)
def configured() -> None:
    """
    A budget of $20 in the configuration, and a ledger in the folder we are in.
    """
    Path("savemode.toml").write_text(f'budget = "20"\nledger = "{URL}"\n')


def put(name: str, nusd: int, *, minutes: int | None = None, budget: str = "default") -> None:
    """
    A charge; with `minutes`, a hold that runs out then.
    """
    ledger, now = open_ledger(URL), datetime.now(UTC)
    hold = Hold(
        name, (Budget(budget, 1).key("", now),), nusd, now + timedelta(minutes=minutes or 10), "claude-opus-5-5"
    )
    ledger.reserve(hold, [], now)
    if minutes is None:
        ledger.settle(name, nusd, "reported", now)
    ledger.close()


def shown(savemode: Run, *words: str) -> dict[str, Any]:
    """
    What `show --json` says.
    """
    read: dict[str, Any] = json.loads(savemode("budget", "show", "--json", *words).out)
    return read


def row(done: Done, name: str) -> list[str]:
    """
    The cells of a budget's line.
    """
    return next(cells for line in lines(done.out) if (cells := re.split(r" {2,}", line))[0] == name)


def test_show(savemode: Run) -> None:
    """
    $17.50 spent and $0.12 held of $20: $2.38 left, 88.1 % used, warn and engage.
    """
    put("spent", 17_500_000_000)
    put("running", 120_000_000, minutes=9)
    done = savemode("budget", "show")

    assert (done.code, done.err) == (0, "")
    assert row(done, "budget") == ["budget", "limit", "spent", "held", "left", "used", "guard", "client"]
    assert row(done, "default") == ["default", "$20.00", "$17.50", "$0.12", "$2.38", "88.1 %", "warn", "engage"]
    assert "monthly, resets " in done.out
    assert "held by requests under way: 1, $0.12" in done.out
    assert re.search(r"^  \$0\.12  runs out in 8 min  claude-opus-5-5, default *$", done.out, re.MULTILINE)


def test_unsettled(savemode: Run) -> None:
    """
    A hold that ran out counts as spent, its age is said, and how to give it back.
    """
    put("dead", 300_000_000, minutes=-130)
    done = savemode("budget", "show")

    assert row(done, "default")[1:5] == ["$20.00", "$0.30", "$0.00", "$19.70"]
    assert re.search(r"^  \$0\.30  ran out 2 h 10 min ago  claude-opus-5-5, default *$", done.out, re.MULTILINE)
    assert lines(done.out)[-1] == "  savemode budget release --all-expired"


def test_json(savemode: Run) -> None:
    """
    Amounts twice, integers and text; both scales; the hold with its keys.
    """
    put("spent", 17_500_000_000)
    put("running", 120_000_000, minutes=9)
    read = shown(savemode)
    (budget,), (hold,) = read["budgets"], read["holds"]

    assert (read["schema_version"], read["would_refuse"], read["allowed_until"]) == (1, False, None)
    assert read["ledger"] == URL
    assert (budget["limit_nusd"], budget["limit_usd"], budget["source"]) == (20 * USD, "20.000000000", "configuration")
    assert (budget["spent_nusd"], budget["held_usd"], budget["remaining_nusd"]) == (
        17_500_000_000,
        "0.120000000",
        2_380_000_000,
    )
    assert (budget["guard_status"], budget["client_state"], budget["recommended_mode"]) == (
        "warn",
        "engage",
        "max_save",
    )
    assert (budget["used_permille"], budget["refusal"], budget["over_nusd"]) == (881, None, 0)
    assert (hold["id"], hold["ask_nusd"], hold["unsettled"], hold["keys"]) == (
        "running",
        120_000_000,
        False,
        [budget["key"]],
    )


def test_check(savemode: Run) -> None:
    """
    0 while a request may start, 1 at the cap; the screen says what to do.
    """
    put("most", 19_999_999_999)
    assert savemode("budget", "show", "--check").code == 0
    put("rest", 1)
    done = savemode("budget", "show", "--check")

    assert done.code == 1
    assert row(done, "default")[4:] == ["$0.00", "100.0 %", "exceeded", "blocked"]
    assert lines(done.out)[-2:] == ["  savemode budget set 30.00", "  savemode budget allow --for 1h"]
    assert savemode("budget", "show", "--check", "--json").code == 1


def test_no_budget(savemode: Run) -> None:
    """
    Said, with what to do.
    """
    Path("savemode.toml").write_text("")
    done = savemode("budget", "show", "--ledger", "memory:", "--check")

    assert (done.code, lines(done.out)) == (
        0,
        [ELSEWHERE, "no budget is set: nothing is capped; to set one:", "  savemode budget set 20 --ledger memory:"],
    )


def test_set(savemode: Run) -> None:
    """
    The ledger's wins over the configured one; what is not given stays as it was.
    """
    done = savemode("budget", "set", "5.40", "--window", "month:15", "--zone", "Europe/Berlin", "--strict")
    again = savemode("budget", "set", "6")
    ledger = open_ledger(URL)
    kept = ledger.budgets()
    ledger.close()

    assert (done.code, done.err) == (0, "default is now $5.40, it was $20.00\n")
    assert "set in the ledger, in place of the configured $20.00" in done.out
    assert again.err == "default is now $6.00, it was $5.40\n"
    assert kept == (Budget("default", 6 * USD, Window("month", 15), "Europe/Berlin", strict=True),)


def test_set_another(savemode: Run) -> None:
    """
    A further budget begins with the core's defaults, not with those of the default one.
    """
    Path("savemode.toml").write_text(f'budget = "20"\nbudget_window = "day"\nledger = "{URL}"\n')
    savemode("budget", "set", "50", "--name", "team", "--scope", "team", "--no-strict")
    budgets = shown(savemode)["budgets"]

    assert [(one["name"], one["window"], one["scope"], one["who"]) for one in budgets] == [
        ("default", "day", "all", ""),
        ("team", "month", "team", ""),
    ]


def test_set_without_a_configured_one(savemode: Run) -> None:
    """
    Then the plain options say what its window is.
    """
    Path("savemode.toml").write_text(f'budget_window = "day"\nledger = "{URL}"\n')
    done = savemode("budget", "set", "3")
    (budget,) = shown(savemode)["budgets"]

    assert done.err == "default is now $3.00\n"
    assert (budget["window"], budget["limit_usd"], budget["source"]) == ("day", "3.000000000", "ledger")


def test_drop(savemode: Run) -> None:
    """
    The configured one counts again.
    """
    savemode("budget", "set", "5")
    done = savemode("budget", "drop", "default")

    assert (done.code, done.err) == (0, "default is dropped; the configured $20.00 counts again\n")
    assert shown(savemode)["budgets"][0]["limit_nusd"] == 20 * USD
    assert "from the configuration" in error_line(savemode("budget", "drop", "default"))
    assert "no budget 'x' in the ledger" in error_line(savemode("budget", "drop", "x"))


def test_allow(savemode: Run) -> None:
    """
    For a while nothing is refused; it can be ended.
    """
    put("all", 20 * USD)
    before = datetime.now(UTC)
    done = savemode("budget", "allow", "--for", "1h")
    read = shown(savemode)
    until = datetime.fromisoformat(read["allowed_until"])

    assert (done.code, done.out) == (0, "")
    assert timedelta(minutes=59) < until - before < timedelta(minutes=61)
    assert read["would_refuse"] is False
    assert "savemode budget allow --stop" in savemode("budget", "show").out
    assert savemode("budget", "allow", "--stop").err == "the budgets decide again\n"
    assert (shown(savemode)["allowed_until"], shown(savemode)["would_refuse"]) == (None, True)


def test_release(savemode: Run) -> None:
    """
    One by its id, or all that ran out; the others stay.
    """
    put("running", 100_000_000, minutes=9)
    put("dead", 300_000_000, minutes=-1)
    put("gone", 200_000_000, minutes=-2)
    done = savemode("budget", "release", "--all-expired")

    assert lines(done.out) == ["gone  $0.20  claude-opus-5-5", "dead  $0.30  claude-opus-5-5"]
    assert (done.code, done.err) == (0, "released 2 holds, $0.50 no longer counts as spent or held\n")
    assert [one["id"] for one in shown(savemode)["holds"]] == ["running"]
    assert savemode("budget", "release", "--all-expired").err == "no hold has run out: nothing to release\n"
    assert savemode("budget", "release", "running").err.startswith("released 1 hold, $0.10")
    assert "no open hold 'running'" in error_line(savemode("budget", "release", "running"))


def test_commands_to_type_mean_the_same_ledger(savemode: Run) -> None:
    """
    What is printed to be typed has the options that it needs, and the id of the hold.
    """
    put("dead", 300_000_000, minutes=-1)
    Path("savemode.toml").write_text("")
    said = lines(savemode("budget", "show", "--ledger", URL).out)

    assert f"    savemode budget release dead --ledger {URL}" in said
    assert f"  savemode budget release --all-expired --ledger {URL}" in said


def test_no_cap(savemode: Run) -> None:
    """
    0 is no cap: it says what that does and how to forget the budget.
    """
    savemode("budget", "set", "5")
    done = savemode("budget", "set", "0")

    assert done.err.splitlines() == [
        "default is now no cap, it was $5.00",
        "spend is counted, nothing is refused, and answers carry no budget headers for it",
        "to forget it: savemode budget drop default",
    ]
    assert "no cap: spend is counted, nothing is refused" in done.out


def test_spend_without_a_cap(savemode: Run) -> None:
    """
    What a proxy counted under a budget that is not listed is shown all the same, with where its cap may be.
    """
    put("all", 3 * USD, budget="nightly")
    done = savemode("budget", "show")

    assert row(done, "nightly")[:3] == ["nightly", "-", "$3.00"]
    assert "counted, and no cap of this name is set in the ledger or configured" in done.out
    assert lines(done.out)[-1] == ELSEWHERE
    assert [one["source"] for one in shown(savemode)["budgets"]] == ["configuration", "spend"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "lots"], "'lots' is no amount of US dollars"),
        (["set", "-5"], "a cap of -5 dollars would refuse nothing"),
        (["set", "--", "-5"], "a cap of -5 dollars would refuse nothing"),
        (["set", "5", "--windwo", "week"], "--windwo"),
        (["set", "5", "--window", "year"], "unknown window 'year'"),
        (["set", "5", "--zone", "Mars"], "unknown time zone 'Mars'"),
        (["set", "5", "--scope", "planet"], "unknown scope 'planet'"),
        (["set", "5", "--name", "a b"], "'a b' cannot name a budget"),
        (["allow"], "say for how long, or --stop"),
        (["allow", "--for", "1h", "--stop"], "--for begins it and --stop ends it: give one of them"),
        (["show", "--ledger", "sqlite:///typo/ledger.db"], "there is no ledger at typo/ledger.db"),
        (["release", "x", "--ledger", "sqlite:///typo/ledger.db"], "there is no ledger at typo/ledger.db"),
        (["drop", "x", "--ledger", "sqlite:///typo/ledger.db"], "there is no ledger at typo/ledger.db"),
        (["allow", "--for", "soon"], "--for 'soon' is no time span"),
        (["release"], "name one hold, or --all-expired"),
        (["release", "x", "--all-expired"], "name one hold, or --all-expired"),
        (["show", "--ledger", "ledger.db"], "names no ledger"),
        (["show", "--config", "none.toml"], "no such config file"),
        (["show", "--nonsense"], "No such option"),
    ],
)
def test_mistakes(savemode: Run, words: list[str], said: str) -> None:
    """
    One error line, exit code 2, and nothing on stdout.
    """
    Path("ledger.db").touch()

    assert said in error_line(savemode("budget", *words))
    assert not Path("typo").exists()


def test_no_ledger_file(savemode: Run) -> None:
    """
    A ledger that cannot be opened is an error line, too.
    """
    Path("ledger.db").write_text("this is no database, and long enough to be taken for one" * 20)

    assert "cannot open the ledger ledger.db" in error_line(savemode("budget", "show"))


def test_default_ledger(savemode: Run, tmp_path: Path) -> None:
    """
    Without an address it is a file in the user's data folder. To look makes none, and says that there is none and how
    one comes to be; to set a budget does.
    """
    Path("savemode.toml").write_text('budget = "20"\n')
    done = savemode("budget", "show")

    assert (done.code, row(done, "default")[:3]) == (0, ["default", "$20.00", "$0.00"])
    assert done.err.startswith("there is no ledger at ")
    assert "`savemode budget set` make one" in done.err
    assert not list(tmp_path.rglob("ledger.sqlite3"))
    assert savemode("budget", "set", "5").code == 0
    assert len(list(tmp_path.rglob("savemode/ledger.sqlite3"))) == 1


def test_no_arguments(savemode: Run) -> None:
    """
    The help text, and no error.
    """
    done = savemode("budget")

    assert done.code == 0
    assert "release" in done.out


@pytest.mark.parametrize(
    ("text", "length"),
    [("30m", timedelta(minutes=30)), ("1H", timedelta(hours=1)), (" 31d ", timedelta(days=31))],
)
def test_duration(text: str, length: timedelta) -> None:
    """
    Minutes, hours, days.
    """
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "1", "h", "0m", "-1h", "1y", "1.5h", "32d", "9999d", "99999m", "\u0661h"])
def test_no_duration(text: str) -> None:
    """
    Nothing, nonsense and more than a month.
    """
    with pytest.raises(BadInput):
        parse_duration(text)
