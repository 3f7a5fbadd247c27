"""
What the headers of an answer say about the budgets of its request.

Rule of this file: each value is formatted once, for the headers and for JSON. Nothing is decided here.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any

from msgspec import Struct

from savemode_cli.core.budget.scales import Mode, Status
from savemode_cli.core.budget.scales import State as ClientState
from savemode_cli.core.money.amounts import usd
from savemode_cli.core.wire.caller import OVERRIDE_HEADER


class BudgetReport(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    What the caller of a request is told about its budgets.
    """

    allowed: bool
    """Whether the request may start."""
    status: Status | None = None
    """The status on the guard's scale; None without a budget, and if a refusal is not about money."""
    reason: str | None = None
    """Why the request is refused, see `admission.Reason`; None if it is allowed."""
    override_ignored: bool = False
    """Whether the request came with the override header, and a budget does not accept it."""
    left_nusd: int | None = None
    """How much is left under the budget that has the least left, in nano-USD; None if no ledger answered."""
    state: ClientState | None = None
    """The state on the client's scale; None if no ledger answered."""
    recommended_mode: Mode | None = None
    """What a client with Save Mode should do; None if no ledger answered."""
    resets_at: datetime | None = None
    """When the window of that budget ends, in UTC; None if it does not end, and if no ledger answered."""
    name: str = ""
    """The name of that budget; empty without one, and if no ledger answered."""
    scope: str = ""
    """Who shares it, see `scopes.SCOPES`."""
    who: str = ""
    """Whose share of it the request uses; empty for a budget that everybody shares."""

    @property
    def unchecked(self) -> bool:
        """
        Whether the request may start although the ledger did not answer.
        """
        return self.allowed and self.status == "unknown"

    def title(self) -> str:
        """
        The budget for people, like `team (user ann)`.
        """
        return f"{self.name} ({self.scope} {self.who})" if self.who else self.name

    def headers(self) -> list[tuple[bytes, bytes]]:
        """
        The budget headers of the answer.
        """
        return [(header, value) for header, _, value in self._values()]

    def to_json(self) -> dict[str, Any]:
        """
        The same values for machines.
        """
        return {"allowed": self.allowed, **{name: value.decode() for _, name, value in self._values()}}

    def _values(self) -> list[tuple[bytes, str, bytes]]:
        """
        Each value with its name in the headers and its name in JSON, in their order.
        """
        values = [] if self.status is None else [(b"x-posthog-budget", "status", self.status.encode())]
        if self.override_ignored:
            values.append((OVERRIDE_HEADER, "override", b"ignored"))
        if self.left_nusd is not None and self.status != "override":
            values.append((b"x-posthog-budget-remaining-usd", "remaining_usd", usd(self.left_nusd).encode()))
        if self.state is not None:
            values.append((b"x-posthog-budget-state", "state", self.state.encode()))
        if self.recommended_mode is not None:
            mode = self.recommended_mode.encode()
            values.append((b"x-posthog-budget-recommended-mode", "recommended_mode", mode))
        if self.resets_at is not None:
            values.append((b"x-posthog-budget-resets-at", "resets_at", _header_time(self.resets_at)))
        return values


@lru_cache(128)
def _header_time(moment: datetime) -> bytes:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}".encode()
