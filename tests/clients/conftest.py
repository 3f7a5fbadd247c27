"""
The clients, one after the other: each test that asks for one runs with each, or is skipped with the reason.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.driven import ClaudeCode, Sdk, missing

SDKS = ("python-2", "python-1", "python-0", "typescript-1", "typescript-0")


def where_installed(client: str) -> object:
    """
    The client as a parameter, skipped where it is not at hand: before anything is set up for the test.
    """
    why = missing(client)
    return pytest.param(client, marks=pytest.mark.skipif(why is not None, reason=why or ""), id=client)


@pytest.fixture(scope="session", params=[where_installed(client) for client in SDKS])
def sdk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    """
    An SDK in a process that lives as long as the tests with it.
    """
    running = Sdk(request.param, tmp_path_factory.mktemp(request.param))
    yield running
    running.close()


@pytest.fixture(params=[where_installed("claude-code")])
def claude(request: pytest.FixtureRequest, tmp_path: Path) -> ClaudeCode:
    """
    Claude Code, with a home of its own for each test.
    """
    home = tmp_path / "claude"
    home.mkdir()
    return ClaudeCode(home)
