"""
What every test gets: a clean environment, and on demand an upstream and a proxy.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from savemode_cli.network import ADDING, REPLACING
from tests.support.command import Run, runner
from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.wire import Wire

FLAG = {"x-posthog-flag-llm-gateway-cost-controls": "true"}

SERVERS = {"capped", "proxy", "upstream", "wire", "wired"}
"""The fixtures that start a server."""
STARTERS = {"multiprocessing", "socket", "subprocess"} | {
    f"tests.support.{name}" for name in ("asked", "calling", "processes", "upstream", "wire")
}
"""The modules through which a test starts a server or a process."""

# How long one example takes says how busy the machine is, not whether the code is right.
# The same examples each time, so that what fails for one person fails for everybody; `search` draws new ones.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("search", settings.get_profile("default"), derandomize=False)
settings.register_profile("fast", settings.get_profile("default"), max_examples=10)
settings.load_profile("default")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """
    Mark what starts a server or a process, so that `scripts/test --fast` can leave it out.
    """
    for item in items:
        assert isinstance(item, pytest.Function)
        if SERVERS & set(item.fixturenames) or starts_processes(item.module):
            item.add_marker("process")


def starts_processes(module: ModuleType) -> bool:
    """
    Whether a test module imports one of the modules that start something, or a name from them.
    """
    values = vars(module).values()
    return any(
        (value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)) in STARTERS
        for value in values
    )


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Nothing of the machine's own settings reaches a test, and nothing a test writes reaches them.
    """
    for name in list(os.environ):
        if name.startswith(("SAVEMODE_", "ANTHROPIC_", "POSTHOG_", "LLM_GATEWAY_", "CLAUDE_")):
            monkeypatch.delenv(name)
    for name in ("COST_CONTROLS_ENABLED", "NO_COLOR", *REPLACING, *ADDING):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
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


@pytest.fixture
def wired(wire: Wire) -> Iterator[RunningProxy]:
    """
    A proxy in front of it that upgrades whatever it may, where the gate is open.
    """
    with running_proxy(wire.url, ttl_policy="always", grace_s=1) as running:
        yield running
        # First the upstream's connections: a proxy that still waits for an answer would use up its grace.
        wire.close()


@pytest.fixture
def savemode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """
    The command, in this process.
    """
    return runner(monkeypatch, capsys)
