"""
How a conversation begins.
"""

from savemode_cli.core.wire.opening import first_user_texts, opening_of
from savemode_cli.core.wire.request_body import decode_body

BODY = b"""{"system":"You help.","tools":[{"name":"n"}],"messages":[
    {"role":"assistant","content":"a"},{"role":"user","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]},
    {"role":"user","content":"d"}]}"""


def test_the_first_message_of_a_person() -> None:
    """
    Its texts count as one digest; without such a message there is nothing, with one that has no text an empty tuple.
    """
    messages = decode_body(BODY).messages
    assert isinstance(messages, list)
    texts = first_user_texts(messages)

    assert texts is not None
    assert [len(one) for one in texts] == [32]
    assert first_user_texts(messages[:1]) is None
    assert first_user_texts(decode_body(b'{"messages":[{"role":"user"}]}').messages) == ()  # type: ignore[arg-type]


def test_the_opening() -> None:
    """
    It consists of the system text, the names of tools and what was said first. Long texts count as digests.
    """
    read = decode_body(BODY)

    assert opening_of(read, (b"digest",)) == (b"You help.", b"tools", b'"n"', b"user", b"digest")
    assert opening_of(read, None)[-1] == b"user"
    assert len(opening_of(decode_body(b'{"system":"%b"}' % (b"x" * 70_000)), ())[0]) == 32
