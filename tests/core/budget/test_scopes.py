"""
Scopes of budgets: whose share a request uses, and who says so.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from savemode_cli.core.budget.scopes import (
    SCOPES,
    AgentTree,
    Process,
    Spender,
    identities,
    is_chosen_by_caller,
    scope_named,
)
from savemode_cli.core.wire.caller import Caller

CALLER = Caller("wizard", idle_prone=False)


@pytest.mark.parametrize(
    ("scope", "who"),
    [
        ("all", ""),
        ("product", "posthog_code"),
        ("user", "ann"),
        ("team", "42"),
        ("key", "0123456789abcdef"),
        ("header:x-team", "blue"),
        ("header:x-other", ""),
    ],
)
def test_identify(scope: str, who: str) -> None:
    """
    Each scope reads its own part of the request, of a repeated header the last.
    """
    caller = Caller(
        "posthog_code",
        idle_prone=True,
        distinct_id="ann",
        properties={"team_id": 42},
        key_fingerprints=("0123456789abcdef",),
    )

    assert (who,) == identities(scope, Spender(caller, [(b"x-team", b"red"), (b"x-team", b"blue")]))


@pytest.mark.parametrize("scope", ["user", "team", "key", "header:x-team"])
def test_unnamed_callers_share_a_pot(scope: str) -> None:
    """
    Leaving out who one is does not lead around the cap.
    """
    assert identities(scope, Spender(Caller("wizard", idle_prone=False))) == ("",)


def test_who_can_be_stored() -> None:
    """
    A lone surrogate is legal in JSON and in no encoding; it must not break a ledger.
    """
    caller = Caller("wizard", idle_prone=False, properties={"team_id": "\ud800"})

    assert [who.encode() for who in identities("team", Spender(caller))] == [b"\\ud800"]


def test_two_different_keys_are_two_payers() -> None:
    """
    A made-up key beside the real one does not open a new budget: both are counted.
    """
    caller = Caller("wizard", idle_prone=False, key_fingerprints=("made-up", "real"))

    assert identities("key", Spender(caller)) == ("made-up", "real")
    assert identities("user", Spender(caller)) == ("",)


def test_process_decides_its_run_and_its_project() -> None:
    """
    A header names another project, and no header another run.
    """
    process = Process("2026-11-29T09:00:00Z-1", "/src/app")
    headers = [(b"x-savemode-project", b"docs"), (b"x-savemode-run", b"other")]

    assert identities("run", Spender(CALLER, headers, process=process)) == (process.run,)
    assert identities("project", Spender(CALLER, process=process)) == ("/src/app",)
    assert identities("project", Spender(CALLER, headers, process=process)) == ("docs",)


def test_session_and_model_are_as_given() -> None:
    """
    A request without them shares one budget with others like it.
    """
    spender = Spender(CALLER, session=lambda: "s-1", model="claude-opus-5-5")

    assert (identities("session", spender), identities("model", spender)) == (("s-1",), ("claude-opus-5-5",))
    assert (identities("session", Spender(CALLER)), identities("model", Spender(CALLER))) == (("",), ("",))


def test_agent_and_those_above_it() -> None:
    """
    Each counts what it spends and what those below it spend; the main conversation uses no agent's budget.
    """
    tree = AgentTree()

    def whose(agent: str | None, parent: str | None = None) -> tuple[str, ...]:
        caller = replace(CALLER, agent_id=agent, parent_agent_id=parent)
        return identities("agent", Spender(caller, agents=tree))

    assert whose(None) == ()
    assert whose("a") == ("a",)
    assert whose("b", "a") == ("b", "a")
    assert whose("c", "b") == ("c", "b", "a")
    assert whose("c") == ("c", "b", "a")
    assert identities("agent", Spender(replace(CALLER, agent_id="z", parent_agent_id="y"))) == ("z",)


AGENTS = st.sampled_from("abcd")


@given(steps=st.lists(st.tuples(AGENTS, st.none() | AGENTS)))
def test_tree_of_agents_ends(steps: list[tuple[str, str | None]]) -> None:
    """
    Whatever clients claim, a path has each agent once, and its own first.
    """
    tree = AgentTree()
    for agent, parent in steps:
        path = tree.path(agent, parent)
        assert path[0] == agent
        assert len(set(path)) == len(path)


def test_tree_of_agents_is_bounded() -> None:
    """
    The agents that were heard of least recently are forgotten.
    """
    tree = AgentTree()
    for number in range(10_001):
        tree.path(f"a{number}", "top")

    assert tree.path("a0", None) == ("a0",)
    assert tree.path("a10000", None) == ("a10000", "top")


@pytest.mark.parametrize("name", SCOPES)
def test_scope_says_how_a_client_says_who_it_is(name: str) -> None:
    """
    Every scope for which a request may fail to say it.
    """
    scope = scope_named(name)

    assert bool(scope.how_to_say) == (name not in ("all", "run", "product"))
    assert is_chosen_by_caller(name, tokens=False) == (name not in ("all", "run", "token", "key"))


def test_user_is_proved_by_a_token() -> None:
    """
    Once people have access tokens, nobody chooses their name.
    """
    assert not is_chosen_by_caller("user", tokens=True)
    assert is_chosen_by_caller("header:x-team", tokens=True)
