"""
How long after a budget's share is spent an alert arrives, and whether requests wait for alerts.

Run it from the repository: python -m tests.benchmarks.alerts. Each request is a conversation of its own with a budget of its own,
so each crosses a share. The receiver is a server on loopback; for the second figure one that takes a second for each alert.
"""

import time
from typing import Any

from savemode_cli.core.budget.budget import Budget
from tests.benchmarks.tables import columns, fixed, median, options, percentile, show_json
from tests.support.calling import send
from tests.support.receiver import receiving
from tests.support.upstream import Upstream, running_proxy
from tests.support.waiting import until

BUDGETS = (Budget("each", 1, scope="session", action="warn"),)


def delays(upstream: Upstream, number: int) -> list[float]:
    """
    Milliseconds from the last byte of an answer to the receipt of its alert.
    """
    found = []
    with (
        receiving() as receiver,
        running_proxy(upstream.url, further_budgets=BUDGETS, alerts_webhook=receiver.webhook) as proxy,
    ):
        for session in range(number):
            send(proxy, x_session_id=str(session))
            answered = time.perf_counter()
            until(lambda: len(receiver.posts) > session)  # noqa: B023 - waits here
            found.append((time.perf_counter() - answered) * 1000)
    return found


def latencies(upstream: Upstream, number: int) -> tuple[list[float], list[float]]:
    """
    Milliseconds of a request, without alerts and with one for each request on a channel that takes a second; interleaved.
    """
    without: list[float] = []
    with_alerts: list[float] = []
    slow: dict[str, Any] = {"alerts_command": "sleep 1"}
    with (
        running_proxy(upstream.url, further_budgets=BUDGETS) as plain,
        running_proxy(upstream.url, further_budgets=BUDGETS, **slow) as alerting,
    ):
        for session in range(number):
            for proxy, times in ((plain, without), (alerting, with_alerts)):
                begin = time.perf_counter()
                send(proxy, x_session_id=str(session))
                times.append((time.perf_counter() - begin) * 1000)
    return without, with_alerts


def main() -> None:
    """
    Measure, and print.
    """
    given = options(__doc__).parse_args()
    number = 20 if given.quick else 100
    upstream = Upstream()
    try:
        arrived = delays(upstream, number)
        without, with_alerts = latencies(upstream, number)
    finally:
        upstream.close()
    sets = {"last byte to alert": arrived, "a request without alerts": without, "a request that alerts": with_alerts}
    if given.json:
        show_json({name: {"median_ms": median(times), "most_ms": max(times)} for name, times in sets.items()})
        return
    rows = [
        (name, fixed(median(times)), fixed(percentile(times, 95)), fixed(max(times))) for name, times in sets.items()
    ]
    print(columns(f"{number} alerts", ("", "median ms", "p95 ms", "most ms"), rows))


if __name__ == "__main__":
    main()
