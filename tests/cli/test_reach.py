"""
Whether a host answers, and what is said where it does not. What doctor makes of it is in its own tests.
"""

import pytest

from savemode_cli.cli.reach import reach
from tests.support.network import HttpProxy, listening
from tests.support.upstream import Upstream


def test_an_answer(upstream: Upstream) -> None:
    """
    Any status is one; the request has neither key nor body.
    """
    reached = reach(f"{upstream.url}/base?x=1")

    assert (reached.status, reached.problem, reached.way) == (200, "", "")
    assert reached.took_ms > 0
    (asked,) = upstream.received
    assert (asked.method, asked.target, asked.body) == ("GET", "/base?x=1", b"")


def test_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The proxy is named where it was used, and where it was not fit for use.
    """
    with listening(HttpProxy()) as port:
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{port}")
        assert reach("http://api.example").way == f" through the proxy http://127.0.0.1:{port} (HTTP_PROXY)"
    monkeypatch.setenv("HTTP_PROXY", "gopher://p")
    reached = reach("http://api.example")

    assert reached.status is None
    assert reached.problem.startswith("HTTP_PROXY names a proxy of the kind gopher")
    assert "supported: " in reached.fix
