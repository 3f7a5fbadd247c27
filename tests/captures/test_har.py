"""
Captures as HTTP Archive 1.2: the fields that the format requires, with the types that it requires.
"""

import gzip
import json
import re
from base64 import b64decode
from typing import Any

import pytest

from savemode_cli.captures.har import archive, entry
from savemode_cli.core.exchange.capture import Capture
from tests.builders import an_exchange
from tests.core.exchange.test_capture import a_capture

TEXT, NUMBER = str, (int, float)
HEADER = {"name": TEXT, "value": TEXT}
HAR: dict[str, Any] = {
    "log": {
        "version": TEXT,
        "creator": {"name": TEXT, "version": TEXT},
        "entries": [
            {
                "startedDateTime": TEXT,
                "time": NUMBER,
                "request": {
                    "method": TEXT,
                    "url": TEXT,
                    "httpVersion": TEXT,
                    "cookies": [],
                    "headers": [HEADER],
                    "queryString": [HEADER],
                    "headersSize": int,
                    "bodySize": int,
                },
                "response": {
                    "status": int,
                    "statusText": TEXT,
                    "httpVersion": TEXT,
                    "cookies": [],
                    "headers": [HEADER],
                    "content": {"size": int, "mimeType": TEXT},
                    "redirectURL": TEXT,
                    "headersSize": int,
                    "bodySize": int,
                },
                "cache": {},
                "timings": {"send": NUMBER, "wait": NUMBER, "receive": NUMBER},
            }
        ],
    }
}
"""The requirements of http://www.softwareishard.com/blog/har-12-spec/, copied by hand."""
OPTIONAL = {
    "request": {"postData", "comment"},
    "response": {"comment"},
    "content": {"compression", "text", "encoding", "comment"},
    "postData": {"mimeType", "params", "text", "comment"},
}
ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def check(found: Any, wanted: Any, place: str) -> None:
    """
    Every required field exists with its type; every other field is an optional one or starts with `_`.
    """
    if isinstance(wanted, dict):
        assert isinstance(found, dict), place
        assert set(wanted) <= set(found), place
        others = {name for name in found if name not in wanted and not name.startswith("_")}
        assert others <= OPTIONAL.get(place.rpartition(".")[2], set()), f"{place}: {others}"
        for name in wanted:
            check(found[name], wanted[name], f"{place}.{name}")
    elif isinstance(wanted, list):
        assert isinstance(found, list), place
        for one in found if wanted else ():
            check(one, wanted[0], place)
    else:
        assert isinstance(found, wanted), place
        assert not isinstance(found, bool), place


def exported(*captures: Capture) -> list[dict[str, Any]]:
    """
    The entries of an archive, which is checked against the format.
    """
    read = json.loads(b"".join(archive(captures, "1.2.3")))
    check(read, HAR, "")
    entries: list[dict[str, Any]] = read["log"]["entries"]
    assert all(ISO_8601.fullmatch(one["startedDateTime"]) for one in entries)
    for one in entries:
        timings = one["timings"]
        assert one["time"] == pytest.approx(sum(timings.values()))
        assert min(timings.values()) >= 0
        if "postData" in one["request"]:
            check(one["request"]["postData"], {"mimeType": TEXT, "text": TEXT}, "postData")
    return entries


def test_archive_keeps_to_the_format() -> None:
    """
    No exchange, one and several, with all fields and with none.
    """
    bare = an_exchange(status=None, first_byte_ms=None, outcome="unreachable", error="nobody", session=None, model=None)

    assert exported() == []
    assert len(exported(a_capture())) == 1
    assert len(exported(a_capture(), Capture(bare, bare.started_at))) == 2


def test_entry_shows_request_and_answer() -> None:
    """
    The URL is that of the upstream, without the product; the sizes are those of the transfer.
    """
    capture = a_capture(
        exchange=an_exchange(path="/posthog_code/v1/messages"),
        request_headers=(("content-type", "application/json"),),
        response_headers=(("content-type", "text/event-stream"),),
        request_body='{"é": 1}'.encode(),
    )
    (one,) = exported(capture)

    assert one["request"]["url"] == "https://api.example/v1/messages"
    assert one["request"]["postData"] == {"mimeType": "application/json", "text": '{"é": 1}'}
    assert one["request"]["bodySize"] == 100
    assert one["response"]["content"] == {"size": 10, "mimeType": "text/event-stream", "text": "the answer"}
    assert (one["response"]["status"], one["response"]["statusText"]) == (200, "OK")


def test_path_without_a_product_stays() -> None:
    """
    A request that was forwarded unchanged has its own path.
    """
    assert exported(a_capture(exchange=an_exchange(path="/api/v1/x")))[0]["request"]["url"].endswith("example/api/v1/x")


def test_simulated_upstream_has_an_address() -> None:
    """
    A viewer needs a URL, and the simulated upstream has none.
    """
    assert exported(a_capture(upstream="simulated"))[0]["request"]["url"] == "http://simulated/v1/messages"


def test_compressed_bodies_are_decompressed() -> None:
    """
    Bodies are decompressed; `size` is the decompressed size, and `compression` the saved bytes.
    """
    packed = gzip.compress(b"a" * 1000)
    headers = (("content-encoding", "gzip"),)
    (one,) = exported(
        a_capture(request_headers=headers, response_headers=headers, request_body=packed, response_body=packed)
    )

    assert one["request"]["postData"]["text"] == "a" * 1000
    content = one["response"]["content"]
    assert (content["text"], content["size"], content["compression"]) == ("a" * 1000, 1000, 1000 - len(packed))


def test_bodies_of_several_members_are_shown_whole() -> None:
    """
    An answer whose events were compressed one by one is exported to its last event.
    """
    events = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]
    headers = (("content-encoding", "gzip"), ("content-type", "text/event-stream"))
    packed = b"".join(map(gzip.compress, events))
    (one,) = exported(a_capture(response_headers=headers, response_body=packed))

    assert one["response"]["content"]["text"] == b"".join(events).decode()


@pytest.mark.parametrize("encoding", ["", "gzip", "unheard-of"])
def test_binary_bodies_are_base64(encoding: str) -> None:
    """
    A body that is not text, or not in its stated encoding, is exported as Base64.
    """
    body = b"\xff\x00\xfe"
    headers = (("content-encoding", encoding),) if encoding else ()
    (one,) = exported(
        a_capture(request_headers=headers, response_headers=headers, request_body=body, response_body=body)
    )

    content, post = one["response"]["content"], one["request"]["postData"]
    assert content["encoding"] == post["_encoding"] == "base64"
    assert b64decode(content["text"]) == b64decode(post["text"]) == body
    assert content["size"] == 3


def test_body_that_was_not_recorded_has_a_comment() -> None:
    """
    The comment shows that the body is missing and not empty.
    """
    (one,) = exported(a_capture(request_body=None, response_body=None))

    assert one["request"]["comment"] == one["response"]["content"]["comment"] == "the body was not kept"
    assert "postData" not in one["request"]
    assert one["response"]["content"]["size"] == 50


def test_absent_body_has_no_comment() -> None:
    """
    A GET request and an answer that never came have no body.
    """
    (one,) = exported(
        a_capture(exchange=an_exchange(request_bytes=0, response_bytes=0), request_body=None, response_body=None)
    )

    assert "comment" not in one["request"]
    assert "comment" not in one["response"]["content"]


def test_archive_is_one_line() -> None:
    """
    The archive is one line, so that tools which look at the first line recognise it.
    """
    assert b"".join(archive([a_capture(), a_capture()], "1")).count(b"\n") == 1


def test_entry_holds_the_receipt() -> None:
    """
    savemode's own facts are under a name with an underscore, as the format requires.
    """
    said = entry(a_capture())["_savemode"]

    assert said["receipt"]["cost_nusd"] == 10
    assert said["answered_by"] == "claude-haiku-4-5"
    assert said["edits"]
