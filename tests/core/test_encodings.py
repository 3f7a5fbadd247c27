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

from savemode_cli.core.encodings import Undecodable, decoder

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


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "\x00"])
def test_unknown_encoding(encoding: str) -> None:
    """
    Two encodings on top of each other are one too many.
    """
    with pytest.raises(Undecodable, match="unknown"):
        decoder(encoding, 1)


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


@pytest.mark.parametrize("encoding", ENCODE)
def test_bytes_after_the_end(encoding: str) -> None:
    """
    What follows the end of a compressed body is no part of it.
    """
    body = ENCODE[encoding](b"hello")

    assert b"".join(decoded(encoding, body + b"x" * len(body), len(body))) == b"hello"
