"""
The page of a running proxy: it shows the sums, and text of others is text.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.running import RunningSummary
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.views.live_page import FILES, SORTS, page
from tests.builders import a_standing, a_verdict, an_exchange

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script>\"'&"


class Parsed(HTMLParser):
    """
    Tags with their attributes, amounts, and the text of a page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def amounts(self) -> list[int]:
        return [int(more["data-nusd"] or "") for _, more in self.tags if "data-nusd" in more]


def exchanges(count: int = 3, **more: Any) -> list[Exchange]:
    """
    Exchanges with bills of one dollar, two dollars and so on.
    """
    return [
        an_exchange(
            **{
                "started_at": NOON + timedelta(minutes=number),
                "usage": Usage(Tokens(3, 0, 100, 900, 7)),
                "settlement": Settlement((number + 1) * 10**9, "reported"),
                "session": f"session-{number}",
            }
            | more
        )
        for number in range(count)
    ]


def shown(many: list[Exchange], *, agent: str = "", sort: str = "last", **more: Any) -> Parsed:
    """
    The page after some exchanges.
    """
    running = RunningSummary(NOON)
    for exchange in many:
        running.add(exchange, exchange.started_at, Caller("x", idle_prone=True, agent_id=agent or None))
    return Parsed(page(running, more.pop("standings", ()), many, NOON + timedelta(hours=1), sort=sort, **more))


def test_the_sums() -> None:
    """
    All of it, to the nano-dollar.
    """
    found = shown(exchanges(), standings=[a_standing(used_nusd=4 * 10**9)], in_flight=2)

    assert found.amounts[0] == 6 * 10**9
    assert {1 * 10**9, 2 * 10**9, 3 * 10**9, 4 * 10**9} <= set(found.amounts)
    for text in ("$6.00", "89.7 %", "session-2", "claude-opus-5-5", "running now"):
        assert text in found.text
    assert [more["max"] for tag, more in found.tags if tag == "meter"] == ["10000000000"]


def test_before_the_first_request() -> None:
    """
    And without a ledger.
    """
    assert "The ledger does not answer." in shown([], standings=None).text
    assert "No budget is set." in shown([]).text


@pytest.mark.parametrize("sort", [*SORTS, "nonsense", ""])
def test_sessions_can_be_sorted(sort: str) -> None:
    """
    By each order there is; any other is that of time.
    """
    many = exchanges(3)
    many[0] = exchanges(1, settlement=Settlement(50 * 10**9, "reported"))[0]
    names = [
        more["title"]
        for tag, more in shown(many, sort=sort).tags
        if tag == "span" and "session-" in str(more.get("title"))
    ]

    assert names[0] == ("session-0" if sort == "cost" else "session-2")


def test_hostile_names_are_text() -> None:
    """
    A model, a session, an agent or a path named like a script.
    """
    found = shown(exchanges(model=EVIL, session=EVIL, error=EVIL, path=f"/{EVIL}"), agent=EVIL)

    assert [more for tag, more in found.tags if tag == "script"] == [
        {"src": path, "defer": None} for path in FILES if path.endswith(".js")
    ]
    assert EVIL in found.text


def test_it_loads_only_its_own_files() -> None:
    """
    Each of which there is.
    """
    found = shown(exchanges())
    loaded = {more.get("src") or more.get("href") for tag, more in found.tags if tag in ("script", "link", "img")}

    assert loaded == set(FILES)
    assert not [more for _, more in found.tags if "style" in more or any(name.startswith("on") for name in more)]


def test_what_savemode_sent_itself_is_marked() -> None:
    """
    A keep-warm request is not one of the client.
    """
    assert "keep-warm" in shown(exchanges(1, keep_warm=True)).text
    assert "keep-warm" not in shown(exchanges(1)).text


def test_the_dearest_miss_is_on_the_page() -> None:
    """
    With its cost.
    """
    assert a_verdict("system_changed").cost_nusd in shown(exchanges(1, verdict=a_verdict("system_changed"))).amounts


def test_the_vendored_files_are_as_published() -> None:
    """
    uPlot and its licence have the checksums that are written beside them, and the scripts fetch nothing.
    """
    folder = files("savemode_cli.views").joinpath("page")
    lines = folder.joinpath("vendored.sha256").read_text().splitlines()
    sums = {line.split()[1]: line.split()[0] for line in lines if not line.startswith("#")}

    assert lines[0].startswith("# uPlot 1.6.32")
    assert {*sums} == {"uplot.js", "uplot.css", "uplot-LICENSE.txt"}
    for name, expected in sums.items():
        assert sha256(folder.joinpath(name).read_bytes()).hexdigest() == expected, name
    assert "MIT" in folder.joinpath("uplot-LICENSE.txt").read_text()
    for script in ("uplot.js", "charts.js"):
        text = folder.joinpath(script).read_text()
        assert not [word for word in ("eval(", "new Function", "fetch(", "XMLHttpRequest") if word in text], script
