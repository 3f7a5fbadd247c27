"""
Only the fields that are read are decoded.
"""

import msgspec
import pytest

from savemode_cli.readers.transcript_records import decode_line, decode_lines, decode_mark


def test_parts_that_are_read_later_stay_as_they_are() -> None:
    """
    Content and usage are bytes, and unknown fields are skipped.
    """
    line = decode_line(
        b'{"type":"assistant","extra":[1],"message":{"id":"m","usage":{"input_tokens":3},"content":[1]}}'
    )

    assert line.message is not None
    assert (bytes(line.message.usage), bytes(line.message.content)) == (b'{"input_tokens":3}', b"[1]")
    assert not decode_line(b'{"type":"assistant","message":{"id":"m"}}').message.usage  # type: ignore[union-attr]


def test_several_lines_at_once() -> None:
    """
    One record of an unknown form refuses all of them.
    """
    assert [line.type for line in decode_lines(b'{"type":"user"}\n{"type":"system"}\n')] == ["user", "system"]
    with pytest.raises(msgspec.DecodeError):
        decode_lines(b'{"type":"user"}\n{"type":1}\n')
    assert decode_mark(b'{"type":"user","message":{"content":"text"}}').type == "user"
