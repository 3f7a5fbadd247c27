"""
Masks the credentials of a request wherever the request or its answer is stored or sent elsewhere.

Rule of this file: a masked text keeps its length, so that offsets and sizes stay correct. An upstream may repeat a key
in an error in full, cut off or escaped, and a client may have put it in a prompt. In the texts of a successful answer,
only what the request's own headers show to be a credential is masked. In an error, all keys of Anthropic's form are
masked, whoever owns them.
"""

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from msgspec.structs import replace

from savemode_cli.core.exchange.observed import Content
from savemode_cli.core.wire.encodings import decoded_if_encoded
from savemode_cli.core.wire.messages import MAX_BODY_BYTES

Pairs = Iterable[tuple[bytes, bytes]]

_SECRET_NAME = re.compile(rb"auth|api-?key|token|secret|cookie|passw|credential", re.IGNORECASE)
"""
The names of headers whose value is a credential or contains one: `x-api-key`, `authorization`, `x-savemode-token`,
`cookie`.
"""

_SHORTEST = 16
"""
How many characters identify a credential that was cut off: the length of `sk-ant-api03`, with which Anthropic's keys
begin.
"""

_SEARCHED_BYTES = 256 * 1024
"""
How many bytes one search reads, about. A search holds the interpreter's lock, and a body of 31 MB would stop all other threads
for a tenth of a second or more.
"""

_SHORTEST_IN_ERROR = 8
_PREFIX = 12
"""
How many characters identify a credential that was cut off. All keys begin with `sk-ant-api03`, so these are needed in
addition.
"""

_ANTHROPIC_KEY = rb"sk-ant-[A-Za-z0-9_-]{4,}"
_REST = rb"[A-Za-z0-9_.~+/=-]*"


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    The credentials in a request's headers.
    """

    secrets: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, headers: Pairs) -> "Credentials":
        """
        The credentials that the headers of a request show.
        """
        found = {secret for name, value in headers if _SECRET_NAME.search(name) for secret in _secrets(value)}
        return cls(tuple(sorted(found, key=_longest_first)))

    def masked(self, text: bytes, *, in_error: bool) -> bytes:
        """
        Replace each credential in a text by the same number of asterisks. Without a credential, the same object is
        returned.

        Args:
            text: any bytes that are not compressed.
            in_error: whether the text is an error. Then short credentials, beginnings of credentials and all keys of
                Anthropic's form are masked too.
        """
        wanted = [one for one in self.secrets if in_error or _is_certain(one)]
        forms = [form for secret in wanted for form in _forms(secret) if _is_in(form, text)]
        if in_error:
            starts = {one[:_PREFIX] for one in wanted if len(one) > _PREFIX}
            pattern = b"|".join([*map(re.escape, forms), *(re.escape(one) + _REST for one in starts), _ANTHROPIC_KEY])
        else:
            pattern = b"|".join(map(re.escape, forms))
        return _asterisked(re.compile(pattern), text, max(map(len, [*forms, b"x" * _PREFIX]))) if pattern else text

    def masked_text(self, text: str, *, in_error: bool) -> str:
        """
        The same for a string.
        """
        return self.masked(text.encode("utf-8", "surrogatepass"), in_error=in_error).decode("utf-8", "surrogatepass")


NO_CREDENTIALS = Credentials()


def without_credentials(content: Content, *, failed: bool) -> Content:
    """
    Mask the request's credentials in both bodies. The headers stay, except for those of an encoding that had to be
    undone.

    Args:
        content: a request and its answer, as they were sent.
        failed: whether the answer is an error, or ended early.
    """
    found = Credentials.of(content.request_headers)
    request_headers, request_body = _masked(content.request_headers, content.request_body, found, in_error=False)
    response_headers, response_body = _masked(content.response_headers, content.response_body, found, in_error=failed)
    return replace(
        content,
        request_headers=request_headers,
        request_body=request_body,
        response_headers=response_headers,
        response_body=response_body,
    )


def _masked(
    headers: Sequence[tuple[bytes, bytes]], body: bytes | None, found: Credentials, *, in_error: bool
) -> tuple[Sequence[tuple[bytes, bytes]], bytes | None]:
    """
    A body and its headers. A compressed body stays compressed, unless it contains a credential.
    """
    if not body or not (found.secrets or in_error):
        return headers, body
    encoding = b", ".join(value for name, value in headers if name.lower() == b"content-encoding").decode("latin-1")
    plain = decoded_if_encoded(body, encoding, MAX_BODY_BYTES)
    masked = found.masked(plain, in_error=in_error)
    if masked == plain:
        return headers, body
    if plain is body:
        return headers, masked
    coded = (b"content-encoding", b"content-length")
    return [one for one in headers if one[0].lower() not in coded], masked


def _secrets(value: bytes) -> set[bytes]:
    """
    What may be a credential in the value of a header: the whole value, its words, the values of cookies, the password
    of Basic authentication.
    """
    words = [word.strip(b'",') for word in re.split(rb"[\s;]+", value)]
    found = {value.strip(), *words, *(word.partition(b"=")[2] for word in words)}
    if words[0].lower() == b"basic" and len(words) > 1:
        with suppress(Base64Error, ValueError):
            found |= {*b64decode(words[1], validate=True).split(b":", 1)}
    return {one for one in found if len(one) >= _SHORTEST_IN_ERROR and one.lower() not in (b"bearer", b"digest")}


def _is_certain(secret: bytes) -> bool:
    """
    Whether it cannot be an ordinary word: it is long, or has the form of an API key.
    """
    return len(secret) >= _SHORTEST or secret.startswith(b"sk-")


def _forms(secret: bytes) -> set[bytes]:
    """
    A credential as it is, as JSON, with escaped slashes, and percent-encoded.
    """
    text = secret.decode("latin-1")
    return {
        secret,
        json.dumps(text)[1:-1].encode(),
        secret.replace(b"/", rb"\/"),
        re.sub(rb"[^A-Za-z0-9_.~-]", lambda match: b"%%%02X" % match[0][0], secret),
    }


def _is_in(form: bytes, text: bytes) -> bool:
    """
    `form in text`, part by part.
    """
    step = max(_SEARCHED_BYTES, len(form))
    return any(text.find(form, at, at + step + len(form)) >= 0 for at in range(0, len(text) or 1, step))


def _asterisked(pattern: "re.Pattern[bytes]", text: bytes, longest: int) -> bytes:
    """
    Each match of a pattern replaced by asterisks, part by part.

    Args:
        pattern: what is replaced. Whether it matches at a place is decided by `longest` bytes; it may go on behind them.
        text: where.
        longest: see `pattern`.
    """
    pieces: list[bytes] = []
    done = at = 0
    while at < len(text):
        stop = min(at + _SEARCHED_BYTES + 2 * longest, len(text))
        match = pattern.search(text, at, stop)
        if match is None or (stop < len(text) and match.start() > stop - longest):
            # A match that begins near the edge is found again, with what follows.
            at = len(text) if stop == len(text) else stop - longest
            continue
        whole = pattern.match(text, match.start()) or match
        pieces += (text[done : whole.start()], b"*" * len(whole[0]))
        done = at = whole.end()
    return b"".join([*pieces, text[done:]]) if pieces else text


def _longest_first(secret: bytes) -> tuple[int, bytes]:
    return -len(secret), secret
