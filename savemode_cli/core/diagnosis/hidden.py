"""
Why no breakpoint of a request looked at the entry that it could have read.

Rule of this file: the first difference in evaluation order counts, as in the cache: the model, tools, parameters of the
system prompt, the system prompt, parameters of the messages, messages.
"""

from dataclasses import replace
from datetime import timedelta

from savemode_cli.core.cache.blocks import forgets_thinking
from savemode_cli.core.cache.model import LOOK_BACK_POSITIONS
from savemode_cli.core.cache.prompt import Prompt
from savemode_cli.core.diagnosis.base import Base
from savemode_cli.core.diagnosis.causes import Cause, Miss
from savemode_cli.core.diagnosis.fingerprint import Fingerprint
from savemode_cli.core.diagnosis.lanes import SentPrompt
from savemode_cli.core.diagnosis.lost import billed_ttl
from savemode_cli.core.wire.messages import Path

_CHANGED: tuple[Cause, ...] = ("tools_changed", "system_changed", "messages_changed")
_ABSENT = "absent"

_PLACES: dict[str, tuple[Path, str]] = {
    "model": (("model",), ""),
    "speed": (("speed",), ""),
    "web_search": (("tools",), ""),
    "citations": (("messages",), "document"),
    "tool_choice": (("tool_choice",), ""),
    "images": (("messages",), "image"),
    "thinking": (("thinking",), ""),
    "effort": (("output_config", "effort"), ""),
    "format": (("output_config", "format"), ""),
}
"""The place of a parameter in the request; for parameters that blocks decide, the type of the block."""


def hidden(sent: SentPrompt, prompt: Prompt, base: Base, tokens: int) -> Miss:
    """
    The cause of a miss of entries that no breakpoint looked at.

    Args:
        sent: the request.
        prompt: its prompt.
        base: the earlier request that it continues.
        tokens: how many tokens were missed.
    """
    used = base.sent.ended_at or base.sent.began_at or base.sent.started_at
    idle = max(sent.started_at - used, timedelta())
    return replace(_cause(sent, prompt, base, tokens), idle=idle, ttl=billed_ttl(base.sent))


def _cause(sent: SentPrompt, prompt: Prompt, base: Base, tokens: int) -> Miss:
    now, before = sent.fingerprint, base.sent.fingerprint
    if base.compacted or base.cleared:
        return Miss("compacted", tokens, _start_of_history(now))
    change = base.difference.change if base.difference.shared < base.cached.blocks else None
    deepest = change.level if change is not None else before.level(max(base.blocks - 1, 0))
    for number, (olds, news) in enumerate(zip(before.parameters, now.parameters, strict=True)):
        if number <= deepest and olds != news:
            return _parameter(dict(olds), dict(news), before, now, tokens)
    if change is None:
        return _breakpoints(sent, prompt, base, tokens)
    return Miss(
        _CHANGED[change.level],
        tokens,
        change.path,
        change.kind,
        change.type,
        values_only=change.values_only,
        forgotten=change.kind == "removed" and change.type == "thinking" and forgets_thinking(sent.lane.model),
    )


def _start_of_history(fingerprint: Fingerprint) -> Path:
    head = fingerprint.tools + fingerprint.system
    return fingerprint.position(head).path if head < fingerprint.blocks else ("messages",)


def _parameter(olds: dict[str, str], news: dict[str, str], before: Fingerprint, now: Fingerprint, tokens: int) -> Miss:
    name = next(name for name in {**olds, **news} if olds.get(name) != news.get(name))
    old, new = olds.get(name, _ABSENT), news.get(name, _ABSENT)
    path, kind = _PLACES[name]
    if kind:
        path = _first(before if new == "off" else now, kind) or path
    cause: Cause = "model_changed" if name == "model" else "parameters_changed"
    return Miss(cause, tokens, path, type=kind, parameter=name, before=old, after=new)


def _first(fingerprint: Fingerprint, kind: str) -> Path:
    positions = (fingerprint.position(block) for block in range(fingerprint.blocks))
    return next((position.path for position in positions if position.type == kind), ())


def _breakpoints(sent: SentPrompt, prompt: Prompt, base: Base, tokens: int) -> Miss:
    """
    The prefix is the same: a breakpoint is missing, is too far away, or has no effect.
    """
    now, last = sent.fingerprint, base.blocks - 1
    if now.entries and (sent.usage is None or not sent.usage.cached_tokens):
        return Miss("too_short", tokens, now.position(now.entries[-1].block).path)
    behind = [entry.block for entry in now.entries if entry.block >= last]
    if base.unmarked or not behind:
        return Miss("no_breakpoint", tokens, now.position(last).path)
    positions = [number for number, digest in zip(prompt.positions, prompt.digests, strict=True) if digest]
    distance = positions[behind[0]] - positions[last]
    if distance < LOOK_BACK_POSITIONS:
        # It looked there, and what was missed stands behind it.
        return Miss("no_breakpoint", tokens, now.position(max(base.difference.shared - 1, last)).path)
    return Miss("out_of_reach", tokens, now.position(behind[0]).path, positions=distance)
