"""
What follows from the bill of an exchange: what `--save` would have changed.
"""

from typing import Any

import pytest

from tests.support.upgradable import AGENT, OPEN, SESSION, ask, marked
from tests.support.upstream import RunningProxy, Upstream, running_proxy


@pytest.mark.parametrize(
    ("headers", "options", "requests", "obstacles"),
    [
        ((), {}, 2, {}),
        (OPEN, {}, 0, {}),
        (OPEN, {"ttl_policy": "product"}, 2, {}),
        ((AGENT,), {}, 0, {"sub-agent": 2}),
        ((("authorization", "Bearer sk-ant-oat01-x"),), {}, 0, {"oauth": 2}),
        ((*OPEN, ("authorization", "Bearer sk-ant-oat01-x")), {}, 0, {"oauth": 2}),
        ((), {"ttl_policy": "off"}, 0, {}),
        ((), {"observe": True}, 0, {}),
        ((), {"budget_nusd": 1}, 1, {}),
    ],
    ids=[
        "closed",
        "open",
        "a product whose users do not pause",
        "sub-agent",
        "subscription",
        "subscription, open",
        "off",
        "observed",
        "refused",
    ],
)
def test_what_save_would_have_changed(
    upstream: Upstream,
    headers: tuple[tuple[str, str], ...],
    options: dict[str, Any],
    requests: int,
    obstacles: dict[str, int],
) -> None:
    """
    Requests count that this process was not configured to upgrade; not those that it upgraded, refused, or was configured
    to leave alone.
    """
    with running_proxy(upstream.url, **{"ttl_policy": "always", **options}) as proxy:
        for number in range(2):
            ask(proxy, marked(), SESSION, *headers)
            proxy.exchange(number)
        forgone = proxy.relay.forgone

    assert (forgone.requests, forgone.obstacles) == (requests, obstacles)
    assert forgone.is_known == (requests > 0)


def test_session_that_stays_at_5m_is_not_counted(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Its cache is warm at 5m, so it would not be upgraded with --save either.
    """
    ask(proxy, marked(), SESSION)
    ask(proxy, marked(), SESSION, *OPEN)
    proxy.exchange(1)

    assert proxy.relay.forgone.requests == 1
