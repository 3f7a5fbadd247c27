"""
The export of spans and metrics, as a collector receives them.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.telemetry.collector import Collector
from savemode_cli.telemetry.otel import span_of
from savemode_cli.telemetry.outlet import Undelivered
from tests.builders import an_observed
from tests.support.collector import Receiving, plain

UPSTREAM = "https://api.anthropic.com"
BILLED: dict[str, Any] = {"usage": Usage(Tokens(3, 10, 20, 40, 5)), "settlement": Settlement(300_000, "reported")}


def test_spans_and_metrics_arrive(collector: Receiving) -> None:
    """
    Times, kind and status of each span; durations, tokens by type and the cost as sums over all batches.
    """
    started = datetime(2026, 11, 29, 9, 15, 32, 123000, UTC)
    outlet = Collector(collector.url, "1.2.3")
    ok = span_of(an_observed(started_at=started, duration_ms=1500.0, **BILLED), UPSTREAM)
    failed = span_of(an_observed(outcome="upstream_error", status=529), UPSTREAM)
    assert ok is not None
    assert failed is not None

    outlet.deliver([ok], 1)
    outlet.deliver([ok, failed], 1)

    first, _, third = collector.spans
    start_ns = 1795943732123 * 1_000_000
    assert (first.start_time_unix_nano, first.end_time_unix_nano - start_ns) == (start_ns, 1_500_000_000)
    assert plain(first.attributes) == ok["attributes"]
    assert (first.kind, first.status.code, third.status.code) == (3, 0, 2)
    durations = collector.metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert sorted(point.count for point in durations) == [1, 2]
    tokens = collector.metrics["gen_ai.client.token.usage"].histogram.data_points
    by_type = {plain(point.attributes)["gen_ai.token.type"]: point.sum for point in tokens}
    assert by_type == {"input": 2 * 73, "output": 2 * 5}
    [cost] = collector.metrics["savemode.cost"].sum.data_points
    assert cost.as_double == pytest.approx(0.0006)


def test_collector_that_takes_traces_only(collector: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The spans count as delivered, and are not sent again because the metrics were refused.
    """
    outlet = Collector(collector.url, "1.2.3")
    monkeypatch.setattr(outlet._metrics, "_endpoint", f"{collector.url}/nowhere")
    collector.status = 200
    span = span_of(an_observed(), UPSTREAM)
    assert span is not None

    outlet.deliver([span], 1)

    assert len(collector.spans) == 1


def test_refused_spans_are_undelivered(collector: Receiving) -> None:
    """
    So that they are tried again, and the person is told.
    """
    collector.status = 400
    outlet = Collector(collector.url, "1.2.3")
    span = span_of(an_observed(), UPSTREAM)
    assert span is not None

    with pytest.raises(Undelivered, match="does not accept spans"):
        outlet.deliver([span], 1)
