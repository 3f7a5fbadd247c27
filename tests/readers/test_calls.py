"""
An exchange gives the same call from the store, from both of its exports, and from any other record.
"""

import gzip
import json
import urllib.request
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savemode_cli.captures.har import archive
from savemode_cli.captures.jsonl import line
from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.exchange.capture import Capture
from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from savemode_cli.readers.calls import call_of, decoded, header_pairs, metered, path_of
from savemode_cli.readers.problems import Problems
from tests.builders import a_skip, an_exchange
from tests.core.replay.test_bodies import a_body
from tests.support.command import Run
from tests.support.processes import serving
from tests.support.reading import calls, format_of
from tests.support.values import replace
from tests.support.waiting import LONG_S

BODY = a_body(1, system="s" * 5000)
OAUTH = replace(a_skip(), code="oauth")
USAGE = Usage(
    Tokens(1, 2, 3, 4, 5), 6, "standard", "us", "fast", (Extra("compaction", None, Usage(Tokens(7, output=8))),)
)


def read_back(folder: Path, captures: Sequence[Capture]) -> dict[str, tuple[list[Call], int, int]]:
    """
    The calls of the captures by their source, without their places, and the counts of skipped records.
    """
    store = CaptureStore.make(folder / "captures")
    for capture in captures:
        store.append(capture)
    kept = [row.capture for row in store.captures()]
    store.close()
    (folder / "export.jsonl").write_bytes(b"".join(line(capture) + b"\n" for capture in kept))
    (folder / "export.har").write_bytes(b"".join(archive(kept, "test")))
    found = {}
    for path in (store.path, folder / "export.jsonl", folder / "export.har"):
        problems = Problems()
        read = [replace(call, place="") for call in calls(path, format_of(path), problems)]
        found[path.suffix] = (read, problems.count, problems.other_requests)
    return found


def a_capture(body: bytes | None = BODY, headers: Sequence[tuple[str, str]] = (), **exchange: Any) -> Capture:
    """
    A call whose times have microseconds.
    """
    made = an_exchange(usage=USAGE, duration_ms=1234.56789, **exchange)
    return Capture(
        made,
        made.started_at + timedelta(milliseconds=made.answer.duration_ms, microseconds=7),
        request_headers=(("content-type", "application/json"), *headers),
        request_body=body,
        response_body=b"{}",
    )


EXCHANGES = {
    "a call": a_capture(),
    "of another product": a_capture(product="wizard"),
    "under a product's path": a_capture(path="/posthog_code/v1/messages"),
    "with a query": a_capture(path="/v1/messages?beta=true"),
    "compressed": a_capture(gzip.compress(BODY, mtime=0), [("content-encoding", "gzip")]),
    "compressed with deflate": a_capture(zlib.compress(BODY), [("content-encoding", "deflate")]),
    "compressed in a way nobody knows": a_capture(b"\x00\xff", [("content-encoding", "lzma")]),
    "over many lines": a_capture(b'{\r\n"messages": [] }'),
    "no JSON": a_capture(b"\xff\x00"),
    "an empty body": a_capture(b""),
    "a subscription": a_capture(skips=(OAUTH,)),
    "a subscription by its header": a_capture(headers=[("anthropic-beta", "a,oauth-2025-04-20")]),
    "of a gate": a_capture(headers=[("x-posthog-flag-llm-gateway-cost-controls", "true")]),
    "refused": replace(a_capture(status=429), exchange=an_exchange(status=429, usage=None)),
    "never answered": replace(a_capture(), exchange=an_exchange(status=None, usage=None)),
    "without a session": a_capture(session=None),
    "not kept": a_capture(None),
    "counting tokens": a_capture(path="/v1/messages/count_tokens"),
    "a GET": a_capture(b"", method="GET"),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_store_jsonl_and_har_give_the_same_call(name: str, tmp_path: Path) -> None:
    """
    They are equal to the microsecond and to the byte, except for line breaks between JSON tokens.
    """
    found = read_back(tmp_path, [EXCHANGES[name]])
    stored, *counts = found[".sqlite3"]

    assert found[".jsonl"] == ([replace(one, body=_one_line(one.body)) for one in stored], *counts)
    assert found[".har"] == found[".sqlite3"]
    assert (len(stored), *counts) == {"not kept": (0, 1, 0), "counting tokens": (0, 0, 1), "a GET": (0, 0, 1)}.get(
        name, (1, 0, 0)
    )


def _one_line(body: bytes) -> bytes:
    is_json = body.startswith(b"{")
    return body.replace(b"\n", b" ").replace(b"\r", b" ") if is_json else body


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    bodies=st.lists(st.binary(max_size=40) | st.just(BODY), min_size=1, max_size=3),
    product=st.sampled_from(["posthog_code", "llm_gateway", "somebody-s-own"]),
    path=st.sampled_from(["/v1/messages", "/wizard/v1/messages", "/nobody/v1/messages?x=1"]),
    microseconds=st.integers(0, 999_999),
    encoding=st.sampled_from(["", "gzip", "br", "identity", "lzma"]),
    status=st.sampled_from([200, 400, 529, None]),
)
def test_any_capture_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], microseconds: int, encoding: str, **exchange: Any
) -> None:
    """
    Any bytes, any header, any outcome.
    """
    at = datetime(2026, 11, 24, 12, 0, 0, microseconds, tzinfo=UTC)
    captures = [a_capture(body, [("content-encoding", encoding)], started_at=at, **exchange) for body in bodies]
    found = read_back(tmp_path_factory.mktemp("kept"), captures)

    assert found[".har"] == found[".sqlite3"]
    assert [replace(one, body=b"") for one in found[".jsonl"][0]] == [
        replace(one, body=b"") for one in found[".sqlite3"][0]
    ]


def test_a_run_and_both_its_exports_are_replayed_alike(savemode: Run, tmp_path: Path) -> None:
    """
    With the product of `serve`, a product in the path and a query, all three records are judged as the same calls.
    """
    folder = tmp_path / "kept"
    with serving("simulated", "--capture", str(folder), "--product", "posthog_code") as (server, url):
        for path in ("/v1/messages", "/v1/messages?beta=true", "/wizard/v1/messages", "/v1/messages/count_tokens"):
            assert post_to(url + path, BODY) == 200
        server.end()
    for export in ("jsonl", "har"):
        savemode("captures", "export", f"--{export}", "--dir", str(folder), "--out", f"export.{export}")
    reports = [
        json.loads(savemode("replay", name, "--json").out) for name in (str(folder), "export.jsonl", "export.har")
    ]

    assert reports[0]["upgrades"]["would_change"] == 2
    assert reports[0]["other_requests"] == 1
    assert reports[0]["requests"] == 3
    assert [list(report.pop("files")) for report in reports] == [["captures"], ["bodies"], ["har"]]
    assert reports[1] == reports[0]
    assert reports[2] == reports[0]


def post_to(url: str, body: bytes) -> int:
    """
    The status of a call that is independent of the proxy settings of the environment.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    headers = {
        "content-type": "application/json",
        "x-api-key": "sk-ant-api03-of-a-test",
        "anthropic-version": "2023-06-01",
    }
    with opener.open(urllib.request.Request(url, body, headers), timeout=LONG_S) as answer:
        return int(answer.status)


def test_the_store_and_its_exports_in_one_folder_count_once(savemode: Run, tmp_path: Path) -> None:
    """
    The copies are counted, including one whose body was written in one line.
    """
    read_back(tmp_path, [a_capture(), a_capture(b'{\n"messages": [], "model": "m"}')])
    report = json.loads(savemode("replay", str(tmp_path), "--json").out)

    assert (report["upgrades"]["bodies"], report["copies"]) == (2, 4)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/messages", "/v1/messages"),
        ("/v1/messages?beta=true", "/v1/messages"),
        ("/v1/messages#x?y", "/v1/messages"),
        ("https://api.anthropic.com/v1/messages?beta=true", "/v1/messages"),
        ("HTTP://user@[::1]:80/p/v1/messages", "/p/v1/messages"),
        ("https://host", ""),
        ("https://host?x", ""),
        ("", ""),
    ],
)
def test_a_target_s_path(target: str, path: str) -> None:
    """
    The path without the query, as `serve` sees it.
    """
    assert path_of(target) == path


@pytest.mark.parametrize(
    ("more", "is_call"),
    [
        ({"target": "/v1/messages?beta=true"}, True),
        ({"method": "post"}, True),
        ({"method": "GET"}, False),
        ({"target": "/v1/messages/count_tokens?beta=true"}, False),
        ({"target": "/v1/complete?then=/v1/messages"}, False),
        ({"target": "/v1/messages/batches"}, False),
        ({"target": "/v1/complete", "product": "wizard"}, False),
    ],
)
def test_what_is_a_call(more: dict[str, Any], is_call: bool) -> None:
    """
    A POST to `/v1/messages`, with or without a query.
    """
    assert (call_of("x", BODY, **more) is not None) is is_call


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "", "lzma"])
def test_bodies_are_decoded_once(encoding: str) -> None:
    """
    Whether or not the recorder has decoded the body, and whether or not it has kept the header.
    """
    import brotli
    import zstandard

    made = {
        "gzip": gzip.compress(BODY),
        "deflate": zlib.compress(BODY),
        "br": brotli.compress(BODY),
        "zstd": zstandard.ZstdCompressor().compress(BODY),
    }

    assert decoded(made.get(encoding, BODY), encoding) == BODY
    assert decoded(BODY, encoding) is BODY
    assert decoded(b"\xef\xbb\xbf  " + BODY, encoding) == b"\xef\xbb\xbf  " + BODY
    if encoding in ("gzip", "zstd"):
        assert decoded(made[encoding], "") == BODY
    assert decoded(b"\x00", encoding or "gzip") == b"\x00"


def test_decompression_is_limited() -> None:
    """
    Decompression is limited.
    """
    bomb = gzip.compress(bytes(65 * 1024 * 1024))

    assert decoded(bomb, "gzip") is bomb


@pytest.mark.parametrize(
    ("headers", "pairs"),
    [
        ({"A": "1", "b": ["2", 3], "c": None, "d": b"\xff"}, [("A", "1"), ("b", "2"), ("b", "3"), ("d", "\xff")]),
        ([{"name": "A", "value": "1"}, {"name": 7}, {"value": "x"}, 8], [("A", "1")]),
        ([["A", "1"], ["b", ["2", "3"]], ["c"], [1, 2]], [("A", "1"), ("b", "2"), ("b", "3")]),
        (None, []),
        ("x", []),
    ],
)
def test_headers_of_all_recorders(headers: Any, pairs: list[tuple[str, str]]) -> None:
    """
    An object, HAR's objects, or pairs; any other form is ignored.
    """
    assert header_pairs(headers) == pairs


def test_an_answer_is_metered_whatever_its_form() -> None:
    """
    Decoded or not; an incomplete answer has no usage.
    """
    answer = json.dumps(
        {"type": "message", "model": "m", "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 5}}
    ).encode()

    assert metered(answer, "gzip") == Usage(Tokens(3, output=5))
    assert metered(gzip.compress(answer), "gzip") == Usage(Tokens(3, output=5))
    assert metered(gzip.compress(answer)) == Usage(Tokens(3, output=5))
    assert metered(answer[:20]) is None
    assert metered(b"") is None
