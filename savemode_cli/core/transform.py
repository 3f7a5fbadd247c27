"""
Every change savemode makes to a request body.

Rule of this file: a change is an `Edit`, a splice of bytes with a path and a reason; what a rule saw and left alone is
a `Skip` with a reason. No edits means the original bytes. The body is never serialised again.

To add a transform: write a rule (`Facts`, `Policy`, `Caller` in; edits and skips out), add it to `RULES`, add its
switch to `Policy`, off by default.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from msgspec import UNSET

from savemode_cli.core.caller import Caller
from savemode_cli.core.messages import (
    ONE_HOUR,
    TTL,
    Breakpoint,
    Facts,
    Path,
    dotted,
    facts,
    may_have_breakpoints,
    order_errors,
)


class Absent:
    """
    The type of `ABSENT`: no value stands there, before an insertion or after a removal.
    """

    def __repr__(self) -> str:
        """
        As it is printed.
        """
        return "absent"


ABSENT: Final = Absent()

TtlPolicy = Literal["off", "product", "always"]
TTL_POLICIES: tuple[TtlPolicy, ...] = get_args(TtlPolicy)

CACHE_TTL = "cache-ttl"
"""The name of the rule that raises breakpoints from 5 minutes to 1 hour."""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What may be changed. The default changes nothing.

    `compat` reproduces PostHog's gateway: breakpoints at the top level of tools, system and messages only, and all or
    nothing where the order stands in the way. `allow_bedrock` and `allow_oauth` lift two guards.
    """

    ttl: TtlPolicy = "off"
    compat: bool = False
    allow_bedrock: bool = False
    allow_oauth: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """
    One splice: at offset `at` of the original, `removed` gives way to `inserted`.

    `path` names the value that changes, `before` and `after` are that value; `was` and `becomes` are the JSON text of
    the object around it, to show. `why` is for people.
    """

    path: Path
    before: object
    after: object
    rule: str
    why: str
    at: int
    removed: bytes
    inserted: bytes
    was: str
    becomes: str


@dataclass(frozen=True, slots=True)
class Skip:
    """
    What a rule saw and left alone. `code` is stable and counted, `why` is for people; `path` is () for the whole request.
    """

    rule: str
    path: Path
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Transformed:
    """
    The body to send and how it came about; `revert(body, edits)` is the original, always.
    """

    body: bytes
    edits: tuple[Edit, ...] = ()
    skips: tuple[Skip, ...] = ()


Judged = tuple[list[Edit], list[Skip]]
Rule = Callable[[Facts, Policy, Caller], Judged]


def transform(body: bytes, policy: Policy, caller: Caller, known: Facts | None = None) -> Transformed:
    """
    Apply every rule to a request body. Never raises.

    `known` is `facts(body)` where the caller has it already. Idempotent: a second run adds nothing.
    """
    if known is None:
        known = facts(body) if policy.ttl != "off" and may_have_breakpoints(body) else Facts()
    edits: list[Edit] = []
    skips: list[Skip] = []
    for rule in RULES:
        more_edits, more_skips = rule(known, policy, caller)
        edits += more_edits
        skips += more_skips
    return Transformed(apply(body, edits), tuple(edits), tuple(skips))


def apply(body: bytes, edits: Sequence[Edit]) -> bytes:
    """
    The body with the edits made; the very same object if there are none.
    """
    if not edits:
        return body
    pieces: list[bytes | memoryview] = []
    view = memoryview(body)
    position = 0
    for edit in sorted(edits, key=_offset):
        pieces += (view[position : edit.at], edit.inserted)
        position = edit.at + len(edit.removed)
    pieces.append(view[position:])
    return b"".join(pieces)


def revert(body: bytes, edits: Sequence[Edit]) -> bytes:
    """
    The original of a body that `apply` made with these edits.
    """
    pieces: list[bytes | memoryview] = []
    view = memoryview(body)
    position = shift = 0
    for edit in sorted(edits, key=_offset):
        start = edit.at + shift
        pieces += (view[position:start], edit.removed)
        position = start + len(edit.inserted)
        shift += len(edit.inserted) - len(edit.removed)
    pieces.append(view[position:])
    return b"".join(pieces)


def describe(change: Edit | Skip) -> str:
    """
    One line for people: the place, then what happened to it or why nothing did.
    """
    if isinstance(change, Edit):
        return f"{dotted(change.path[:-1])} {change.was} -> {change.becomes}"
    return f"{dotted(change.path)} {change.code}: {change.why}"


def cache_ttl(known: Facts, policy: Policy, caller: Caller) -> Judged:
    """
    Raise bare 5-minute breakpoints to 1 hour: the longest leading run for which the order stays legal.
    """
    guard = _guard(known, policy, caller)
    if guard is not None:
        return [], [guard]
    edits, skips = (_upgrade_compat if policy.compat else _upgrade_leading_run)(known)
    if not policy.compat and not _order_kept(known, edits):
        # Unreachable by construction, and checked all the same: a body the API accepts must never become one it refuses.
        return [], [_skip((), "order", "the upgrade would have broken the order of the TTLs")]
    return edits, skips


RULES: tuple[Rule, ...] = (cache_ttl,)


def _guard(known: Facts, policy: Policy, caller: Caller) -> Skip | None:
    """
    The reasons that hold for the whole request.
    """
    if policy.ttl == "off":
        return _skip((), "policy-off", "the TTL policy is off")
    if known.problem:
        return _skip((), "unreadable", f"the body is {known.problem}" if _is_state(known.problem) else known.problem)
    if not known.breakpoints:
        return _skip((), "no-markers", "no cache_control in the body; savemode never adds one")
    if policy.ttl == "product" and not caller.idle_prone:
        return _skip((), "product", f"product {caller.product} is not idle-prone (--ttl-policy always upgrades it too)")
    if caller.oauth and not policy.allow_oauth:
        return _skip((), "oauth", "subscription (OAuth) traffic is left as it is (--allow-oauth-edits)")
    return _cloud_guard(known, policy, caller)


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


_CLOUD_MODEL = re.compile(r"(^|[./])anthropic\.|^arn:aws|^amazon\.|@|-v\d+(:\d+)?$")
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?=[-@:]|$)")


def is_cloud_model(model: str) -> bool:
    """
    Whether an id is spelled as on Bedrock or Google Cloud: `us.anthropic.claude-...-v1:0`, an ARN, `claude-...@date`.
    """
    return _CLOUD_MODEL.search(model) is not None


def _cloud_takes_one_hour(model: str) -> bool:
    match = _VERSION.search(model)
    return match is not None and (int(match[1]), int(match[2] or 0)) >= (4, 5)


_BARRIERS: dict[str, tuple[str, str]] = {
    "5m": ("client-ttl", 'the client chose ttl "5m"'),
    "null": ("ttl-null", "ttl is null, which is 5 minutes spelled out"),
    "persistent": ("persistent", 'type "persistent" is not part of the API; left for it to answer'),
}


def _upgrade_leading_run(known: Facts) -> Judged:
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
    The block on which automatic caching puts a TTL other than 1 hour: a marker there must have the same TTL.

    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (automatic caching, checked 2026-11-23).
    """
    if known.automatic_target is None:
        return None
    automatic = known.breakpoints[-1]
    return known.automatic_target if automatic.kind not in ("bare", "1h") else None


def _upgrade_compat(known: Facts) -> Judged:
    """
    PostHog/posthog#65690 in its last version, faults included.
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
    inner = one.text[:-1].rstrip(b" \t\r\n")
    inserted = b',"ttl":"1h"' if b'": ' not in inner else b', "ttl": "1h"'
    return Edit(
        path=(*one.control_path, TTL),
        before=ABSENT,
        after=ONE_HOUR,
        rule=CACHE_TTL,
        why="a bare breakpoint lives 5 minutes; 1h keeps it through a pause",
        at=one.start + len(inner),
        removed=b"",
        inserted=inserted,
        was=one.text.decode("utf-8", "replace"),
        becomes=(inner + inserted + one.text[len(inner) :]).decode("utf-8", "replace"),
    )


def _order_kept(known: Facts, edits: Sequence[Edit]) -> bool:
    raised = {edit.path[:-2] for edit in edits}
    after = [(one.path, ONE_HOUR if one.path in raised else one.lifetime) for one in known.breakpoints]
    return not order_errors(after) or bool(order_errors([(one.path, one.lifetime) for one in known.breakpoints]))


def _skip(path: Path, code: str, why: str) -> Skip:
    return Skip(CACHE_TTL, path, code, why)


def _offset(edit: Edit) -> int:
    return edit.at


@dataclass(frozen=True, slots=True)
class Choice:
    """
    Whether a session's breakpoints are raised, and when that was last acted on.
    """

    upgrade: bool
    last_used: datetime


def writes_one_hour(known: Facts, edits: Sequence[Edit]) -> bool:
    """
    Whether a body sent with these edits writes its cache for an hour, at its first breakpoint at least.
    """
    return bool(edits) or any(one.kind == ONE_HOUR for one in known.breakpoints)


def sticky(previous: Choice | None, wanted: bool, now: datetime) -> Choice:
    """
    The choice for a session's next request: it changes only where the cache is cold anyway.

    Nobody outside knows whether the TTL is part of the cache's key. If it is, a change in mid-session throws the warm
    prefix away; so a session that is warm, within the TTL it last wrote, keeps its choice.
    """
    if previous is None or previous.upgrade == wanted:
        return Choice(wanted, now)
    lifetime = timedelta(hours=1) if previous.upgrade else timedelta(minutes=5)
    warm = now - previous.last_used <= lifetime
    return Choice(previous.upgrade if warm else wanted, now)
