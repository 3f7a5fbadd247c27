"""
Content encodings, undone as the bytes come.

Rule of this file: what comes out is bounded, piece by piece and in all, whatever comes in; what cannot be undone is
`Undecodable` and nothing else. Bytes are looked at here and never handed on: a client gets what the upstream sent.

Brotli and Zstandard are packages (httpx's `brotli` and `zstd` extras), imported when the first answer needs them.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

Decode = Callable[[bytes], Iterator[bytes]]
"""
Takes the next chunk, gives the pieces that can be read so far, each at most about 8 MB. Raises `Undecodable`.
"""

_PIECE_BYTES = 256 * 1024
_ZSTD_SLICE_BYTES = 256  # a block of 4 bytes may stand for 128 KiB, so a slice for 8 MiB at most
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024  # the most that RFC 9659 allows for this content encoding


class Undecodable(Exception):
    """
    Bytes that are not in the encoding they were said to be in, an encoding we do not know, or too much of it.
    """


def decoder(encoding: str, max_bytes: int) -> Decode | None:
    """
    What undoes `encoding` (the value of a content-encoding header) up to `max_bytes` in all; None if nothing has to be.

    Raises:
        Undecodable: the encoding is unknown, more than one, or its package is missing.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    make = _DECODERS.get(name)
    if make is None:
        raise Undecodable(f"content-encoding {name} is unknown")
    try:
        return _bounded(make(), max_bytes)
    except ImportError as error:
        raise Undecodable(f"content-encoding {name} needs a package: {error}") from error


def _bounded(decode: Decode, max_bytes: int) -> Decode:
    left = max_bytes

    def bounded(chunk: bytes) -> Iterator[bytes]:
        nonlocal left
        for piece in decode(chunk):
            left -= len(piece)
            if left < 0:
                raise Undecodable(f"more than {max_bytes} bytes when decoded")
            yield piece

    return bounded


def _gzip() -> Decode:
    return _inflated(zlib.MAX_WBITS | 16)


def _inflated(wbits: int) -> Decode:
    """
    What follows the end of the stream is ignored.
    """
    stream = zlib.decompressobj(wbits)

    def decode(chunk: bytes) -> Iterator[bytes]:
        while chunk and not stream.eof:
            try:
                yield stream.decompress(chunk, _PIECE_BYTES)
            except zlib.error as error:
                raise Undecodable(str(error)) from error
            chunk = stream.unconsumed_tail

    return decode


def _deflate() -> Decode:
    """
    Some servers leave out the wrapper that the name asks for; its first two bytes tell (RFC 1950, section 2.2).
    """
    head = b""
    inflate: Decode | None = None

    def decode(chunk: bytes) -> Iterator[bytes]:
        nonlocal head, inflate
        if inflate is None:
            head += chunk
            if len(head) < 2:
                return
            wrapped = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0
            inflate, chunk = _inflated(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS), head
        yield from inflate(chunk)

    return decode


def _brotli() -> Decode:
    import brotli  # type: ignore[import-untyped]  # noqa: PLC0415 - only the first brotli answer pays for it

    stream = brotli.Decompressor()
    failure: type[Exception] = brotli.error
    if not hasattr(stream, "can_accept_more_data"):
        raise ImportError("brotli 1.2 or later, whose output can be bounded")

    def decode(chunk: bytes) -> Iterator[bytes]:
        if stream.is_finished():
            return
        try:
            piece = stream.process(chunk, output_buffer_limit=_PIECE_BYTES)
            yield piece
            # It takes all of its input and keeps output back: only a piece below the limit says that there is no more.
            while len(piece) >= _PIECE_BYTES and not stream.is_finished():
                piece = stream.process(b"", output_buffer_limit=_PIECE_BYTES)
                yield piece
        except failure as error:
            raise Undecodable(str(error)) from error

    return decode


def _zstd() -> Decode:
    import zstandard  # noqa: PLC0415 - only the first zstd answer pays for it

    stream: Any = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()

    def decode(chunk: bytes) -> Iterator[bytes]:
        for start in range(0, len(chunk), _ZSTD_SLICE_BYTES):
            if stream.eof:
                return
            try:
                yield stream.decompress(chunk[start : start + _ZSTD_SLICE_BYTES])
            except zstandard.ZstdError as error:
                raise Undecodable(str(error)) from error

    return decode


_DECODERS: dict[str, Callable[[], Decode]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
