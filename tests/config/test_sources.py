"""
The sources of options: what the file of a folder decides, with trust and without.
"""

import os
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savemode_cli.config import OPTIONS, Settings, load
from savemode_cli.config.sources import trust_store
from savemode_cli.core.budget.budget import Budget
from tests.support.configured import AS_TOML, TABLES
from tests.support.trusting import trust, trusted_config

FILE = Path("savemode.toml")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
HARMLESS = frozenset(name for name, option in OPTIONS.items() if option.harmless)
BUDGET_TERMS = {
    f"budget{term}" for term in ("", "_window", "_zone", "_scope", "_allow_override", "_unknown", "_action")
} | {"strict"}


def decided(**more: Any) -> dict[str, Any]:
    """
    The settings in this folder, without the budgets.
    """
    loaded = load({}, {}, **more)
    return {
        one.name: getattr(loaded, one.name) for one in fields(Settings) if one.compare and "budgets" not in one.name
    }


def test_the_options_are_all_here() -> None:
    """
    The tests below run over every option there is.
    """
    assert set(AS_TOML) == set(OPTIONS)
    assert {"product", "ttl_policy", "log_format", "quiet", "verbose"} == HARMLESS


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_a_file_that_is_not_trusted(name: str) -> None:
    """
    Harmless ones have their effect; of all others the file is as good as not there, and the warning names them.
    """
    FILE.write_text(f"{name} = {AS_TOML[name]}\n")
    found = load({}, {})

    if name in HARMLESS:
        assert (found.untrusted, found != load({}, {}, folder=Path("elsewhere"))) == (None, True)
        assert [(one.options, one.trusted) for one in found.files] == [((name,), False)]
    elif name in ("budget", "budgets"):
        assert found.untrusted is None
        assert replace(found, further_budgets=()) == Settings()
    else:
        assert found == Settings()
        assert found.files == ()
        assert found.untrusted is not None
        assert (found.untrusted.path, found.untrusted.ignored) == (str(FILE.resolve()), (name,))
        assert str(found.untrusted) == f"{FILE.resolve()} is not trusted, so these options of it are ignored: {name}"


@given(
    hostile=st.dictionaries(st.sampled_from(sorted(AS_TOML)), st.just(None), max_size=12),
    own=st.sets(st.sampled_from(sorted(set(OPTIONS) - {*TABLES, "product"})), max_size=6),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_takes_over(tmp_path: Path, hostile: dict[str, None], own: set[str]) -> None:
    """
    Whatever a folder's file says and whatever the person has configured: nothing but harmless options changes, and each of
    the person's budgets is still there. What it adds is under names that are no others'.
    """
    own -= {"budget_action"} if "strict" in own else set()
    user = tmp_path / "user"
    user.mkdir(exist_ok=True)
    (user / "savemode.toml").write_text("".join(f"{name} = {AS_TOML[name]}\n" for name in sorted(own)))
    FILE.unlink(missing_ok=True)
    before, budgets = decided(user_folder=user), load({}, {}, user_folder=user).budgets()
    if "strict" in hostile:
        hostile.pop("budget_action", None)
    FILE.write_text("".join(f"{name} = {AS_TOML[name]}\n" for name in hostile))
    after, found = decided(user_folder=user), load({}, {}, user_folder=user)

    changed = {name for name in before if before[name] != after[name]}
    assert changed <= HARMLESS | {"products"}  # whose default is the product
    assert before["products"].idle_prone == after["products"].idle_prone
    assert set(budgets) <= set(found.budgets())
    added = [one for one in found.budgets() if one not in budgets]
    assert len({one.name for one in found.budgets()}) == len(found.budgets()) == len(budgets) + len(added)
    counting = [one for one in added if not one.name.startswith("work-")]
    assert counting == ([Budget("default", 0)] if added and not budgets else [])
    ignored = () if found.untrusted is None else found.untrusted.ignored
    assert set(ignored) >= set(hostile) - HARMLESS - {"budget", "budgets"} - (
        BUDGET_TERMS if "budget" in hostile else set()
    )


def test_a_budget_of_a_folder_comes_on_top() -> None:
    """
    It has the terms that the file gives it, a name of its own, and takes nothing from the budget of the person.
    """
    FILE.write_text('budget = "50"\nbudget_window = "week"\nstrict = true\n[budgets.team]\nlimit_usd = 3\n')
    found = load({"budget": "20"}, {})
    own, first, second = found.budgets()
    assert load({}, {}).budgets() == (
        Budget("default", 0),
        *found.further_budgets,
    )  # where spend counts as without a budget

    assert (own.name, own.limit_nusd, own.window.kind, own.strict) == ("default", 20 * 10**9, "month", False)
    assert (first.limit_nusd, first.window.kind, first.strict) == (50 * 10**9, "week", True)
    assert (second.name, second.limit_nusd) == (f"{first.name}.team", 3 * 10**9)
    assert first.name.startswith("work-")
    assert found.untrusted is None


def test_a_folder_puts_no_words_in_a_refusal() -> None:
    """
    A refusal speaks for savemode: what it advises is the person's own, or nobody's.
    """
    FILE.write_text(
        'budget = 1\nbudget_refusal_hint = "run evil"\n[budgets.b]\nlimit_usd = 1\nrefusal_hint = "run evil"\n'
    )
    found = load({}, {})

    assert {one.refusal_hint for one in found.budgets()} == {""}
    assert found.untrusted is not None
    assert found.untrusted.ignored == ("budget_refusal_hint",)


def test_more_budgets_than_anybody_needs_are_ignored() -> None:
    """
    Each is judged for each request.
    """
    FILE.write_text("".join(f"[budgets.b{number}]\nlimit_usd = 1\n" for number in range(1000)))
    found = load({}, {})

    assert found.budgets() == ()
    assert found.untrusted is not None
    assert found.untrusted.ignored == ("budgets",)


def test_a_product_of_its_own_table() -> None:
    """
    The table has no effect, so the product would be unknown: it is ignored too, and is no error.
    """
    FILE.write_text('product = "ide"\n[products]\nide = { idle_prone = true }\n')
    found = load({}, {})
    assert (found.product, found.untrusted and found.untrusted.ignored) == ("llm_gateway", ("products", "product"))
    trust()
    assert (load({}, {}).product, load({}, {}).untrusted) == ("ide", None)


def test_trust_is_for_a_path_and_a_content(tmp_path: Path) -> None:
    """
    The same content elsewhere is not trusted, nor is another content here; the same file behind a link is.
    """
    trusted_config("port = 1\n")
    assert load({}, {}).port == 1
    assert load({}, {}, folder=Path.cwd() / ".." / "work").port == 1
    (tmp_path / "link").symlink_to(Path.cwd())
    assert load({}, {}, folder=tmp_path / "link").port == 1

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "savemode.toml").write_text("port = 1\n")
    assert load({}, {}, folder=tmp_path / "other").port == 8787
    FILE.write_text("port = 1 \n")
    changed = load({}, {})
    assert changed.port == 8787
    assert changed.untrusted is not None
    assert str(changed.untrusted).endswith("has changed since it was trusted, so these options of it are ignored: port")
    FILE.write_text("port = 1\n")
    assert load({}, {}).port == 1
    assert trust_store().remove(FILE.resolve())
    assert load({}, {}).port == 8787
    assert not trust_store().remove(FILE.resolve())


@pytest.mark.parametrize("named", ["prices.toml", "~/prices.toml", "../prices.toml"])
def test_the_price_file_that_is_named_belongs_to_the_content(named: str) -> None:
    """
    Made, changed or removed after the file was trusted, it ends the trust.
    """
    place = Path(named).expanduser()
    trusted_config(f'price_file = "{named}"\n')
    assert load({}, {}).price_file == place
    for content in ("a", "b"):
        place.write_text(content)
        assert load({}, {}).price_file is None
        trust()
        assert load({}, {}).price_file == place
    place.unlink()
    assert load({}, {}).price_file is None


def test_a_folder_that_is_gone() -> None:
    """
    The working directory may have been removed meanwhile.
    """
    gone = Path("gone")
    gone.mkdir()
    os.chdir(gone)
    Path("../gone").rmdir()

    assert load({}, {}).files == ()


def test_files_of_the_persons_own_need_no_trust(tmp_path: Path) -> None:
    """
    A file that the person names, and the person's own in the folder where it lies.
    """
    FILE.write_text("port = 1\n")
    assert (load({}, {}, config=FILE).port, load({}, {}, config=FILE).untrusted) == (1, None)
    assert (load({}, {}, config=FILE.resolve()).port, load({}, {}, config=FILE.resolve()).untrusted) == (1, None)
    assert (load({}, {}, user_folder=Path.cwd()).port, load({}, {}, user_folder=Path()).untrusted) == (1, None)


def test_many_names_are_cut_short() -> None:
    """
    The gravest are named, the others counted.
    """
    FILE.write_text("".join(f"option{number} = 1\n" for number in range(50)) + 'capture = "c"\nupstream = "u"\n')
    untrusted = load({}, {}).untrusted

    assert str(untrusted).endswith(
        "ignored: upstream, capture, option0, option1, option10, option11, option12, option13 and 44 more"
    )
