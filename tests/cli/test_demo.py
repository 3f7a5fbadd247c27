"""
`savemode demo`: it shows what it says, the same each time, and heeds nothing of the person's own.
"""

import asyncio
import json
import re

import pytest

from savemode_cli.cli.demo import demo
from tests.support.processes import savemode

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
    A row for each request of the second day, each upgraded and billed as such but for the sub-agent's, until the cap refuses.
    """
    shown = [line for line in said.splitlines() if re.match(r"\d\d:\d\d:\d\d ", line)]
    agent = said.index("sub-agent searches")
    by_agent = re.findall(r"^\d\d:\d\d:\d\d .*", said[agent : said.index("after a meeting", agent)], re.MULTILINE)

    assert (len(shown), len(by_agent)) == (32, 4)
    assert not any(re.search(r"saved|lost|1h", line) for line in by_agent)
    upgraded = [line for line in shown[:-1] if line not in by_agent]
    assert all(re.search(r" (saved|lost) \$0\.\d{4} +1h ok .* left  200$", line) for line in upgraded)
    assert shown[-1].endswith("$0.0000 left  402 refused")


def test_tiers_pass_in_order(said: str) -> None:
    """
    From warn to engage to blocked, and then the refusal that a client prints.
    """
    assert re.findall(r"^ +budget: (\w+);", said, re.MULTILINE) == ["warn", "engage", "blocked"]
    assert re.search(r"^ +the client is told: .*?1\.45", said, re.MULTILINE | re.DOTALL)


def test_upgrade_wins_where_it_should_and_loses_where_it_should(said: str) -> None:
    """
    Pauses between the two TTLs win; quick replies and long pauses cost; the sub-agent stays at 5 minutes.
    """
    table = said.split("side by side")[1]
    words = {name: next(line for line in table.splitlines() if line.startswith(name)) for name in ROWS}

    assert {name for name, line in words.items() if " -$" in line} == {
        "after a coffee",
        "after a meeting",
        "after a call",
        "the day",
    }
    assert all(" -$" in line or " +$" in line for name, line in words.items() if name != "sub-agent searches")
    assert words["sub-agent searches"].endswith(" $0.0000")


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
    receipts = re.search(r"receipts of the second day say the same: (saved \$\S+)\.$", said, re.MULTILINE)
    total = re.search(r"^The same calls cost .*: (saved \$\S+) \(", said, re.MULTILINE)
    day = re.search(r"^the day .* -(\$\S+)$", said, re.MULTILINE)

    assert receipts is not None
    assert total is not None
    assert day is not None
    assert receipts[1] == total[1] == f"saved {day[1]}"


def test_json(said: str) -> None:
    """
    The same figures for programs, and nothing else on stdout.
    """
    done = savemode("demo", "--json", TZ="UTC")
    value = json.loads(done.stdout)
    saved = re.search(r"^The same calls cost .*: saved \$(\S+) \(", said, re.MULTILINE)

    assert saved is not None
    assert (done.returncode, done.stderr, value["refused"]) == (0, b"", 1)
    assert value["saved_usd"].startswith(saved[1])
    assert [len(day["scenes"]) for day in value["days"]] == [10, 10]


def test_pace_must_be_a_number_of_seconds() -> None:
    """
    Not a negative one, and no more than a minute.
    """
    assert savemode("demo", "--pace", "-1").returncode == 2
    assert savemode("demo", "--pace", "61").returncode == 2


def test_pace_slows_each_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """
    It waits after each request that is shown, and for nothing else.
    """
    waits: list[float] = []
    sleep = asyncio.sleep

    async def waiting(delay: float, result: object = None) -> object:
        if delay == 7:
            waits.append(delay)
            return result
        return await sleep(delay, result)

    monkeypatch.setattr(asyncio, "sleep", waiting)
    demo(pace=7)

    assert waits == [7] * 32
    assert "The same calls cost" in capsys.readouterr().out


def test_heeds_nothing_of_the_persons_own(said: str) -> None:
    """
    A proxy in the environment or a configuration of theirs changes nothing, and the output is the same each time.
    """
    done = savemode(
        "demo", TZ="UTC", HTTP_PROXY=NOWHERE, ALL_PROXY=NOWHERE, SAVEMODE_UPSTREAM=NOWHERE, SAVEMODE_BUDGET="1"
    )
    again = done.stdout.decode()

    assert again == said


def test_always(said: str) -> None:
    """
    With every request upgraded, the sub-agent costs more on the second day, and the day saves less.
    """
    done = savemode("demo", "--always", TZ="UTC")
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode()

    row = next(line for line in shown.split("side by side")[1].splitlines() if line.startswith("sub-agent searches"))
    assert re.search(r" \+\$0\.\d{4}$", row)
    assert "the policy auto chooses the cache's TTL" in " ".join(said.split())
    assert "cache for 1 hour in place of 5 minutes" in shown
    share = re.compile(r"saved \$\S+ \((\S+) %\)")
    by_auto, always = (share.search(" ".join(text.split())) for text in (said, shown))
    assert by_auto is not None
    assert always is not None
    assert float(by_auto[1]) > float(always[1])


def test_save_is_the_default(said: str) -> None:
    """
    `--save` shows the same.
    """
    assert savemode("demo", "--save", TZ="UTC").stdout.decode() == said
