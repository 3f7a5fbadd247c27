"""
JSON in one spelling.
"""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.cache.normal_json import normal_json
from tests.support.examples import examples

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text('aé"\\/\n\x1b😀'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\', max_size=2), inner, max_size=3),
    max_leaves=8,
)


@examples(150)
@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_one_value_has_one_spelling(value: object, ascii_only: bool, indent: int | None) -> None:
    """
    However it was written, the same value becomes the same bytes, and they still mean it.
    """
    written = normal_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode())

    assert written == normal_json(json.dumps(value, separators=(",", ":"), ensure_ascii=not ascii_only).encode())
    assert json.loads(written) == value


@pytest.mark.parametrize("text", [b'{"a":1.0}', b'{"b":1,"a":2}', b'{"a":1e3}', rb'["\u001b"]'])
def test_numbers_and_order_stay(text: bytes) -> None:
    """
    The spelling of a number, the order of keys, and escapes that have no other spelling are not changed.
    """
    assert normal_json(text) == text


def test_what_is_not_json_is_refused() -> None:
    """
    The caller decides what to say.
    """
    with pytest.raises(msgspec.DecodeError):
        normal_json(b'{"a":')
