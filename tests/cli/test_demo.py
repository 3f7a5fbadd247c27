"""
`savemode demo`: it shows what it says, the same each time, and heeds nothing of the person's own.
"""

import re

import pytest

from tests.cli.processes import savemode

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def said() -> str:
    """
    What it prints.
    """
    done = savemode("demo", TZ="UTC")
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def test_fits_the_screen(said: str) -> None:
    """
    80 columns, no colour in a pipe.
    """
    assert max(map(len, said.splitlines())) <= 80
    assert "\x1b" not in said


def test_every_call_is_shown_as_serve_shows_it(said: str) -> None:
    """
    A line for each request of the second day, each raised and verified, until the cap refuses.
    """
    shown = [line for line in said.splitlines() if " request.done " in line]

    assert len(shown) == 30
    assert all(" outcome=ok " in line for line in shown[:-1])
    assert " outcome=refused status=429 " in shown[-1]


def test_tiers_pass_in_order(said: str) -> None:
    """
    From ok to warn to engage to blocked, and then the refusal that a client prints.
    """
    assert re.findall(r"^ +budget   (\w+),", said, re.MULTILINE) == ["ok", "warn", "engage", "blocked"]
    assert re.search(r"^ +refused  .*?1\.45", said, re.MULTILINE | re.DOTALL)


def test_upgrade_wins_where_it_should_and_loses_where_it_should(said: str) -> None:
    """
    Pauses between the two TTLs win; quick replies, sub-agents and long pauses cost.
    """
    table = said.split("side by side")[1]
    words = {name: next(line for line in table.splitlines() if line.startswith(name)) for name in ROWS}

    assert {name for name, line in words.items() if "cheaper" in line} == {
        "after a coffee",
        "after a meeting",
        "after a call",
        "the day",
    }
    assert all("MORE" in line or "cheaper" in line for line in words.values())


ROWS = (
    "first question",
    "quick reply",
    "after a coffee",
    "sub-agent searches",
    "after a meeting",
    "compaction",
    "on with the summary",
    "after a long lunch",
    "after a call",
    "the day",
)


def test_receipts_say_what_the_other_day_shows(said: str) -> None:
    """
    The receipts infer a world without the upgrade; the first day is that world, and both give the same figure.
    """
    receipts = re.search(r"receipts of the second day say: (.*)", said)
    day = re.search(r"^the day .*?(\$\S+ cheaper)$", said, re.MULTILINE)

    assert receipts is not None
    assert day is not None
    assert receipts[1] == day[1]


def test_heeds_nothing_of_the_persons_own(said: str) -> None:
    """
    A proxy in the environment or a configuration of theirs changes nothing, and the output is the same each time.
    """
    done = savemode(
        "demo", TZ="UTC", HTTP_PROXY=NOWHERE, ALL_PROXY=NOWHERE, SAVEMODE_UPSTREAM=NOWHERE, SAVEMODE_BUDGET="1"
    )
    again = done.stdout.decode()

    assert re.sub(r"\S*…", "", again) == re.sub(r"\S*…", "", said)
