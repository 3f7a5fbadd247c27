"""
The copy of a body with numbered keys, and the fields that are decoded.
"""

import json
import subprocess
import sys

import pytest

from savemode_cli.core.wire.request_body import (
    MAX_KEYS,
    NUMBER,
    RENAMED,
    RequestBlock,
    decode_body,
    decode_head,
    list_items,
    number_keys,
)


def test_each_key_gets_its_number_and_keeps_its_value() -> None:
    """
    Keys are numbered in the order of the bytes, and each offset is the byte after the key.
    """
    body = b'{"cache_control" : 1,"a":"\\"cache_control\\":2","b":{"cache_control":3},"c":"cache_control"}'

    numbered = number_keys(body)

    assert numbered is not None
    copy, offsets = numbered
    assert json.loads(copy) == {
        NUMBER: 0,
        RENAMED: 1,
        "a": '"cache_control":2',
        "b": {NUMBER: 1, RENAMED: 3},
        "c": "cache_control",
    }
    assert [body[at : at + 3] for at in offsets] == [b" : ", b":3}"]


def test_body_without_keys_is_not_copied() -> None:
    """
    Most bodies of other endpoints hold no key, and cost no copy.
    """
    body = b'{"model":"m"}'

    assert number_keys(body) == (body, [])
    assert number_keys(body)[0] is body  # type: ignore[index]


@pytest.mark.parametrize(("count", "expected"), [(MAX_KEYS, MAX_KEYS), (MAX_KEYS + 1, None)])
def test_keys_beyond_the_bound_are_not_numbered(count: int, expected: int | None) -> None:
    """
    Up to the bound every key has its number.
    """
    numbered = number_keys(b"[%b]" % b",".join([b'{"cache_control":0}'] * count))

    assert (None if numbered is None else len(numbered[1])) == expected


def test_names_of_numbered_keys_cannot_be_guessed() -> None:
    """
    Two processes use different names, so nobody can write a body that contains them.
    """
    code = "from savemode_cli.core.wire.request_body import NUMBER, RENAMED; print(NUMBER, RENAMED)"
    names = [subprocess.check_output([sys.executable, "-c", code], text=True).split() for _ in range(2)]

    assert len({NUMBER, RENAMED, *names[0], *names[1]}) == 6


def test_fields_of_other_types_are_decoded() -> None:
    """
    A section may have any type, and blocks are decoded wherever a list may hold them.
    """
    body = b'{"model":7,"tools":"x","system":[{"text":"a"},7,null],"messages":{"content":[{"source":[1]}]}}'

    read = decode_body(body)

    assert (read.model, read.tools) == (7, "x")
    assert [type(item) for item in list_items(read.system)] == [RequestBlock, int, type(None)]
    assert list_items(read.tools) == list_items(None) == []
    assert decode_head(body).model == 7
