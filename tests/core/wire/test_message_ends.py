"""
Where messages end.
"""

import json

import pytest

from savemode_cli.core.wire.message_ends import (
    MOST_MESSAGES,
    STAND_IN,
    message_ends,
    messages_start,
    without_messages,
)


@pytest.mark.parametrize("space", ["", " ", "\r\n\t"])
def test_the_ends_of_messages(space: str) -> None:
    """
    Each is the offset behind a message, whatever whitespace is around it.
    """
    messages = ['{"role":"user","content":"a, ] \\" b"}', "1", "[{},{}]", '"x"']
    listed = f"{space},{space}".join(messages)
    body = f'{{"a":[1],{space}"messages"{space}:{space}[{space}{listed}{space}]{space}}}'.encode()
    start = messages_start(body)
    assert start is not None
    ends = message_ends(body, start)

    assert body[:start].endswith(b"[")
    assert [body[:end].endswith(one.encode()) for end, one in zip(ends, messages, strict=True)] == [True] * 4
    assert json.loads(without_messages(body, start, ends[-1]))["messages"] == [json.loads(STAND_IN)]


@pytest.mark.parametrize(
    ("body", "start"),
    [
        (b'{"messages":[]}', 13),
        (b'{"system":"\\"messages\\":[","messages":[1]}', 39),
        (b'{"tools":[{"messages":[1]}],"messages":[1]}', 40),
        (b'{"a":"messages","messages":[1]}', 28),
        (b'{"messages":[1],"messages":[2]}', 13),
        (b'{"mess\\u0061ges":[1]}', None),
        (b'{"messages":{"messages":[1]}}', None),
        (b'{"messages":1}', None),
        (b'{"a":"x}', None),
        (b"", None),
    ],
)
def test_where_the_list_begins(body: bytes, start: int | None) -> None:
    """
    A search alone would take a decoy in a tool for it.
    """
    assert messages_start(body) == start


def test_ends_are_certain_or_not_given() -> None:
    """
    A list that is hidden by another one has no ends, unless it is equal as far as it goes.
    """
    hidden = b'{"messages":[12,3],"messages":[1,3]}'

    assert message_ends(hidden, len(b'{"messages":[')) == []
    assert message_ends(b'{"messages":null}', 12) == []
    assert message_ends(b'{"messages":[%b1]}' % (b"1," * MOST_MESSAGES), 13) == []
