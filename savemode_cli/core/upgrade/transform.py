"""
All changes that savemode makes to a request body.

Rule of this file: a change is an `Edit`, which is a splice of bytes with a path and a reason. What a rule found and did
not change is a `Skip` with a reason. Without edits the original bytes are sent. The body is never serialised again.

The rules are listed in `savemode_cli.core.upgrade.rules`.
"""

from savemode_cli.core.upgrade.edits import Edit, RuleInput, Skip, Transformed, apply
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.rules import rules_asked
from savemode_cli.core.wire.breakpoints import may_have_breakpoints
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts, facts


def transform(
    body: bytes, policy: Policy, caller: Caller, known: Facts | None = None, previous_message_id: str | None = None
) -> Transformed:
    """
    Ask every rule for edits of a request body, and make them. Never raises.

    A second run on the result adds nothing.

    Args:
        body: the body as the client sent it, not compressed.
        policy: which rules are on, and what they may change.
        caller: who sent the request.
        known: `facts(body)`, where the caller has read them already.
        previous_message_id: the API's ID of the answer before it in its conversation, if that is known.
    """
    if known is None:
        is_needed = policy.rules or (policy.ttl != "off" and may_have_breakpoints(body))
        known = facts(body) if is_needed else Facts()
    request = RuleInput(body, known, policy, caller, previous_message_id)
    edits: list[Edit] = []
    skips: list[Skip] = []
    for rule in rules_asked(policy):
        more_edits, more_skips = rule.function(request)
        edits += more_edits
        skips += more_skips
    return Transformed(apply(body, edits), tuple(edits), tuple(skips))
