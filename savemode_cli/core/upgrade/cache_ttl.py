"""
The rule that upgrades cache breakpoints from 5 minutes to 1 hour.

Rule of this file: it reads facts and returns edits and skips. It changes nothing itself.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23): a 1-hour breakpoint
must not follow a 5-minute one.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import UNSET, Struct

from savemode_cli.core.upgrade.edits import ABSENT, Edit, RuleInput, RuleOutput, Skip, upgrades
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.rules import CACHE_TTL
from savemode_cli.core.wire.breakpoints import PLAIN_MARKER, Breakpoint
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.messages import ONE_HOUR, TTL, Path, dotted, order_errors
from savemode_cli.core.wire.models import is_cloud_model


def cache_ttl(request: RuleInput) -> RuleOutput:
    """
    Upgrade bare 5-minute breakpoints to 1 hour. It upgrades the longest leading run that leaves the order of TTLs
    legal.

    Args:
        request: the facts of the body, the policy and the caller.

    Returns:
        One edit for each upgraded breakpoint, and one skip with a reason for each other breakpoint, or for the whole
        request.
    """
    known, policy, caller = request.facts, request.policy, request.caller
    guard = _guard(known, policy, caller)
    if guard is not None:
        return [], [guard]
    edits, skips = (_upgrade_compat if policy.compat else _upgrade_leading_run)(known)
    if not policy.compat and not _order_kept(known, edits):
        # Unreachable by construction, and checked all the same: a body the API accepts must never become one it refuses.
        return [], [_skip((), "order", "the upgrade would have broken the order of the TTLs")]
    return edits, skips


def _guard(known: Facts, policy: Policy, caller: Caller) -> Skip | None:
    """
    Why no breakpoint of the request may be upgraded; None if they may.
    """
    if policy.ttl == "off":
        return _skip((), "policy-off", "the TTL policy is off")
    nothing_to_judge = _body_guard(known)
    if nothing_to_judge is not None:
        return nothing_to_judge
    if known.added.thread == "continue" and not policy.compat:
        return _skip((), "thread", "the API holds the earlier turns of this thread, and so the order of its TTLs")
    return _caller_guard(policy, caller) or _cloud_guard(known, policy, caller)


def _caller_guard(policy: Policy, caller: Caller) -> Skip | None:
    """
    Why requests of this caller are not upgraded.
    """
    if policy.ttl == "product" and not caller.idle_prone:
        return _skip((), "product", f"product {caller.product} is not idle-prone (--ttl-policy always upgrades it too)")
    if policy.ttl == "main" and caller.agent_id is not None:
        return _skip(
            (), "sub-agent", "sub-agents rarely pause, so they stay at 5m (--ttl-policy always upgrades them too)"
        )
    if caller.oauth and not policy.allow_oauth:
        return _skip((), "oauth", "subscription (OAuth) traffic is left as it is (--allow-oauth-edits)")
    return None


def _body_guard(known: Facts) -> Skip | None:
    """
    Why this body is not upgraded.
    """
    if known.problem:
        return _skip((), "unreadable", f"the body is {known.problem}" if _is_state(known.problem) else known.problem)
    if known.unjudged:
        return _skip((), "not-judged", f"{known.unjudged}; it is sent as it came")
    if not known.breakpoints:
        return _skip((), "no-markers", "no cache_control in the body; savemode never adds one")
    return None


def _is_state(problem: str) -> bool:
    return problem.startswith(("not ", "nested "))


def _cloud_guard(known: Facts, policy: Policy, caller: Caller) -> Skip | None:
    model = known.model or ""
    if caller.provider != "bedrock" and not is_cloud_model(model):
        return None
    if not policy.allow_bedrock:
        return _skip((), "bedrock", "Bedrock and Vertex models are left as they are (--allow-bedrock)")
    if not _cloud_takes_one_hour(model):
        return _skip((), "bedrock", "this cloud's 1-hour TTL starts with the 4.5 models; the model is older or unknown")
    return None


_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?=[-@:[]|$)")


def _cloud_takes_one_hour(model: str) -> bool:
    match = _VERSION.search(model)
    return match is not None and (int(match[1]), int(match[2] or 0)) >= (4, 5)


_BARRIERS: dict[str, tuple[str, str]] = {
    "5m": ("client-ttl", 'the client chose ttl "5m"'),
    "null": ("ttl-null", "ttl is null, which is 5 minutes spelled out"),
    "persistent": ("persistent", 'type "persistent" is not part of the API; left for it to answer'),
}


def _upgrade_leading_run(known: Facts) -> RuleOutput:
    edits: list[Edit] = []
    skips: list[Skip] = []
    barrier: Breakpoint | None = None
    pinned = _pinned_by_automatic(known)
    for one in known.breakpoints:
        path = one.control_path
        if one.kind == "ignored":
            skips.append(_skip(path, "not-an-object", one.trouble))
        elif one.kind == "1h":
            skips.append(_skip(path, "client-ttl", 'the client chose ttl "1h"'))
        elif one.kind != "bare":
            code, why = _BARRIERS.get(one.kind, ("unknown", one.trouble))
            skips.append(_skip(path, code, why))
            barrier = barrier or one
        elif barrier is not None:
            why = f"1h may not follow {dotted(barrier.control_path)}, which is not 1h"
            skips.append(_skip(path, "after-5m", why))
        elif one.path == pinned:
            skips.append(_skip(path, "automatic-5m", "the request's own cache_control pins this block to 5m"))
            barrier = one
        else:
            edits.append(_add_one_hour(one))
    return edits, skips


def _pinned_by_automatic(known: Facts) -> Path | None:
    """
    The block to which automatic caching gives a TTL other than 1 hour. A breakpoint on that block must have the same
    TTL.

    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (automatic caching, checked
    2026-11-23).
    """
    if known.automatic_target is None:
        return None
    automatic = known.breakpoints[-1]
    return known.automatic_target if automatic.kind not in ("bare", "1h") else None


def _upgrade_compat(known: Facts) -> RuleOutput:
    """
    Upgrade as PostHog's gateway does, with its faults: PostHog/posthog#65690 in its last version.
    """
    bare: list[Breakpoint] = []
    shorter = blocked = False
    for one in known.breakpoints:
        if one.nested or not one.path or one.text is None:
            continue
        if one.ttl is UNSET and one.type == "ephemeral":
            bare.append(one)
            blocked = blocked or shorter
        elif one.ttl is not UNSET and one.ttl not in (None, ONE_HOUR):
            shorter = True
    if blocked:
        return [], [
            _skip((), "compat-order", "compat: a shorter TTL stands before a bare marker, so nothing is upgraded")
        ]
    edits = [_add_one_hour(one) for one in bare]
    left = {one.path for one in known.breakpoints} - {one.path for one in bare}
    skips = [
        _skip(one.control_path, "compat", "compat: not a bare top-level marker")
        for one in known.breakpoints
        if one.path in left
    ]
    return edits, skips


def _add_one_hour(one: Breakpoint) -> Edit:
    assert one.text is not None  # noqa: S101 - a bare marker always has its place
    assert one.start is not None  # noqa: S101
    length, inserted, was, becomes = _PLAIN_CHANGE if one.text == PLAIN_MARKER else _change(one.text)
    return Edit(
        path=(*one.control_path, TTL),
        before=ABSENT,
        after=ONE_HOUR,
        rule=CACHE_TTL,
        why="a bare breakpoint lives 5 minutes; 1h keeps it through a pause",
        at=one.start + length,
        removed=b"",
        inserted=inserted,
        was=was,
        becomes=becomes,
    )


def _change(text: bytes) -> tuple[int, bytes, str, str]:
    """
    Where in a bare marker the TTL is inserted, what is inserted, and the marker before and after it.
    """
    inner = text[:-1].rstrip(b" \t\r\n")
    inserted = b',"ttl":"1h"' if b'": ' not in inner else b', "ttl": "1h"'
    becomes = inner + inserted + text[len(inner) :]
    return len(inner), inserted, text.decode("utf-8", "replace"), becomes.decode("utf-8", "replace")


_PLAIN_CHANGE = _change(PLAIN_MARKER)


def _order_kept(known: Facts, edits: Sequence[Edit]) -> bool:
    raised = {edit.path[:-2] for edit in edits}
    after = [(one.path, ONE_HOUR if one.path in raised else one.lifetime) for one in known.breakpoints]
    return not order_errors(after) or bool(order_errors([(one.path, one.lifetime) for one in known.breakpoints]))


def _skip(path: Path, code: str, why: str) -> Skip:
    return Skip(CACHE_TTL, path, code, why)


class Choice(Struct, frozen=True, gc=False):
    """
    Whether the breakpoints of a session are upgraded, and when that last took effect.
    """

    upgrade: bool
    last_used: datetime


def writes_one_hour(known: Facts, edits: Sequence[Edit]) -> bool:
    """
    Whether a body with these edits writes its cache for 1 hour, at least at its first breakpoint.
    """
    return bool(upgrades(edits)) or any(one.kind == ONE_HOUR for one in known.breakpoints)


def sticky(previous: Choice | None, wanted: bool, now: datetime) -> Choice:
    """
    The choice for the next request of a session. It changes only where the cache is cold.

    It is not documented whether the TTL is part of the cache's key. If it is, a change during a session loses the warm
    prefix. So a session keeps its choice while its cache is warm, which is within the TTL that it wrote last.

    Args:
        previous: the choice for the session's last request; None for its first request.
        wanted: whether this request would be upgraded otherwise.
        now: when the request is sent.
    """
    if previous is None or previous.upgrade == wanted:
        return Choice(wanted, now)
    lifetime = timedelta(hours=1) if previous.upgrade else timedelta(minutes=5)
    warm = now - previous.last_used <= lifetime
    return Choice(previous.upgrade if warm else wanted, now)
