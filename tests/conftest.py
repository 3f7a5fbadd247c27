"""
What every test gets: a clean environment, and on demand an upstream and a proxy.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proxy.wire import Wire
from tests.upstream import RunningProxy, Upstream, running_proxy

FLAG = {"x-posthog-flag-llm-gateway-cost-controls": "true"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Nothing of the machine's own settings reaches a test, and nothing a test writes reaches them.
    """
    for name in list(os.environ):
        if name.startswith(("SAVEMODE_", "ANTHROPIC_", "POSTHOG_", "LLM_GATEWAY_", "CLAUDE_")):
            monkeypatch.delenv(name)
    for name in ("COST_CONTROLS_ENABLED", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """
    An upstream on loopback.
    """
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    """
    An upstream that the test answers for.
    """
    upstream = Wire()
    yield upstream
    upstream.close()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[RunningProxy]:
    """
    A proxy in front of it that upgrades whatever it may, where the gate is open.
    """
    with running_proxy(upstream.url, ttl_policy="always") as running:
        yield running
