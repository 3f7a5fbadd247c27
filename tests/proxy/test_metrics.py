"""
`/-/metrics`, parsed with the library of Prometheus.
"""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.wire import exchange, request

PLAIN = b'{"model":"claude-opus-5-5"}'


def metrics(proxy: RunningProxy) -> dict[str, Any]:
    """
    Every sample by its name and labels.
    """
    answer = exchange(proxy.port, request("GET", "/-/metrics"))
    assert (answer.status, answer.all(b"content-type")[0][:10]) == (200, b"text/plain")
    return {
        "".join([sample.name, *sorted(f"[{key}={value}]" for key, value in sample.labels.items())]): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_the_numbers_are_those_of_the_exchanges(upstream: Upstream) -> None:
    """
    Requests, dollars, tokens, times and budgets.
    """
    with running_proxy(upstream.url, budget_nusd=20_000_000_000) as proxy:
        for _ in range(3):
            assert exchange(proxy.port, request("POST", "/v1/messages", PLAIN)).status == 200
        assert exchange(proxy.port, request("GET", "/v1/models")).status == 200
        shown = metrics(proxy)
        costs = sum(one.bill.cost_nusd or 0 for one in proxy.exchanges)

    assert shown["savemode_requests_total[outcome=ok]"] == 4
    assert round(shown["savemode_cost_usd_total"] * 10**9) == costs > 0
    assert shown["savemode_tokens_total[kind=input]"] == 3 * 3
    assert shown["savemode_duration_seconds_bucket[le=+Inf]"] == shown["savemode_duration_seconds_count"] == 3
    assert shown["savemode_budget_limit_usd[budget=default]"] == 20
    assert round(shown["savemode_budget_used_usd[budget=default]"] * 10**9) == costs
    assert (shown["savemode_in_flight"], shown["savemode_ledger_up"]) == (0, 1)


def test_clients_choose_no_label(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    The number of time series is independent of models, sessions and paths.
    """

    def call(number: int) -> None:
        body = b'{"model":"claude-%d"}' % number
        headers = (("x-claude-code-session-id", f"s{number}"), ("x-posthog-distinct-id", f"p{number}"))
        exchange(proxy.port, request("POST", "/v1/messages", body, *headers))
        exchange(proxy.port, request("GET", f"/v1/models/m{number}"))

    call(0)
    before = set(metrics(proxy))
    for number in range(1, 20):
        call(number)
    assert set(metrics(proxy)) == before
