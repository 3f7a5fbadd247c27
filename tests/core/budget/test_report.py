"""
What a caller is told about budgets, in headers and in JSON.
"""

from datetime import UTC, datetime

import pytest

from savemode_cli.core.budget.report import BudgetReport

RESETS_AT = datetime(2026, 12, 1, tzinfo=UTC)
WHOLE = BudgetReport(
    allowed=True,
    status="warn",
    override_ignored=True,
    left_nusd=8_496_000_000,
    state="engage",
    recommended_mode="max_save",
    resets_at=RESETS_AT,
)
SPOKEN = [
    ("", "status", "warn"),
    ("-override", "override", "ignored"),
    ("-remaining-usd", "remaining_usd", "8.49"),
    ("-state", "state", "engage"),
    ("-recommended-mode", "recommended_mode", "max_save"),
    ("-resets-at", "resets_at", "2026-12-01T00:00:00Z"),
]


def test_headers_and_json_say_the_same() -> None:
    """
    In the same order; an amount is rounded down, so that nobody is promised what is not there.
    """
    assert WHOLE.headers() == [(f"x-posthog-budget{end}".encode(), value.encode()) for end, _, value in SPOKEN]
    assert list(WHOLE.to_json().items()) == [("allowed", True), *((name, value) for _, name, value in SPOKEN)]


@pytest.mark.parametrize(
    ("report", "headers"),
    [
        (BudgetReport(allowed=True), []),
        (BudgetReport(allowed=False, reason="unidentified"), []),
        (BudgetReport(allowed=True, status="unknown"), [(b"x-posthog-budget", b"unknown")]),
        (
            BudgetReport(allowed=True, status="override", left_nusd=0, state="blocked"),
            [(b"x-posthog-budget", b"override"), (b"x-posthog-budget-state", b"blocked")],
        ),
    ],
)
def test_what_is_not_known_is_not_said(report: BudgetReport, headers: list[tuple[bytes, bytes]]) -> None:
    """
    Nor is what is left under a cap that was lifted for this request.
    """
    assert report.headers() == headers


def test_unchecked() -> None:
    """
    A request that passed while nobody could say whether it may.
    """
    assert BudgetReport(allowed=True, status="unknown").unchecked
    assert not BudgetReport(allowed=False, status="unknown").unchecked
    assert not BudgetReport(allowed=True, status="ok").unchecked
