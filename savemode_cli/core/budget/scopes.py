"""
The scopes of budgets: who shares a budget, and whose share a request uses.

Rule of this file: a scope is a row of `SCOPES`. No other file knows how a request says who sends it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savemode_cli.core.wire.caller import Caller, Headers

ALL = "all"
_HEADER_SCOPE = re.compile(r"header:([a-z0-9!#$%&'*+.^_`|~-]+)")
# A key is stored and printed. These headers are credentials; scope "key" tells keys apart by fingerprint instead.
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})
_MOST_AGENTS = 10_000
_MOST_LEVELS = 32  # of agents above each other; the rest of a longer chain is left out


@dataclass(frozen=True, slots=True)
class Process:
    """
    What is the same for all requests of one `savemode run` or `savemode serve`.
    """

    run: str = ""
    """Identifies this process, like `261129-091532-4711`."""
    project: str = ""
    """
    The project in which it was started: the name of the folder that contains `.git`, otherwise of the working
    directory.
    """


@dataclass(frozen=True, slots=True)
class Spender:
    """
    Everything about a request that decides whose budgets it uses.
    """

    caller: "Caller"
    headers: "Headers" = ()
    session: Callable[[], str] = str
    """Returns the conversation, including its sub-agents, see `caller.conversation_key`; empty if unknown."""
    model: str = ""
    """The requested model; empty if none is named."""
    process: Process = field(default_factory=Process)
    agents: "AgentTree | None" = None


@dataclass(frozen=True, slots=True)
class Scope:
    """
    One way to divide a budget.
    """

    identities: Callable[[Spender], tuple[str, ...]]
    """
    Whose shares a request uses. "" for a request that does not say who sends it: all such requests share one budget, so
    that leaving it out gains nothing. An empty tuple: the budget does not apply to this request.
    """

    chosen_by_caller: bool = True
    """Whether the caller says whose share a request uses. Such a budget divides spend among honest clients only."""

    how_to_say: str = ""
    """What a client does to say who it is."""


def _agents(spender: Spender) -> tuple[str, ...]:
    """
    The sub-agent that sends the request, and those above it; none for the main conversation.
    """
    caller = spender.caller
    if spender.agents is not None:
        return spender.agents.path(caller.agent_id, caller.parent_agent_id)
    return () if caller.agent_id is None else (caller.agent_id,)


def _keys(spender: Spender) -> tuple[str, ...]:
    """
    One key, or two if a request carries two different keys. Both are charged then, because the upstream decides which
    one it bills. Otherwise a caller could get a new budget by adding a made-up key.
    """
    return spender.caller.key_fingerprints or ("",)


def _user(spender: Spender) -> str:
    # Where people have tokens, anybody could name somebody else in a header.
    return (spender.caller.distinct_id if spender.caller.person is None else spender.caller.person) or ""


def _project(spender: Spender) -> str:
    return _header(spender.headers, b"x-savemode-project") or spender.process.project


SCOPES: Mapping[str, Scope] = {
    ALL: Scope(lambda _: ("",), chosen_by_caller=False),
    "run": Scope(lambda spender: (spender.process.run,), chosen_by_caller=False),
    "session": Scope(lambda spender: (spender.session(),), how_to_say="send x-claude-code-session-id or x-session-id"),
    "agent": Scope(_agents, how_to_say="send x-claude-code-agent-id"),
    "project": Scope(lambda spender: (_project(spender),), how_to_say="send x-savemode-project"),
    "model": Scope(lambda spender: (spender.model,), how_to_say="name a model"),
    "product": Scope(lambda spender: (spender.caller.product,)),
    "user": Scope(
        lambda spender: (_user(spender),),
        how_to_say="send x-posthog-distinct-id, or your access token as x-savemode-token if you were given one",
    ),
    "token": Scope(
        lambda spender: (spender.caller.person or "",),
        chosen_by_caller=False,
        how_to_say="send your access token as x-savemode-token",
    ),
    "team": Scope(
        lambda spender: (_text(spender.caller.properties.get("team_id")),), how_to_say="send x-posthog-property-team_id"
    ),
    "key": Scope(_keys, chosen_by_caller=False, how_to_say="send an API key"),
}
"""All scopes, except for those of the form `header:NAME`."""


@cache
def scope_named(name: str) -> Scope:
    """
    The scope with a name.

    Raises:
        ValueError: there is no such scope, or its header is a credential. The message says what is wrong.
    """
    if name in SCOPES:
        return SCOPES[name]
    match = _HEADER_SCOPE.fullmatch(name)
    if match is None:
        raise ValueError(f"unknown scope {name!r}")
    if match[1] in _SECRET_HEADERS:
        raise ValueError(f"{match[1]} is a credential and is not stored")
    header = match[1].encode()
    return Scope(lambda spender: (_header(spender.headers, header),), how_to_say=f"send {match[1]}")


def identities(scope: str, spender: Spender) -> tuple[str, ...]:
    """
    Whose shares of a budget with this scope a request uses, see `Scope.identities`.
    """
    return tuple(map(_text, scope_named(scope).identities(spender)))


def is_chosen_by_caller(scope: str, *, tokens: bool) -> bool:
    """
    Whether the caller says whose share of such a budget a request uses.

    The upstream proves a key, because it refuses one that is not valid. savemode proves an access token.

    Args:
        scope: the name of the scope.
        tokens: whether people have access tokens, which also identify the user of a request.
    """
    return scope_named(scope).chosen_by_caller and not (scope == "user" and tokens)


class AgentTree:
    """
    Which sub-agent was started by which, as far as requests have said it.

    A request names its agent and the agent's parent, and not those above. Each of these has sent requests of its own
    before, so savemode remembers what they said. Source: headers of Claude Code 2.1.332,
    `x-claude-code-parent-agent-id`.
    """

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def path(self, agent_id: str | None, parent_id: str | None) -> tuple[str, ...]:
        """
        The agent that sends a request, then those above it.

        Args:
            agent_id: the agent; None for the main conversation.
            parent_id: the agent that started it; None if the main conversation did.
        """
        if agent_id is None:
            return ()
        if parent_id is not None and agent_id != parent_id:
            self._parents.pop(agent_id, None)  # so that the dictionary is ordered by last use
            self._parents[agent_id] = parent_id
            if len(self._parents) > _MOST_AGENTS:
                del self._parents[next(iter(self._parents))]
        path = [agent_id]
        while len(path) < _MOST_LEVELS:
            above = self._parents.get(path[-1])
            if above is None or above in path:
                break
            path.append(above)
        return tuple(path)


def _header(headers: "Headers", name: bytes) -> str:
    return next((value.decode("latin-1") for other, value in reversed(list(headers)) if other == name), "")


def _text(value: object) -> str:
    """
    A JSON value as text that every store can hold. A lone surrogate is legal in JSON and in no encoding.
    """
    return "" if value is None else str(value).encode("utf-8", "backslashreplace").decode()
