"""
Two requests on the screen and as JSON.
"""

import json
from io import StringIO

from savemode_cli.core.diagnosis.comparison import compare_bodies
from savemode_cli.views.console import PrintableConsole
from savemode_cli.views.request_difference import MOST_PLACES, Shown, show, to_json
from tests.support.command import lines
from tests.support.mutations import conversation, marked
from tests.support.prompts import Object, encoded, text, user


def shown(before: Object, after: Object, *, with_text: bool = True) -> Shown:
    """
    A comparison with names.
    """
    return Shown(compare_bodies(encoded(before), encoded(after)), "before.json", "after.json", with_text)


def tuesday() -> Object:
    """
    A request of the next day.
    """
    body = conversation(1)
    body["system"][1]["text"] = body["system"][1]["text"].replace("11-24", "11-25")
    return body


def printed(found: Shown) -> list[str]:
    """
    The lines of the text.
    """
    out = StringIO()
    show(found, PrintableConsole(file=out, width=80, no_color=True))
    return lines(out.getvalue())


def test_text() -> None:
    """
    The place, both sides, what is left of the prefix, the breakpoints.
    """
    said = printed(shown(conversation(1), tuesday()))

    assert said[0] == "after.json  against before.json"
    assert "@@ system[1].text  edited, only numbers, dates or IDs differ, 563 tokens" in said
    assert any(line.startswith("- Today is 2026-11-24. Read") for line in said)
    assert any(line.startswith("+ Today is 2026-11-25. Read") for line in said)
    assert "breakpoints after    system[1] 5m, messages[2].content[1] 5m" in said
    assert any(line.startswith("read if sent next    0 of ") for line in said)


def test_without_text() -> None:
    """
    Places and sizes alone.
    """
    found = shown(conversation(1), tuesday(), with_text=False)

    assert "Today" not in "\n".join(printed(found)) + json.dumps(to_json(found))


def test_parameters_and_nothing() -> None:
    """
    What a parameter loses; and requests without a difference.
    """
    said = printed(shown(conversation(1), {**conversation(1), "tool_choice": {"type": "any"}}))

    assert any(line.startswith("tool_choice: ") and line.endswith("loses the messages") for line in said)
    assert "The cache sees no difference." in printed(shown(conversation(1), marked(conversation(1))))


def test_many_places() -> None:
    """
    The first are shown, the others are counted; JSON has all.
    """
    before = conversation(1, messages=[user(*(text(f"word {number}. " + "x" * 40) for number in range(60)))])
    after = conversation(1, messages=[user(*(text(f"word {number // 2 * 2}. " + "x" * 40) for number in range(60)))])
    found = shown(before, after)
    places = to_json(found)["places"]

    assert len(places) > MOST_PLACES
    assert f"and {len(places) - MOST_PLACES} more; --json shows all" in printed(found)


def test_json() -> None:
    """
    The same for machines.
    """
    data = to_json(shown(conversation(1), tuesday()))
    (place,) = data["places"]

    assert (data["same"], data["loses"], data["readable_tokens_estimated"]) == (False, True, 0)
    assert (place["kind"], place["at"], place["to"], place["values_only"]) == (
        "edited",
        "system[1].text",
        "system[1].text",
        True,
    )
    assert data["before"]["breakpoints"] == [
        {"at": "system[1]", "ttl": "5m"},
        {"at": "messages[2].content[1]", "ttl": "5m"},
    ]
    assert place["difference"]["after"].startswith("Today is 2026-11-25.")
