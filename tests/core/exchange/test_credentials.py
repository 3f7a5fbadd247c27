"""
The credentials of a request are masked wherever they appear again.
"""

import gzip
import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.exchange import credentials as module
from savemode_cli.core.exchange.capture import capture_of
from savemode_cli.core.exchange.credentials import Credentials, without_credentials
from savemode_cli.core.exchange.observed import Content, Observed
from tests.builders import an_exchange
from tests.support.examples import examples

KEY = b"sk-ant-api03-Abc123_def-456"
TOKEN = b"gateway/token+of=somebody"
HEADERS = (
    (b"X-Api-Key", KEY),
    (b"authorization", b"Bearer " + TOKEN),
    (b"cookie", b"theme=dark; session=abcdefgh"),
    (b"proxy-authorization", b"Basic " + b64encode(b"me:the-password-of-mine")),
    (b"x-our-secret", b"shortish"),
    (b"content-type", b"application/json"),
    (b"anthropic-beta", b"token-efficient-tools-2025-02-19"),
)
FOUND = Credentials.of(HEADERS)


@pytest.mark.parametrize(
    ("text", "in_error", "masked"),
    [
        pytest.param(b"key " + KEY + b"!", False, b"key " + b"*" * len(KEY) + b"!", id="in full"),
        pytest.param(KEY + KEY, False, b"*" * 2 * len(KEY), id="twice"),
        pytest.param(b"Bearer " + TOKEN, False, b"*" * (7 + len(TOKEN)), id="with its scheme"),
        pytest.param(b"(" + TOKEN + b")", False, b"(" + b"*" * len(TOKEN) + b")", id="without it"),
        pytest.param(TOKEN.replace(b"/", b"\\/"), False, b"*" * (len(TOKEN) + 1), id="with escaped slashes"),
        pytest.param(b"gateway%2Ftoken%2Bof%3Dsomebody", False, b"*" * 31, id="percent-encoded"),
        pytest.param(b"the-password-of-mine", False, b"*" * 20, id="the password of Basic"),
        pytest.param(KEY[:16] + b"... is not", True, b"*" * 19 + b" is not", id="cut short"),
        pytest.param(KEY[:16] + b" is not", False, KEY[:16] + b" is not", id="a prefix in a text that went well"),
        pytest.param(b"abcdefgh", True, b"********", id="a short one in an error"),
        pytest.param(b"abcdefgh", False, b"abcdefgh", id="a short one in a text"),
        pytest.param(b"shortish", True, b"********", id="of a header of their own"),
        pytest.param(b"sk-ant-api03-of-somebody-else", True, b"*" * 29, id="another's key in an error"),
        pytest.param(b"sk-ant-api03-of-somebody-else", False, b"sk-ant-api03-of-somebody-else", id="in a text"),
        pytest.param(b"dark bearer application/json", True, b"dark bearer application/json", id="words"),
        pytest.param(b"", True, b"", id="nothing"),
    ],
)
def test_masking(text: bytes, in_error: bool, masked: bytes) -> None:
    """
    A credential is replaced by as many asterisks. Other text stays.
    """
    assert FOUND.masked(text, in_error=in_error) == masked


@given(st.binary(), st.lists(st.sampled_from([KEY, TOKEN, KEY[:14], b"abcdefgh"])), st.booleans())
def test_no_length_changes_and_no_credential_stays(noise: bytes, planted: list[bytes], in_error: bool) -> None:
    """
    Whatever stands around them.
    """
    text = noise + b" ".join(planted) + noise
    masked = FOUND.masked(text, in_error=in_error)

    assert len(masked) == len(text)
    assert not any(one in masked for one in (KEY, TOKEN))
    assert FOUND.masked(masked, in_error=in_error) == masked


@examples(100)
@given(
    st.lists(st.sampled_from([KEY, KEY[:15], TOKEN, TOKEN[:12], b"sk-ant-abcd" + b"e" * 70, b" ", b"sk-", b"xyz" * 9])),
    st.integers(1, 90),
    st.booleans(),
)
def test_part_by_part_is_the_same_as_at_once(pieces: list[bytes], size: int, in_error: bool) -> None:
    """
    Wherever the edge of a part is; no search holds the interpreter's lock for as long as a whole body takes.
    """
    text = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patched:
        at_once = FOUND.masked(text, in_error=in_error)
        patched.setattr(module, "_SEARCHED_BYTES", size)

        assert FOUND.masked(text, in_error=in_error) == at_once


def test_a_text_without_a_credential_is_the_same_object() -> None:
    """
    Most are: nothing is copied.
    """
    text = b"hello" * 1000

    assert FOUND.masked(text, in_error=False) is text
    assert Credentials.of(()).masked(text, in_error=False) is text


def an_answer(*coding: tuple[bytes, bytes]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """
    An error that repeats the key, and its headers.
    """
    body = json.dumps({"type": "error", "error": {"message": f"invalid x-api-key {KEY.decode()}"}}).encode()
    return body, [(b"content-type", b"application/json"), *coding]


def test_a_compressed_error_is_kept_decoded() -> None:
    """
    It cannot be masked while it is compressed. The headers describe the stored form.
    """
    body, headers = an_answer((b"Content-Encoding", b"gzip"), (b"content-length", b"99"))
    said = without_credentials(Content(HEADERS, b"{}", headers, gzip.compress(body)), failed=True)

    assert said.response_body == body.replace(KEY, b"*" * len(KEY))
    assert list(said.response_headers) == [(b"content-type", b"application/json")]
    assert said.request_headers == HEADERS


def test_what_holds_none_stays_as_it_was() -> None:
    """
    The body stays byte for byte, compressed or not.
    """
    packed = gzip.compress(b'{"type":"message"}')
    content = Content(HEADERS, b'{"messages":[]}', [(b"content-encoding", b"gzip")], packed)

    assert without_credentials(content, failed=False) == content
    assert without_credentials(Content((), None), failed=True) == Content((), None)


@pytest.mark.parametrize("failed", [True, False])
def test_nothing_of_it_is_captured(failed: bool) -> None:
    """
    In bodies, headers, and the words of the exchange that are the upstream's.
    """
    key = KEY.decode()
    body, headers = an_answer((b"server", b"gate " + KEY), (b"request-id", b"req_" + TOKEN))
    exchange = an_exchange(
        outcome="upstream_error" if failed else "ok",
        error=f"{key} in the answer",
        upstream_request_id=key,
        stop_reason=key,
    )
    asked = b'{"messages":[{"role":"user","content":"' + KEY + b'"}]}'
    capture = capture_of(Observed(exchange, exchange.started_at, content=Content(HEADERS, asked, headers, body)))
    kept = repr(
        (capture, capture.request_body, capture.response_body, capture.request_headers, capture.response_headers)
    )

    assert not [one for one in (KEY, TOKEN) if one.decode() in kept]
    assert capture.request_body is not None
    assert len(capture.request_body) == len(asked)
    assert json.loads(capture.request_body)
