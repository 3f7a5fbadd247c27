"""
Options: the guard, which warns of a run that has run away, or stops it. In a config file they can stand in a table `[guard]`.
"""

from dataclasses import dataclass

from savemode_cli.config import values
from savemode_cli.config.option import option
from savemode_cli.core.budget.choices import GUARD_ACTIONS, GuardAction, GuardLimits

_PROXIES = ("serve", "run")
NUSD_PER_MINUTE = 3_000_000_000
"""The default of `guard_usd_per_minute`, in nano-USD."""


@dataclass(frozen=True, kw_only=True)
class GuardOptions:
    """
    The defaults are from recorded sessions, see docs/guard.md.
    """

    guard_action: GuardAction = option(
        "warn",
        choices=GUARD_ACTIONS,
        help="What happens when a conversation seems to have run away: warn, refuse its requests, or off.",
        commands=_PROXIES,
        risk="spends",
        effect="whether conversations that seem to have run away are stopped",
    )
    guard_identical_calls: int = option(
        10,
        values.count,
        metavar="N",
        help="How many calls of one tool with the same input in a row are too many; 0 for no limit.",
        risk="spends",
        effect="how many identical tool calls in a row are too many",
    )
    guard_nusd_per_minute: int | None = option(
        None,
        values.usd,
        name="guard_usd_per_minute",
        metavar="USD",
        shown_default="3",
        help="How many dollars per minute, over five minutes, are too many in one conversation; 0 for no limit.",
        risk="spends",
        effect="how many dollars per minute are too many",
    )
    guard_agents: int = option(
        20,
        values.count,
        metavar="N",
        help="More sub-agents than this at the same time are too many in one conversation; 0 for no limit.",
        risk="spends",
        effect="how many sub-agents at the same time are too many",
    )

    @property
    def guard_limits(self) -> GuardLimits:
        """
        From where on a sign counts, and what happens then.
        """
        per_minute = self.guard_nusd_per_minute
        per_minute = NUSD_PER_MINUTE if per_minute is None else per_minute
        return GuardLimits(self.guard_action, self.guard_identical_calls, per_minute, self.guard_agents)
