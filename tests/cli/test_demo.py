"""
`savemode demo`: it shows what it says.
"""

import re

from tests.cli.processes import savemode


def test_demo() -> None:
    """
    The same request twice: closed, it arrives as it was; open, with the edits and otherwise the same bytes.
    """
    done = savemode("demo")

    said = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    closed, opened = said.split("with the gate open")
    assert " gate=off " in closed
    assert " upgraded=0 " in closed
    assert re.search(r"check the upstream received the same \d+ bytes\n", closed)
    assert " gate=on " in opened
    assert " upgraded=2 " in opened
    assert opened.count("         edit  ") == 2
    assert "check the upstream received 2 insertions of 13 bytes; without them, the same bytes: yes\n" in opened


def test_demo_needs_nothing_and_heeds_nothing() -> None:
    """
    A proxy in the environment, a key or a configuration of the person's do not change the demonstration.
    """
    nowhere = "http://127.0.0.1:1"

    done = savemode("demo", HTTP_PROXY=nowhere, http_proxy=nowhere, ALL_PROXY=nowhere, SAVEMODE_UPSTREAM=nowhere)

    assert done.returncode == 0
    assert b" upgraded=2 " in done.stdout


def test_no_colour_where_nobody_sees_it() -> None:
    """
    Into a pipe goes plain text.
    """
    assert b"\x1b" not in savemode("demo", FORCE_COLOR="1").stdout
