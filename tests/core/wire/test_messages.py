"""
The API's sentences, paths and names.
"""

import json

import pytest

from savemode_cli.core.wire.messages import (
    EXTENDED_TTL_BETA,
    Path,
    blames_cache_control,
    dotted,
    error_body,
    order_errors,
    with_beta,
)


def sentence(place: str) -> str:
    """
    What the API answers, as clients have reported it.
    """
    return (
        f"{place}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
        "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
    )


@pytest.mark.parametrize(
    ("lifetimes", "places"),
    [
        ([], []),
        ([(("tools", 0), "1h"), (("system", 0), "5m")], []),
        ([(("tools", 0), None), (("system", 0), "1h")], []),
        ([(("tools", 0), "5m"), (("messages", 0, "content", 4), "1h")], ["messages.0.content.4"]),
        ([(("tools", 0), "5m"), (("system", 0), None), (("system", 1), "1h")], ["system.1"]),
        ([(("system", 0), "5m"), (("system", 1), "1h"), (("system", 2), "1h")], ["system.1", "system.2"]),
    ],
)
def test_order_errors(lifetimes: list[tuple[Path, str | None]], places: list[str]) -> None:
    """
    Each 1-hour breakpoint behind a 5-minute one gets the API's own sentence.
    """
    assert [sentence(place) for place in places] == order_errors(lifetimes)


def test_order_error_of_the_request() -> None:
    """
    The request's own marker has no path before its name.
    """
    (error,) = order_errors([(("system", 0), "5m"), ((), "1h")])

    assert error.startswith("cache_control.ttl: a ttl='1h' ")


@pytest.mark.parametrize(
    ("path", "expected"),
    [((), "(request)"), (("tools", 0), "tools.0"), (("messages", 0, "content"), "messages.0.content")],
)
def test_dotted(path: Path, expected: str) -> None:
    """
    Dots between the steps, and a name for the request.
    """
    assert expected == dotted(path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, EXTENDED_TTL_BETA),
        ("", EXTENDED_TTL_BETA),
        ("  ", EXTENDED_TTL_BETA),
        ("a", f"a,{EXTENDED_TTL_BETA}"),
        ("a, b", f"a, b,{EXTENDED_TTL_BETA}"),
        (EXTENDED_TTL_BETA, EXTENDED_TTL_BETA),
        (f"a , {EXTENDED_TTL_BETA} ,b", f"a , {EXTENDED_TTL_BETA} ,b"),
        (f"{EXTENDED_TTL_BETA}x", f"{EXTENDED_TTL_BETA}x,{EXTENDED_TTL_BETA}"),
    ],
)
def test_with_beta(value: str | None, expected: str) -> None:
    """
    The name is appended once, and what stands there is kept as it is spelled.
    """
    assert expected == with_beta(value)


def test_error_body() -> None:
    """
    The envelope is the API's.
    """
    assert json.loads(error_body("budget_exceeded", 'no "more"', "req_1")) == {
        "type": "error",
        "error": {"type": "budget_exceeded", "message": 'no "more"'},
        "request_id": "req_1",
    }


@pytest.mark.parametrize(
    ("answer", "blamed"),
    [
        (error_body("invalid_request_error", sentence("system.1"), "r"), True),
        (error_body("invalid_request_error", "tools.0.cache_control: Extra inputs are not permitted", "r"), True),
        (error_body("invalid_request_error", "unknown ttl", "r"), True),
        (error_body("invalid_request_error", "a little battle", "r"), False),
        (error_body("invalid_request_error", "max_tokens: too large", "cache_control"), False),
        (b'{"error":{"message":7}}', False),
        (b'{"error":"cache_control"}', True),
        (b'{"error":[]}', False),
        (b"[]", False),
        (b"<html>cache_control</html>", True),
        (b"\xff ttl", True),
        (b"[" * 100_000, False),
        (b"", False),
    ],
)
def test_blames_cache_control(answer: bytes, blamed: bool) -> None:
    """
    The message is asked where there is one, else the whole answer; `ttl` only as a word.
    """
    assert blames_cache_control(answer) == blamed
