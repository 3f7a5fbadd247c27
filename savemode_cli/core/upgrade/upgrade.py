"""
What savemode changed in a request: the second part of an exchange.

Rule of this file: an edit counts by its rule. Only edits of `CACHE_TTL` upgrade a TTL.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from savemode_cli.core.money.amounts import exact_usd
from savemode_cli.core.upgrade.auto import Decision
from savemode_cli.core.upgrade.edits import Edit, Skip, upgrades
from savemode_cli.core.upgrade.gate import UNJUDGED, GateState
from savemode_cli.core.upgrade.hold_out import TrialMember
from savemode_cli.core.upgrade.rules import CACHE_TTL, DIAGNOSE
from savemode_cli.core.wire.messages import dotted

_MOST_SHOWN = 20  # a legal body has four breakpoints


class Upgrade(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    What savemode changed in a request, or would have changed.
    """

    gate: GateState = UNJUDGED
    edits: tuple[Edit, ...] = ()
    """In the order of the rules."""
    skips: tuple[Skip, ...] = ()
    observed: bool = False
    """Whether the edits were only computed and shown, and the original was sent."""
    resent: bool = False
    """Whether the upstream refused the edited body, so that savemode sent the original."""
    auto: Decision | None = None
    """What the policy `auto` decided; None under another policy, and if there was nothing to upgrade."""
    edits_left_out: int = 0
    """How many more edits there were before this was `shortened`."""
    skips_left_out: int = 0
    """How many more skips there were before this was `shortened`."""
    upgraded_left_out: int = 0
    """How many of the edits left out upgraded a TTL."""
    trial: TrialMember | None = None
    """The place of the session in a trial; None without one, and where there was nothing to upgrade."""

    @property
    def on_wire(self) -> tuple[Edit, ...]:
        """
        The edits in the body that the upstream answered: none if they were only observed, or if the original was sent
        after all.
        """
        return () if self.observed or self.resent else self.edits

    @property
    def proposed(self) -> int:
        """
        How many breakpoints the edits upgrade, whether the edits were sent or not.
        """
        return sum([edit.rule == CACHE_TTL for edit in self.edits]) + self.upgraded_left_out

    @property
    def upgraded(self) -> int:
        """
        How many breakpoints were upgraded on the wire.
        """
        return 0 if self.observed or self.resent else self.proposed

    @property
    def other_edits(self) -> Mapping[str, int]:
        """
        How many edits on the wire each rule made, except for upgrades of a TTL.
        """
        others = [edit.rule for edit in self.on_wire if edit.rule != CACHE_TTL]
        return Counter(others) if others else {}

    @property
    def asks_for_diagnosis(self) -> bool:
        """
        Whether savemode put the parameter of the API's cache diagnostics into the body that was sent.
        """
        return any(edit.rule == DIAGNOSE for edit in self.on_wire)

    @property
    def was_left_alone(self) -> bool:
        """
        Whether the request was not upgraded because upgrades were not enabled for it: the gate was closed, the product's
        users do not pause, or a subscription pays.
        """
        if upgrades(self.edits):
            return False
        return not self.gate.on or any(skip.code in ("product", "oauth") for skip in self.skips)

    def without_edits(self) -> "Upgrade":
        """
        The same for a request that is not sent.
        """
        return replace(self, edits=()) if self.edits else self

    def skipped(self, code: str, why: str) -> "Upgrade":
        """
        The same with every TTL of the request unchanged, for this reason. Edits of other rules stay.
        """
        edits = tuple(edit for edit in self.edits if edit.rule != CACHE_TTL)
        skips = (*(skip for skip in self.skips if skip.rule != CACHE_TTL), Skip(CACHE_TTL, (), code, why))
        return replace(self, edits=edits, skips=skips)

    def to_json(self) -> dict[str, Any]:
        """
        The fields for machines. Paths are written with dots.
        """
        return {
            "gate": {"on": self.gate.on, "why": self.gate.why},
            "upgraded": self.upgraded,
            "observed": self.observed,
            "resent": self.resent,
            "edits": [edit_json(edit) for edit in self.edits],
            "skips": [skip_json(skip) for skip in self.skips],
            "edits_left_out": self.edits_left_out,
            "skips_left_out": self.skips_left_out,
            **({} if self.auto is None else {"auto": auto_json(self.auto)}),
            **({} if self.trial is None else {"trial": self.trial.to_json()}),
        }

    def shortened(self) -> "Upgrade":
        """
        The same with a limited number of edits and skips, for a list that keeps many exchanges.
        """
        if max(len(self.edits), len(self.skips)) <= _MOST_SHOWN:
            return self
        dropped = self.edits[_MOST_SHOWN:]
        return replace(
            self,
            edits=self.edits[:_MOST_SHOWN],
            skips=self.skips[:_MOST_SHOWN],
            edits_left_out=self.edits_left_out + len(dropped),
            skips_left_out=self.skips_left_out + len(self.skips[_MOST_SHOWN:]),
            upgraded_left_out=self.upgraded_left_out + len(upgrades(dropped)),
        )


NO_UPGRADE = Upgrade()
"""The upgrade of a request that was not judged."""


def auto_json(decision: Decision) -> dict[str, Any]:
    """
    A decision of the policy `auto` for machines. `expects_nusd` is the expected cost minus the expected cost with the
    best other choice.
    """
    expected = decision.expected_difference_nusd
    return {
        "ttl": decision.ttl,
        **({"keeps_warm": True} if decision.keeps_warm else {}),
        "situation": decision.situation,
        "expects_nusd": expected,
        "expects_usd": None if expected is None else exact_usd(expected),
        "reason": decision.reason,
    }


def edit_json(edit: Edit) -> dict[str, Any]:
    """
    An edit for machines. `before` is null if there was no value; `at_bytes` is the offset in the original body.
    """
    return {
        "rule": edit.rule,
        "path": dotted(edit.path),
        "before": edit.before if isinstance(edit.before, str | int) else None,
        "after": edit.after if isinstance(edit.after, str | int) else None,
        "was": edit.was,
        "becomes": edit.becomes,
        "at_bytes": edit.at,
        "removed_bytes": len(edit.removed),
        "inserted_bytes": len(edit.inserted),
        "why": edit.why,
    }


def skip_json(skip: Skip) -> dict[str, Any]:
    """
    A skip for machines.
    """
    return {"rule": skip.rule, "path": dotted(skip.path), "code": skip.code, "why": skip.why}
