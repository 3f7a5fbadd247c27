"""
`/-/metrics`: the totals of a running proxy in the text format of Prometheus.

Rule of this file: it counts nothing. Every number comes from `RunningSummary`, or from the ledger at the time of the
request. No label has a value that a client chooses, so the number of time series is limited.

Source of the names: https://prometheus.io/docs/practices/naming/ (checked 2026-11-29).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from savemode_cli.core.budget.admission import Standing
from savemode_cli.core.exchange.histogram import Histogram
from savemode_cli.core.exchange.running import RunningSummary
from savemode_cli.core.exchange.totals import tokens_json

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_NUSD_PER_USD = 1_000_000_000
_MAX_BUDGETS = 50


def exposition(running: RunningSummary, standings: Sequence[Standing] | None, in_flight: int) -> tuple[bytes, str]:
    """
    All metrics, and their media type.

    Args:
        running: the totals.
        standings: the shared budgets; None if the ledger does not answer.
        in_flight: how many requests are running.
    """
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest  # noqa: PLC0415 - when asked

    class Collector:
        def collect(self) -> "Iterable[Metric]":
            return _metrics(running, standings, in_flight)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _metrics(running: RunningSummary, standings: Sequence[Standing] | None, in_flight: int) -> "Iterable[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - when asked

    total, counts = running.total, running.summary
    requests = CounterMetricFamily("savemode_requests", "Requests by how they ended.", labels=["outcome"])
    for outcome, count in sorted(counts.outcomes.items()):
        requests.add_metric([outcome], count)
    tokens = CounterMetricFamily("savemode_tokens", "Tokens as the API reports them.", labels=["kind"])
    for kind, count in tokens_json(total.tokens).items():
        tokens.add_metric([kind.removesuffix("_tokens")], count)
    missed = CounterMetricFamily("savemode_missed_usd", "What missed cache reads cost.", labels=["cause"])
    for cause, reads in sorted(total.missed.items()):
        missed.add_metric([cause], reads.nusd / _NUSD_PER_USD)
    yield from (requests, tokens, missed)
    yield CounterMetricFamily("savemode_cost_usd", "What was charged.", value=total.cost_nusd / _NUSD_PER_USD)
    yield CounterMetricFamily("savemode_refused", "Requests that a budget refused.", value=counts.over_budget)
    yield CounterMetricFamily(
        "savemode_unpriced", "Requests charged at the highest known price.", value=total.unpriced_requests
    )
    yield CounterMetricFamily(
        "savemode_upgraded_breakpoints", "Cache breakpoints upgraded to 1 hour.", value=counts.breakpoints_upgraded
    )
    difference = total.difference_nusd / _NUSD_PER_USD
    yield GaugeMetricFamily("savemode_difference_usd", "What upgrades cost (negative: saved), by receipts.", difference)
    yield GaugeMetricFamily("savemode_in_flight", "Requests that run.", in_flight)
    yield GaugeMetricFamily("savemode_ledger_up", "Whether the ledger answers.", standings is not None)
    yield from _budgets(standings or ())
    yield _distribution("savemode_duration_seconds", "Until the last byte of the answer.", running.durations)
    yield _distribution("savemode_first_byte_seconds", "Until the head of the upstream's answer.", running.first_bytes)


def _budgets(standings: Sequence[Standing]) -> "Iterable[Metric]":
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - when asked

    limits = GaugeMetricFamily("savemode_budget_limit_usd", "The limit of a budget.", labels=["budget"])
    used = GaugeMetricFamily("savemode_budget_used_usd", "Spent and held in its window.", labels=["budget"])
    for standing in standings[:_MAX_BUDGETS]:
        name = standing.limit.budget.name
        if standing.limit.capped:
            limits.add_metric([name], standing.limit.nusd / _NUSD_PER_USD)
        used.add_metric([name], standing.balance.used_nusd / _NUSD_PER_USD)
    return (limits, used)


def _distribution(name: str, help_text: str, histogram: Histogram) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - when asked

    names = [*map(str, histogram.bounds), "+Inf"]
    family = HistogramMetricFamily(name, help_text)
    family.add_metric([], list(zip(names, histogram.cumulative, strict=True)), histogram.sum)
    return family
