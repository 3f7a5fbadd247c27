"""
Text is read as UTF-8, with or without a byte order mark and with any number of objects on a line.
"""

import codecs
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.readers.lines import objects_in, open_text, without_mark

TEXT = '{"name":"Grüße 😀"}\n{"second":1}\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_mark_before_the_text_is_not_part_of_it(encoding: str, tmp_path: Path) -> None:
    """
    With an editor's mark, or in an older PowerShell's UTF-16, the lines equal those of the same file in UTF-8.
    """
    path = tmp_path / "text.jsonl"
    path.write_bytes(TEXT.encode(encoding))
    with open_text(path) as file:
        assert list(file) == TEXT.encode().splitlines(keepends=True)
    with open_text(path) as file:
        assert file.read(3) == TEXT[:3].encode()


def test_utf_16_of_the_other_byte_order(tmp_path: Path) -> None:
    """
    The mark identifies the byte order.
    """
    path = tmp_path / "text.jsonl"
    path.write_bytes(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"))
    with open_text(path) as file:
        assert file.read() == TEXT.encode()


@pytest.mark.parametrize("content", [b"", b"\xef", b"\xef\xbb", codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_files_of_a_few_bytes(content: bytes, tmp_path: Path) -> None:
    """
    A mark alone is an empty file; half a mark is not a mark.
    """
    path = tmp_path / "text.jsonl"
    path.write_bytes(content)
    with open_text(path) as file:
        assert file.read() == (content if len(content) < 3 and content[:1] == b"\xef" else b"")


def test_a_mark_in_the_middle_of_joined_files() -> None:
    """
    The mark is at the beginning of a line.
    """
    assert without_mark(codecs.BOM_UTF8 + b"{}") == b"{}"
    assert without_mark(b"{}") == b"{}"


@pytest.mark.parametrize(
    ("line", "found", "rest"),
    [
        (b"", [], b""),
        (b" \r\n", [], b""),
        (b'{"a":1}', [b'{"a":1}'], b""),
        (b'{"a":1}{"b":{"c":2}}\n', [b'{"a":1}', b'{"b":{"c":2}}'], b""),
        (b'{"a":1} \t {"b":2}', [b'{"a":1}', b'{"b":2}'], b""),
        (b'\0\0{"a":1}\0', [b'{"a":1}'], b""),
        (b'{"a":1}{"b":', [b'{"a":1}'], b'{"b":'),
        (b'{"a":{"b":1}', [], b'{"a":{"b":1}'),
        (b"\xff{}", [], b"\xff{}"),
        (b"[" * 100_000, [], b"[" * 100_000),
    ],
)
def test_objects_on_one_line(line: bytes, found: list[bytes], rest: bytes) -> None:
    """
    Each object that can be read, and the rest.
    """
    assert objects_in(line) == (found, rest)


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3), max_size=4),
    st.sampled_from(["", " ", "\t"]),
)
def test_any_objects_come_back(objects: list[dict[str, int | str]], between: str) -> None:
    """
    In order, with an empty rest.
    """
    found, rest = objects_in(between.join(json.dumps(one) for one in objects).encode())

    assert [json.loads(one) for one in found] == objects
    assert rest == b""
