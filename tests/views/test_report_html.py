"""
A report as a page: complete, self-contained, and no text of others is markup.
"""

import re
from html.parser import HTMLParser

from savemode_cli.views.report_html import html
from tests.views.test_report import a_report, requests


class Page(HTMLParser):
    """
    The tags, their attributes, and the text of a page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_it_needs_nothing_else() -> None:
    """
    No script, nothing to load, and a policy that allows neither.
    """
    page = Page(html(a_report(requests())))
    names = {tag for tag, _ in page.tags}

    assert not names & {"script", "link", "img", "iframe", "object", "form", "a"}
    assert not [value for _, attributes in page.tags for name in ("src", "href") if (value := attributes.get(name))]
    policies = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]


def test_numbers() -> None:
    """
    All sums and all rows are on it.
    """
    text = "\n".join(Page(html(a_report(requests()))).text)

    for expected in ("$28.00", "2026-11-26", "/home/me/src/work", "claude-opus-5-5", "79.0 %", "5,530"):
        assert expected in text
    assert len(re.findall("<rect", html(a_report(requests())))) == 14


def test_hostile_names_are_text() -> None:
    """
    A model named like a script is a name.
    """
    evil = "<script>alert(1)</script>\"'&"
    page = Page(html(a_report(requests(4, model=evil, project=evil, session=evil))))

    assert "script" not in {tag for tag, _ in page.tags}
    assert evil in "".join(page.text)


def test_nothing() -> None:
    """
    A page too.
    """
    assert "No billed request" in html(a_report([], since=None))
