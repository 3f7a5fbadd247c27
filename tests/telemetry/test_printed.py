"""
Events on the terminal.
"""

import json

from savemode_cli.telemetry.printed import Printed

EVENT = {"event": "$ai_generation", "properties": {"n": 1}}


def test_a_line_each_for_a_pipe() -> None:
    """
    What `jq` reads.
    """
    said: list[str] = []
    Printed(said.append, pretty=False).deliver([EVENT, EVENT], 1.0)

    assert [json.loads(one) for one in said] == [EVENT, EVENT]
    assert all("\n" not in one for one in said)


def test_indented_for_people() -> None:
    """
    The same, to be read.
    """
    said: list[str] = []
    Printed(said.append, pretty=True).deliver([EVENT], 1.0)

    assert json.loads(said[0]) == EVENT
    assert len(said[0].splitlines()) > 3
