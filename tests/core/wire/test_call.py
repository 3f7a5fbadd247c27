"""
What a client asked for.
"""

import pytest

from savemode_cli.core.wire.call import Call


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/messages", (True, False, False)),
        ("POST", "/posthog_code/v1/messages", (True, False, False)),
        ("GET", "/v1/messages", (False, False, False)),
        ("POST", "/v1/messages/count_tokens", (False, False, False)),
        ("POST", "/wizard/v1/messages/batches", (False, True, False)),
        ("GET", "/v1/messages/batches", (False, False, False)),
        ("POST", "/v1/complete", (False, False, True)),
    ],
)
def test_what_is_asked_for(method: str, path: str, expected: tuple[bool, bool, bool]) -> None:
    """
    A model, a batch, or something whose cost nobody here knows.
    """
    call = Call(method, path)

    assert (call.is_model_call, call.starts_batch, call.is_uncounted) == expected


def test_a_long_path_is_cut() -> None:
    """
    For a list; a path that people write stays.
    """
    assert len(Call("GET", "/" + "x" * 600).shortened().path) == 503
    assert Call("GET", "/v1/models").shortened() == Call("GET", "/v1/models")
