"""
`savemode top`: what it needs, and the screen in a real terminal.
"""

import pytest

from tests.support.command import Run, error_line
from tests.support.terminal import in_a_terminal
from tests.support.upstream import RunningProxy


def test_no_proxy_is_running(savemode: Run) -> None:
    """
    It says so, and how to start one.
    """
    done = savemode("top")

    assert error_line(done) == "error: no proxy is running on this machine [config_error]"
    assert "savemode serve" in done.err


@pytest.mark.parametrize(
    "url", ["https://example.com", "127.0.0.1:8787", "http://", "http://[::1", "http://h:99999999"]
)
def test_addresses_that_are_none(savemode: Run, url: str) -> None:
    """
    One error with an example.
    """
    done = savemode("top", url)

    assert "is not the address of a proxy" in error_line(done)
    assert "http://127.0.0.1:8787" in done.err


def test_output_that_is_no_terminal(savemode: Run) -> None:
    """
    Programs are told what to read.
    """
    done = savemode("top", "http://127.0.0.1:8787")

    assert "needs a terminal" in error_line(done)
    assert "curl http://127.0.0.1:8787/-/summary" in done.err


@pytest.mark.process
def test_in_a_terminal(proxy: RunningProxy) -> None:
    """
    The figures of a running proxy are drawn, and q ends it with 0.
    """
    with in_a_terminal("top", proxy.url) as screen:
        screen.wait_for(b"spent $0.0000")
        screen.type(b"q")
        assert screen.end() == 0
    assert b"Traceback" not in screen.drawn
