"""
What the configuration says about budgets: every option, the tables, and one error with its place for each mistake.
"""

import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.config import Settings, load
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.window import Window
from savemode_cli.core.errors import ConfigError
from tests.support.trusting import trusted_config


def loaded(text: str = "", environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    """
    The settings with a config file in the folder we are in.
    """
    trusted_config(text)
    return load(flags, environ or {})


def test_nothing() -> None:
    """
    Without a word about it there is no budget, and what happens without a ledger depends on the budgets.
    """
    settings = loaded()

    assert settings.budgets() == ()
    assert (settings.fail, settings.strict, settings.price_file, settings.ledger) == (None, False, None, None)


def test_plain_options() -> None:
    """
    They describe the budget named default, to the nano-dollar.
    """
    settings = loaded(
        'budget = "5.40"\nbudget_window = "month:15"\nbudget_zone = "Europe/Berlin"\nbudget_scope = "user"\n'
        'strict = true\nwarn_at = "0.5"\nengage_at = "0.9"\n'
    )
    zone, half, most = "Europe/Berlin", Decimal("0.5"), Decimal("0.9")

    assert settings.budgets() == (
        Budget("default", 5_400_000_000, Window("month", 15), zone, "user", strict=True, warn_at=half, engage_at=most),
    )


def test_tables() -> None:
    """
    Each table is a budget; what it leaves out is the core's default, and the fractions are everybody's.
    """
    settings = loaded(
        'budget = 20\nstrict = true\nwarn_at = 0.6\n[budgets.b]\nlimit_usd = "50"\nscope = "team"\n'
        '[budgets.a]\nlimit_usd = 4.59\nwindow = "day"\nzone = "Asia/Tokyo"\nstrict = true\n'
    )
    warn_at = Decimal("0.6")

    assert settings.budgets() == (
        Budget("default", 20_000_000_000, strict=True, warn_at=warn_at),
        Budget("a", 4_590_000_000, Window("day"), "Asia/Tokyo", strict=True, warn_at=warn_at),
        Budget("b", 50_000_000_000, scope="team", warn_at=warn_at),
    )


def test_what_budgets_say_of_people() -> None:
    """
    The plain options say it of the default budget, each table of its own.
    """
    settings = loaded(
        'budget = 20\nbudget_scope = "user"\nbudget_allow_override = false\nbudget_refusal_hint = "ask Maria"\n'
        'budget_unknown = "refuse"\n[budgets.a]\nlimit_usd = 50\nscope = "user"\nallow_override = false\n'
        'refusal_hint = "ask Bo"\nunknown = "refuse"\nlimits_usd = { bob = 5.4, alice = "80" }\n'
    )
    firm: dict[str, Any] = {"scope": "user", "allow_override": False, "unknown": "refuse"}

    assert settings.budgets() == (
        Budget("default", 20 * 10**9, refusal_hint="ask Maria", **firm),
        Budget(
            "a",
            50 * 10**9,
            refusal_hint="ask Bo",
            limits=(("alice", 80 * 10**9), ("bob", 5_400_000_000)),
            **firm,
        ),
    )


def test_order_of_sources() -> None:
    """
    A flag wins over the environment, the environment over the file.
    """
    file = 'budget = "1"\nfail = "closed"\nledger = "sqlite:///file.db"\n'
    environ = {"SAVEMODE_BUDGET": "2", "SAVEMODE_LEDGER": "memory:"}

    assert loaded(file).budget_nusd == 10**9
    assert loaded(file, environ).budget_nusd == 2 * 10**9
    assert loaded(file, environ, budget="3").budget_nusd == 3 * 10**9
    assert (loaded(file, environ).ledger_url, loaded(file, environ).fail) == ("memory:", "closed")


def test_the_nearer_table_counts() -> None:
    """
    A table in the file that --config names takes the place of the one of the same name, as a whole.
    """
    Path("near.toml").write_text('[budgets.a]\nlimit_usd = "2"\n')
    trusted_config('[budgets.a]\nlimit_usd = "1"\nstrict = true\n[budgets.b]\nlimit_usd = "9"\n')

    assert [(one.name, one.limit_nusd, one.strict) for one in load({}, {}, config=Path("near.toml")).budgets()] == [
        ("a", 2 * 10**9, False),
        ("b", 9 * 10**9, False),
    ]


def test_when_and_where_a_budget_was_set() -> None:
    """
    A file is set when it was changed, and never later than now; a variable and a flag when the process starts.
    """
    file = 'budget = "1"\n[budgets.a]\nlimit_usd = "1"\n'
    before = time.time_ns() // 1000
    by_environment, by_flag = (loaded(file, {"SAVEMODE_BUDGET": "2"}), loaded(file, budget="3"))
    os.utime("savemode.toml", (1_000, 1_000))
    by_file = load({}, {})
    os.utime("savemode.toml", (1e10, 1e10))
    of_the_future = load({}, {})

    assert [one.set_at_us for one in by_file.budgets()] == [1_000_000_000] * 2
    assert all(before <= one.set_at_us for settings in (by_environment, by_flag) for one in settings.budgets()[:1])
    assert all(one.set_at_us <= time.time_ns() // 1000 for one in of_the_future.budgets())
    assert [settings.budgets()[0].source for settings in (by_file, by_environment, by_flag)] == [
        "savemode.toml: budget",
        "SAVEMODE_BUDGET",
        "--budget",
    ]
    assert by_file.budgets()[1].source == "savemode.toml: budgets.a"


def test_one_ledger_has_one_id(tmp_path: Path) -> None:
    """
    However its path is spelled; one in memory is nobody else's, and no address can be read from it.
    """
    ids = {
        loaded(f'ledger = "sqlite:///{path}"').ledger_id
        for path in ("x/../ledger.db", "ledger.db", Path("ledger.db").absolute())
    }

    assert len(ids) == 1
    assert ids != {loaded('ledger = "sqlite:///other.db"').ledger_id}
    assert loaded('ledger = "memory:"').ledger_id == ""
    assert "secret" not in loaded('ledger = "redis://user:secret@host/0"').ledger_id
    assert loaded().proxies_folder.is_relative_to(tmp_path)


def test_default_ledger(tmp_path: Path) -> None:
    """
    A file in the user's data folder, named when it is asked for.
    """
    url = loaded().ledger_url

    assert url.startswith(f"sqlite:///{tmp_path}")
    assert url.endswith("savemode/ledger.sqlite3")


def test_price_file() -> None:
    """
    A path; `~` is home.
    """
    assert loaded('price_file = "~/prices.toml"').price_file == Path.home() / "prices.toml"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('budget = "a lot"', "savemode.toml: budget is 'a lot'", "give US dollars, like 20 or 5.40"),
        ('budget = "NaN"', "savemode.toml: budget is 'NaN'", "give US dollars"),
        ('budget = "-5"', "savemode.toml: budget is '-5'", "0: count, and limit nothing"),
        ("budget = true", "savemode.toml: budget is True", "give US dollars"),
        ("budget = nan", "savemode.toml: budget is nan", "give US dollars"),
        ('budget = "1e99"', "savemode.toml: budget is '1e99'", "up to $9,007,199.2547"),
        ('budget_window = "year"', "savemode.toml: budget_window is 'year'", "give month, week, day"),
        ("budget_window = 15", "savemode.toml: budget_window is 15", "give a text"),
        ('budget_window = "month:32"', "savemode.toml: budget_window is 'month:32'", "give 1 to 31"),
        ('budget_zone = "Atlantis"', "savemode.toml: budget_zone is 'Atlantis'", "Europe/Berlin"),
        ('budget_scope = "planet"', "savemode.toml: budget_scope is 'planet'", "give all, run"),
        ('budget_scope = "header:x-api-key"', "savemode.toml: budget_scope is 'header:x-api-key'", 'scope "key"'),
        ('strict = "maybe"', "savemode.toml: strict is 'maybe'", "give true or false"),
        ('fail = "ajar"', "savemode.toml: fail is 'ajar'", "give open | closed"),
        ('warn_at = "70%"', "savemode.toml: warn_at is '70%'", "a fraction above 0"),
        ('warn_at = "0"', "savemode.toml: warn_at is '0'", "a fraction above 0"),
        ('engage_at = "1.01"', "savemode.toml: engage_at is '1.01'", "up to 1"),
        ('engage_at = "nan"', "savemode.toml: engage_at is 'nan'", "up to 1"),
        ("engage_at = true", "savemode.toml: engage_at is True", "up to 1"),
        ('warn_at = "0.9"', "savemode.toml: warn_at: warn_at 0.9 is above engage_at 0.85", "give both"),
        ("engage_at = 0.5", "savemode.toml: engage_at: warn_at 0.70 is above engage_at 0.5", "give both"),
        ('ledger = ""', "savemode.toml: ledger is ''", "give a text"),
        ("budgets = 3", "savemode.toml: budgets is 3", "give a table"),
        ("[budgets]\na = 3", "savemode.toml: budgets.a has no limit_usd", 'limit_usd = "20"'),
        ("[budgets.a]\nstrict = true", "savemode.toml: budgets.a has no limit_usd", 'limit_usd = "20"'),
        (
            "[budgets.a]\nlimit_usd = 1\nlimits = 2",
            "savemode.toml: budgets.a.limits: there is no such option",
            "limit_usd, w",
        ),
        (
            '[budgets.a]\nlimit_usd = 1\nscope = "user"\nlimits_usd = 3',
            "savemode.toml: budgets.a.limits_usd is 3",
            "give a table",
        ),
        (
            '[budgets.a]\nlimit_usd = 1\nscope = "user"\nlimits_usd = { ann = -3 }',
            "savemode.toml: budgets.a.limits_usd.ann is -3",
            "give US dollars",
        ),
        (
            '[budgets.a]\nlimit_usd = 1\nscope = "user"\nlimits_usd = { "" = 3 }',
            "savemode.toml: budgets.a.limits_usd: '' cannot name a person",
            "like alice",
        ),
        (
            "[budgets.a]\nlimit_usd = 1\nlimits_usd = { ann = 3 }",
            "savemode.toml: budgets.a: budget a: everybody shares it, so nobody has a limit of their own",
            'like "user"',
        ),
        ('[budgets.a]\nlimit_usd = 1\nunknown = "x"', "savemode.toml: budgets.a.unknown is 'x'", "share | refuse"),
        (
            '[budgets.a]\nlimit_usd = 1\nrefusal_hint = "a\\nb"',
            "savemode.toml: budgets.a.refusal_hint is 'a\\nb'",
            "up to 200 characters",
        ),
        ('budget_unknown = "x"', "savemode.toml: budget_unknown is 'x'", "share | refuse"),
        ('budget_refusal_hint = ""', "savemode.toml: budget_refusal_hint is ''", "give a text"),
        ('[budgets.a]\nlimit_usd = "x"', "savemode.toml: budgets.a.limit_usd is 'x'", "give US dollars"),
        ('[budgets.a]\nlimit_usd = 1\nwindow = "x"', "savemode.toml: budgets.a.window is 'x'", "give month"),
        ('[budgets.a]\nlimit_usd = 1\nzone = "x"', "savemode.toml: budgets.a.zone is 'x'", "Europe/Berlin"),
        ('[budgets.a]\nlimit_usd = 1\nscope = "x"', "savemode.toml: budgets.a.scope is 'x'", "give all"),
        ('[budgets.a]\nlimit_usd = 1\nstrict = "x"', "savemode.toml: budgets.a.strict is 'x'", "true or false"),
        ('[budgets."a b"]\nlimit_usd = 1', "savemode.toml: budgets.a b: 'a b' cannot name a budget", "letters"),
        (
            "budget = 1\n[budgets.default]\nlimit_usd = 2",
            "savemode.toml: budgets.default and savemode.toml: budget are both the budget default",
            "leave out one",
        ),
    ],
)
def test_mistakes(text: str, message: str, hint: str) -> None:
    """
    Each says where it is, what was found and what to give instead.
    """
    with pytest.raises(ConfigError) as error:
        loaded(text)

    assert error.value.message == message
    assert hint in error.value.hint


def test_places() -> None:
    """
    A flag and a variable are named as they were typed.
    """
    with pytest.raises(ConfigError) as flag:
        loaded(budget_zone="Mars")
    with pytest.raises(ConfigError) as variable:
        loaded(environ={"SAVEMODE_WARN_AT": "2"})

    assert flag.value.message == "--budget-zone is 'Mars'"
    assert variable.value.message == "SAVEMODE_WARN_AT is '2'"


def test_strict_budget_that_only_warns() -> None:
    """
    The error names both places, whichever source each is from.
    """
    with pytest.raises(ConfigError, match="SAVEMODE_BUDGET_ACTION: budget_action is warn, and --strict makes") as error:
        load({"budget": "5", "strict": True}, {"SAVEMODE_BUDGET_ACTION": "warn"})

    assert "leave out one" in error.value.hint
