"""
`savemode budget`: what is kept in the ledger, what is shown of it, and one line for what cannot be done.
"""

import json
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.cli.budget import parse_duration
from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.budget.window import Window
from savemode_cli.core.errors import BadInput
from savemode_cli.ledgers import open_ledger
from tests.support.command import Done, Run, error_line, lines
from tests.support.trusting import trusted_config
from tests.support.waiting import until

USD = 10**9
URL = "sqlite:///ledger.db"


@pytest.fixture(autouse=True)
def configured() -> None:
    """
    A budget of $20 in the configuration, and a ledger in the folder we are in.
    """
    trusted_config(f'budget = "20"\nledger = "{URL}"\n')


def put(
    name: str, nusd: int, *, minutes: int | None = None, budget: str = "default", who: str = "", scope: str = "all"
) -> None:
    """
    A charge; with `minutes`, a hold that runs out then.
    """
    ledger, now = open_ledger(URL), datetime.now(UTC)
    hold = Hold(
        name,
        (Budget(budget, 1, scope=scope).key(who, now),),
        nusd,
        now + timedelta(minutes=minutes or 10),
        "claude-opus-5-5",
    )
    reserve(ledger, hold, [], now)
    if minutes is None:
        settle(ledger, name, nusd, "reported", now)
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
    assert row(done, "budget") == ["budget", "limit", "spent", "held", "left", "used", "status", "advice"]
    assert row(done, "default") == ["default", "$20.0000", "$17.5000", "$0.1200", "$2.3800", "88.1 %", "warn", "engage"]
    assert "monthly, resets " in done.out
    assert "held for running requests: 1, $0.1200" in done.out
    assert re.search(r"^  \$0\.1200  expires in 8 min  claude-opus-5-5, default$", done.out, re.MULTILINE)


def test_unsettled(savemode: Run) -> None:
    """
    An expired hold counts as spent; its age is shown, and how to release it.
    """
    put("dead", 300_000_000, minutes=-130)
    done = savemode("budget", "show")

    assert row(done, "default")[1:5] == ["$20.0000", "$0.3000", "$0.0000", "$19.7000"]
    assert re.search(r"^  \$0\.3000  expired 2 h 10 min ago  claude-opus-5-5, default$", done.out, re.MULTILINE)
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
    assert row(done, "default")[4:] == ["$0.0000", "100.0 %", "exceeded", "blocked"]
    assert lines(done.out)[-2:] == ["  savemode budget set 30.00", "  savemode budget allow --for 1h"]
    assert savemode("budget", "show", "--check", "--json").code == 1


def test_no_budget(savemode: Run) -> None:
    """
    Said, with what to do.
    """
    Path("savemode.toml").unlink()
    done = savemode("budget", "show", "--ledger", "memory:", "--check")

    assert (done.code, lines(done.out)) == (
        0,
        ["No budget is set, so nothing is capped. To set one:", "  savemode budget set 20 --ledger memory:"],
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

    assert (done.code, done.err) == (0, "default is now $5.4000; it was $20.0000\n")
    assert "set in the ledger, in place of the configured $20.0000" in done.out
    assert again.err == "default is now $6.0000; it was $5.4000\n"
    assert kept == (Budget("default", 6 * USD, Window("month", 15), "Europe/Berlin", strict=True),)


def test_what_was_set_later_wins(savemode: Run) -> None:
    """
    The cap of a file counts from the file's last change, that of a variable from the start of the process.
    """
    file = Path("savemode.toml")
    savemode("budget", "set", "30")
    assert row(savemode("budget", "show"), "default")[1] == "$30.0000"

    later = time.time() + 1
    os.utime(file, (later, later))
    until(lambda: time.time() > later)
    changed = savemode("budget", "show")
    assert row(changed, "default")[1] == "$20.0000"
    assert "from savemode.toml: budget, newer than the ledger's $30.0000" in " ".join(changed.out.split())

    savemode("budget", "set", "30")
    assert row(savemode("budget", "show"), "default")[1] == "$30.0000"


def test_variable_counts_from_the_start_of_a_process(savemode: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A proxy that is started with it goes by it, whatever the ledger holds, so that is what is shown.
    """
    savemode("budget", "set", "30")
    monkeypatch.setenv("SAVEMODE_BUDGET", "7")
    (budget,) = shown(savemode)["budgets"]

    assert (budget["limit_usd"], budget["source"], budget["set_in"]) == (
        "7.000000000",
        "configuration",
        "SAVEMODE_BUDGET",
    )
    assert budget["stored"]["limit_usd"] == "30.000000000"


def test_set_another(savemode: Run) -> None:
    """
    A further budget begins with the core's defaults, not with those of the default one.
    """
    trusted_config(f'budget = "20"\nbudget_window = "day"\nledger = "{URL}"\n')
    savemode("budget", "set", "50", "--name", "team", "--scope", "team", "--no-strict")
    budgets = shown(savemode)["budgets"]

    assert [(one["name"], one["window"], one["scope"], one["who"]) for one in budgets] == [
        ("default", "day", "all", ""),
        ("team", "month", "team", ""),
    ]


def test_one_person(savemode: Run) -> None:
    """
    A limit of one's own, shown beside the others', changed, and dropped; the cap lifted for one person.
    """
    savemode("budget", "set", "team", "50", "--scope", "user")
    put("alice", 60 * USD, budget="team", who="alice", scope="user")
    put("bob", 20 * USD, budget="team", who="bob", scope="user")
    raised = savemode("budget", "set", "team", "80", "--who", "alice")
    savemode("budget", "set", "team", "0.5", "--who", "zoe")
    again = savemode("budget", "set", "team", "90", "--who", "alice")

    assert raised.err == "team is now $80.0000 for alice; it was $50.0000\n"
    assert again.err == "team is now $90.0000 for alice; it was $80.0000\n"
    assert [row(again, f"team: {who}")[1:3] for who in ("alice", "bob", "zoe")] == [
        ["$90.0000", "$60.0000"],
        ["$50.0000", "$20.0000"],
        ["$0.5000", "$0.0000"],
    ]

    assert savemode("budget", "drop", "team", "--who", "alice").code == 0
    refused = savemode("budget", "show", "--check")
    assert refused.code == 1
    assert lines(refused.out)[-2:] == [
        "  savemode budget set team 90.00 --who alice",
        "  savemode budget allow team --who alice --for 1h",
    ]

    allowed = savemode("budget", "allow", "team", "--who", "alice", "--for", "1h")
    assert allowed.err.startswith("every request under team of alice is let through until ")
    assert allowed.err.splitlines()[1] == "to end it earlier: savemode budget allow team --who alice --stop"
    show = savemode("budget", "show", "--check")
    assert show.code == 0
    assert "every request under team of alice passes, and is still counted, until " in show.out
    (allowance,) = shown(savemode)["allowances"]
    assert (allowance["budget"], allowance["who"]) == ("team", "alice")

    ended = savemode("budget", "allow", "team", "--who", "alice", "--stop")
    assert ended.err == "the cap applies again to every request under team of alice\n"
    assert savemode("budget", "show", "--check").code == 1


def test_what_a_budget_says_of_people(savemode: Run) -> None:
    """
    Set, kept by the next `set`, and shown.
    """
    people = ("--no-allow-override", "--refusal-hint", "ask Maria", "--unknown", "refuse")
    savemode("budget", "set", "team", "50", "--scope", "user", *people)
    done = savemode("budget", "set", "team", "60")
    team = next(one for one in shown(savemode)["budgets"] if one["name"] == "team")

    assert (team["allow_override"], team["refusal_hint"], team["unknown"]) == (False, "ask Maria", "refuse")
    text = " ".join(done.out.split())
    assert "clients choose their own user" in text
    assert "a request that names no user is refused" in text
    assert "the header x-posthog-budget-override is ignored" in text
    assert "a refusal ends with: ask Maria" in text


def test_scope_of_tokens_that_nobody_has(savemode: Run) -> None:
    """
    It is set, and what that means is said.
    """
    done = savemode("budget", "set", "team", "50", "--scope", "token")
    savemode("tokens", "add", "alice")
    again = savemode("budget", "set", "team", "60", "--scope", "token")

    assert (
        "there is no access token yet, so all requests share this budget; to add one: savemode tokens add NAME"
        in done.err
    )
    assert "access token" not in again.err


def test_set_without_a_configured_one(savemode: Run) -> None:
    """
    Then the plain options say what its window is.
    """
    trusted_config(f'budget_window = "day"\nledger = "{URL}"\n')
    done = savemode("budget", "set", "3")
    (budget,) = shown(savemode)["budgets"]

    assert done.err == "default is now $3.0000\n"
    assert (budget["window"], budget["limit_usd"], budget["source"]) == ("day", "3.000000000", "ledger")


def test_drop(savemode: Run) -> None:
    """
    The configured one counts again.
    """
    savemode("budget", "set", "5")
    done = savemode("budget", "drop", "default")

    assert (done.code, done.err) == (0, "default is dropped; the configured $20.0000 counts again\n")
    assert shown(savemode)["budgets"][0]["limit_nusd"] == 20 * USD
    assert "in the configuration" in error_line(savemode("budget", "drop", "default"))
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
    assert savemode("budget", "allow", "--stop").err == "all budgets apply again\n"
    assert (shown(savemode)["allowed_until"], shown(savemode)["would_refuse"]) == (None, True)


def test_allow_the_guard(savemode: Run) -> None:
    """
    Which is not a budget, so it need not be set, and budgets apply on.
    """
    put("all", 20 * USD)
    done = savemode("budget", "allow", "guard", "--for", "1h")
    read = shown(savemode)

    assert done.err.startswith("every request that the guard stops is let through until ")
    assert "to end it earlier: savemode budget allow guard --stop" in done.err
    assert [one["budget"] for one in read["allowances"]] == ["guard"]
    assert read["would_refuse"] is True
    assert savemode("budget", "allow", "guard", "--stop").err == "the guard applies again\n"
    assert shown(savemode)["allowances"] == []
    assert "there is no budget 'guard'" in savemode("budget", "allow", "guard", "--who", "ann", "--for", "1h").err


def test_release(savemode: Run) -> None:
    """
    One by its id, or all that ran out; the others stay.
    """
    put("running", 100_000_000, minutes=9)
    put("dead", 300_000_000, minutes=-1)
    put("gone", 200_000_000, minutes=-2)
    done = savemode("budget", "release", "--all-expired")

    assert lines(done.out) == ["gone  $0.2000  claude-opus-5-5", "dead  $0.3000  claude-opus-5-5"]
    assert (done.code, done.err) == (0, "released 2 holds, $0.5000 no longer counts as spent or held\n")
    assert [one["id"] for one in shown(savemode)["holds"]] == ["running"]
    assert savemode("budget", "release", "--all-expired").err == "no hold has expired, so nothing was released\n"
    assert savemode("budget", "release", "running").err.startswith("released 1 hold, $0.1000")
    assert "no open hold 'running'" in error_line(savemode("budget", "release", "running"))


def test_commands_to_type_mean_the_same_ledger(savemode: Run) -> None:
    """
    What is printed to be typed has the options that it needs, and the id of the hold.
    """
    put("dead", 300_000_000, minutes=-1)
    Path("savemode.toml").unlink()
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
        "default is now no cap; it was $5.0000",
        "spend is counted, no request is refused, and responses have no headers of this budget",
        "to remove it: savemode budget drop default",
    ]
    assert "no cap: spend is counted, nothing is refused" in done.out


def test_spend_without_a_cap(savemode: Run) -> None:
    """
    What a proxy counted under a budget that is not listed is shown all the same.
    """
    put("all", 3 * USD, budget="nightly")
    done = savemode("budget", "show")

    assert row(done, "nightly")[:3] == ["nightly", "-", "$3.0000"]
    assert "spend is counted; no cap of this name is set or configured" in " ".join(done.out.split())
    assert [one["source"] for one in shown(savemode)["budgets"]] == ["configuration", "spend"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "lots"], "'lots' is not an amount of US dollars"),
        (["set", "-5"], "the cap must be 0 or more (got -5)"),
        (["set", "--", "-5"], "the cap must be 0 or more (got -5)"),
        (["set", "-.5"], "the cap must be 0 or more (got -.5)"),
        (["set", "-0.01", "--name", "x"], "the cap must be 0 or more (got -0.01)"),
        (["set", "5", "--windwo", "week"], "No such option: --windwo (Possible options: --who, --window)"),
        (["set", "--strct", "5"], "No such option: --strct"),
        (["set", "-x"], "No such option: -x"),
        (["set", ""], "an argument is empty"),
        (["set", "5", "--window", "year"], "unknown window 'year'"),
        (["set", "5", "--zone", "Mars"], "unknown time zone 'Mars'"),
        (["set", "5", "--scope", "planet"], "unknown scope 'planet'"),
        (["set", "5", "--name", "a b"], "'a b' cannot name a budget"),
        (["set", "a", "b", "5"], "give one name of a budget (got a, b)"),
        (["set", "a", "5", "--name", "b"], "give one name of a budget (got a, b)"),
        (["set", "team", "5", "--who", "ann"], "there is no budget 'team'"),
        (["set", "5", "--who", "ann"], "all requests share the budget default"),
        (["set", "5", "--who", "ann", "--strict"], "--strict applies to a whole budget and --who to one person"),
        (["set", "5", "--unknown", "maybe"], "unknown is 'maybe'"),
        (["set", "5", "--refusal-hint", "x" * 201], "the refusal_hint is not one line of text"),
        (["drop", "default", "--who", "ann"], "ann has no limit in budget 'default'"),
        (["allow", "nobody", "--for", "1h"], "there is no budget 'nobody'"),
        (["allow", "--who", "ann", "--for", "1h"], "--who needs the name of a budget"),
        (["allow", "default", "--who", "ann", "--for", "1h"], "all requests share the budget default"),
        *(
            ([*words, "--ledger", "memory:"], "the ledger memory: is in the memory of the proxy")
            for words in (["set", "5"], ["drop", "x"], ["allow", "--for", "1h"], ["release", "--all-expired"])
        ),
        (["allow"], "give either --for or --stop"),
        (["allow", "--for", "1h", "--stop"], "--for and --stop cannot be used together"),
        (["show", "--ledger", "sqlite:///typo/ledger.db"], "there is no ledger at typo/ledger.db"),
        (["release", "x", "--ledger", "sqlite:///typo/ledger.db"], "there is no ledger at typo/ledger.db"),
        (["drop", "x", "--ledger", "sqlite:///typo/ledger.db"], "there is no ledger at typo/ledger.db"),
        (["allow", "--for", "soon"], "--for 'soon' is not a duration"),
        (["release"], "give either HOLD_ID or --all-expired"),
        (["release", "x", "--all-expired"], "give either HOLD_ID or --all-expired"),
        (["show", "--ledger", "ledger.db"], "does not name a ledger"),
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


def test_default_ledger(savemode: Run, tmp_path: Path) -> None:
    """
    Without an address it is a file in the user's data folder. To look makes none, and says that there is none and how
    one comes to be; to set a budget does.
    """
    trusted_config('budget = "20"\n')
    done = savemode("budget", "show")

    assert (done.code, row(done, "default")[:3]) == (0, ["default", "$20.0000", "$0.0000"])
    assert done.err.startswith("there is no ledger at ")
    assert "`savemode budget set` create it" in done.err
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
