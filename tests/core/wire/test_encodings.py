"""
Content encodings in pieces: whole, cut, mistaken, and larger than they look. The meter's tests read streams in them.
"""

import gzip
import random
import sys
import zlib
from types import SimpleNamespace

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.wire.encodings import Undecodable, decoder

ENCODE = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def decoded(encoding: str, body: bytes, size: int, max_bytes: int = 1 << 30) -> list[bytes]:
    """
    The pieces that come out of a body in chunks of `size` bytes.
    """
    decode = decoder(encoding, max_bytes)
    assert decode is not None
    return [piece for start in range(0, len(body), size) for piece in decode(body[start : start + size])]


@pytest.mark.parametrize("size", [1, 100, 1 << 30])
@pytest.mark.parametrize("encoding", ENCODE)
def test_round_trip(encoding: str, size: int) -> None:
    """
    What was put in comes out, in pieces of a bounded size, the last one included.
    """
    noise = random.Random(7).randbytes(1000)
    body = b"ab" * 700_000 + noise + b"c" * 400_000 + noise

    pieces = decoded(encoding, ENCODE[encoding](body), size)

    assert body == b"".join(pieces)
    assert max(map(len, pieces)) <= 8 * 1024 * 1024


@pytest.mark.parametrize("encoding", ["", " ", "identity", "Identity"])
def test_nothing_to_undo(encoding: str) -> None:
    """
    A plain body needs no decoder.
    """
    assert decoder(encoding, 1) is None


@pytest.mark.parametrize("encoding", ["compress", "gzip, lz4", "\x00"])
def test_unknown_encoding(encoding: str) -> None:
    """
    One unknown coding is enough.
    """
    with pytest.raises(Undecodable, match="unknown"):
        decoder(encoding, 1)


@pytest.mark.parametrize("size", [1, 5, 1 << 30])
@pytest.mark.parametrize("encoding", ["gzip, br", "gzip,zstd", "deflate, identity, gzip", "zstd, gzip, br"])
def test_several_codings(encoding: str, size: int) -> None:
    """
    Codings are undone in reverse order: the last one named was applied last (RFC 9110, section 8.4).
    """
    body = b"hello " * 1000
    encoded = body
    for name in encoding.replace(" ", "").split(","):
        encoded = ENCODE[name](encoded) if name != "identity" else encoded

    assert b"".join(decoded(encoding, encoded, size)) == body


def test_too_many_codings() -> None:
    """
    Nobody compresses four times; each coding multiplies what a bomb can hold.
    """
    with pytest.raises(Undecodable, match="4 codings"):
        decoder("gzip, gzip, gzip, gzip", 1)


SKIPPABLE = b"\x5a\x2a\x4d\x18" + (300).to_bytes(4, "little") + bytes(300)
"""A Zstandard frame that carries no content (RFC 8878, section 3.1.2)."""


@given(
    encoding=st.sampled_from(["gzip", "x-gzip", "zstd"]),
    parts=st.lists(st.binary(max_size=40) | st.integers(1, 200_000).map(bytes), min_size=1, max_size=12),
    size=st.integers(1, 5000),
    between=st.sampled_from(["", "filled"]),
)
def test_series_of_members(encoding: str, parts: list[bytes], size: int, between: str) -> None:
    """
    Each part compressed by itself, empty ones too, with padding or skippable frames between them, in any chunking.
    """
    name = encoding.removeprefix("x-")
    filler = {"": b"", "filled": SKIPPABLE if name == "zstd" else bytes(7)}[between]
    body = filler.join(map(ENCODE[name], parts)) + filler

    pieces = decoded(encoding, body, size)

    assert b"".join(pieces) == b"".join(parts)
    assert max(map(len, pieces), default=0) <= 8 * 1024 * 1024


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_bound_is_for_all_members(encoding: str) -> None:
    """
    A thousand small members are bounded like one large one.
    """
    body = ENCODE[encoding](b"x" * 3000) * 1000

    assert sum(map(len, decoded(encoding, body, 100, max_bytes=3_000_000))) == 3_000_000
    with pytest.raises(Undecodable, match="more than 2999999 bytes"):
        decoded(encoding, body, 100, max_bytes=2_999_999)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_damaged_member(encoding: str) -> None:
    """
    What begins as a member and is none is an error: nobody knows what is missing.
    """
    body = ENCODE[encoding](b"hello")
    broken = body[:4] + b"\xff" * 30

    with pytest.raises(Undecodable):
        decoded(encoding, body + broken, 7)


@pytest.mark.parametrize(
    ("encoding", "package", "found"),
    [
        ("br", "brotli", None),
        ("br", "brotli", SimpleNamespace(Decompressor=object, error=ValueError)),
        ("zstd", "zstandard", None),
    ],
)
def test_missing_package(encoding: str, package: str, found: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without its package, or with one whose output cannot be bounded, an encoding cannot be undone.
    """
    monkeypatch.setitem(sys.modules, package, found)

    with pytest.raises(Undecodable, match="needs a package"):
        decoder(encoding, 1)


@pytest.mark.parametrize("encoding", ENCODE)
def test_not_in_the_encoding(encoding: str) -> None:
    """
    Anything else is refused, and with nothing but `Undecodable`.
    """
    with pytest.raises(Undecodable):
        decoded(encoding, b"\x00\xff not compressed at all", 5)


@pytest.mark.parametrize("encoding", ENCODE)
def test_too_much(encoding: str) -> None:
    """
    The bound holds for the sum of the pieces, to the byte.
    """
    body = ENCODE[encoding](b"x" * 3_000_000)

    assert sum(map(len, decoded(encoding, body, 100, max_bytes=3_000_000))) == 3_000_000
    with pytest.raises(Undecodable, match="more than 2999999 bytes"):
        decoded(encoding, body, 100, max_bytes=2_999_999)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_deflate_without_its_wrapper(size: int) -> None:
    """
    Some servers send it so.
    """
    pack = zlib.compressobj(wbits=-15)
    raw = pack.compress(b"hello hello hello") + pack.flush()

    assert b"".join(decoded("deflate", raw, size)) == b"hello hello hello"


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("end", [b"x" * 40, b"\x28" * 40, b"\x1f" * 40, bytes(40), bytes(3) + b"\x1f"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_bytes_after_the_end(encoding: str, end: bytes, size: int) -> None:
    """
    What follows the end of a compressed body and begins no member is not part of it.
    """
    body = ENCODE[encoding](b"hello")

    assert b"".join(decoded(encoding, body + end, size)) == b"hello"


def test_bytes_after_the_end_of_brotli() -> None:
    """
    The same, where they come in another chunk: in one with the end the package refuses them.
    """
    body = brotli.compress(b"hello")

    assert b"".join(decoded("br", body + b"x" * len(body), len(body))) == b"hello"
