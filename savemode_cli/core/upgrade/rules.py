"""
The table of rules that edit requests.

Rule of this file: a rule is one file and one entry here. From the entry come the switch of the rule (a flag, a variable and a
key of config files), its help, its row of the reference, its row when a proxy starts and its finding in `savemode doctor`.
Rules are imported when they are first used, so that help lists them and starts quickly.

To add a rule: write a function of the type `RuleFunction` in `savemode_cli/core/upgrade/NAME.py`, and add a `Rule` to `RULES`:

    Rule(
        name="shorten-user-id",
        description="Shorten metadata.user_id to 64 characters.",
        function=_in("shorten_user_id", "shorten_user_id"),
    )

This rule is off until somebody gives `--shorten-user-id`. Its edits are counted as `edits_shorten-user-id`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from savemode_cli.core.upgrade.policy import Policy

if TYPE_CHECKING:  # help lists the rules, and starts without a JSON parser
    from savemode_cli.core.upgrade.edits import RuleInput, RuleOutput

CACHE_TTL = "cache-ttl"
"""The name of the rule that upgrades cache breakpoints from 5 minutes to 1 hour."""

DIAGNOSE = "diagnose"
"""The name of the rule that asks for the API's cache diagnostics."""

RuleFunction = Callable[["RuleInput"], "RuleOutput"]
"""
Returns the edits that a rule makes in a request, and what it leaves as it is with the reasons. It changes nothing itself and
raises nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    A rule as savemode knows it before a request comes.
    """

    name: str
    """What the rule is called in edits, skips and counters: lower-case words with hyphens."""

    description: str
    """What the rule does, in one sentence that begins with a verb: "Shorten metadata.user_id to 64 characters."."""

    function: RuleFunction

    option: str = ""
    """
    The field of `UpgradeOptions` that controls the rule, where a switch is not enough. Where this is empty, the rule gets a
    switch with its own name, which is off by default.
    """

    is_on: Callable[[Policy], bool] | None = None
    """Whether a policy turns the rule on. None for a rule with a switch of its own name."""

    explains_off: bool = False
    """Whether the rule is also asked where it is off: it then returns a skip that says so."""

    commands: tuple[str, ...] = ("serve", "run", "diff-request")
    """The commands that take the switch as a flag."""

    @property
    def switch(self) -> str:
        """
        The name of the option that controls the rule.
        """
        return self.option or self.name.replace("-", "_")

    def is_on_under(self, policy: Policy) -> bool:
        """
        Whether a policy turns the rule on.
        """
        return self.name in policy.rules if self.is_on is None else self.is_on(policy)


@cache
def _imported(module: str, function: str) -> RuleFunction:
    imported: RuleFunction = getattr(import_module(f"savemode_cli.core.upgrade.{module}"), function)
    return imported


def _in(module: str, function: str) -> RuleFunction:
    """
    A function of a module of this package, which is imported with the first call.
    """

    def call(request: "RuleInput") -> Any:
        return _imported(module, function)(request)

    return call


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            name=CACHE_TTL,
            description="Upgrade cache breakpoints from 5 minutes to 1 hour.",
            function=_in("cache_ttl", "cache_ttl"),
            option="ttl_policy",
            is_on=lambda policy: policy.ttl != "off",
            explains_off=True,
        ),
        Rule(
            name=DIAGNOSE,
            description="Ask the API why its cache missed (its cache diagnostics), for savemode why.",
            function=_in("diagnose", "diagnose"),
        ),
    )
}
"""By name, in the order in which their edits are listed."""


def switched_rules() -> list[Rule]:
    """
    The rules that have a switch of their own name.
    """
    return [rule for rule in RULES.values() if not rule.option]


def rules_asked(policy: Policy) -> list[Rule]:
    """
    The rules that judge each request under a policy.
    """
    return [rule for rule in RULES.values() if rule.explains_off or rule.is_on_under(policy)]
