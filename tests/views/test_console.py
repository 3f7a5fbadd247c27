"""
The console: its own styles and nothing else.
"""

import io

from rich.table import Table
from rich.text import Text

from savemode_cli.views.console import PrintableConsole
from tests.support.planted import PLANT, unprintable


def test_whatever_is_printed_is_printable() -> None:
    """
    Plain, styled, in a table, in its heading, folded: only line ends are not printable.
    """
    out = io.StringIO()
    console = PrintableConsole(file=out, width=40, no_color=True)
    table = Table(title=PLANT)
    table.add_column(PLANT, overflow="fold")
    table.add_row(PLANT)
    table.add_row(Text(PLANT))

    for one in (PLANT, Text(PLANT, style="red"), table):
        console.print(one)
    console.print(PLANT, soft_wrap=True, style="dim")

    assert unprintable(out.getvalue().encode()) - {"FORGED"} == set()
    assert "\\u202e" in out.getvalue()


def test_own_styles_stay() -> None:
    """
    On a terminal there is colour.
    """
    out = io.StringIO()
    PrintableConsole(file=out, force_terminal=True, color_system="standard").print(Text("a\x1bb", style="red"))

    assert out.getvalue() == "\x1b[31ma\\x1bb\x1b[0m\n"


def test_text_is_not_an_instruction() -> None:
    """
    No markup, no emoji codes.
    """
    out = io.StringIO()
    PrintableConsole(file=out, width=80).print("[link=https://evil.example]a[/link] :bomb: [bold]b")

    assert out.getvalue() == "[link=https://evil.example]a[/link] :bomb: [bold]b\n"
