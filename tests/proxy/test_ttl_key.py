"""
The experiment on the key of the cache, in both worlds of the simulated upstream.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from savemode_cli.config.folders import user_state
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.upgrade.auto import Run
from savemode_cli.core.upgrade.hold_out import trial_member
from savemode_cli.core.upgrade.ttl_key import TtlKeyVerdict
from savemode_cli.proxy.auto_history import AutoHistoryFile
from savemode_cli.proxy.ttl_key_file import TtlKeyFile
from savemode_cli.simulated.clock import Clock
from tests.conftest import FLAG
from tests.support.command import Run as Command
from tests.support.prompts import MARK, MODEL, assistant, text, user
from tests.support.simulated import KEY, VERSION, running_simulated
from tests.support.upstream import RunningProxy, running_proxy
from tests.support.wire import exchange, request

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
HELD_OUT = next(name for name in map(str, range(99)) if trial_member(name, 0.5).group == "hold-out")
OTHER = next(name for name in map(str, range(99)) if trial_member(name, 0.5).group == "policy")


def ask(proxy: RunningProxy, turns: int, session: str = HELD_OUT, words: int = 20_000) -> Exchange:
    """
    Send the request of a conversation after so many turns.
    """
    said = [one for turn in range(turns) for one in (user(text(f"ask {turn}")), assistant(text(f"answer {turn}")))]
    body = {
        "model": MODEL,
        "max_tokens": 64,
        "system": [text("word " * words, **MARK)],
        "messages": [*said, user(text(f"ask {turns}"))],
    }
    whose = ("x-claude-code-session-id", session)
    wire = request("POST", "/v1/messages", json.dumps(body).encode(), KEY, VERSION, whose, *FLAG.items())
    assert exchange(proxy.port, wire).status == 200
    return proxy.exchanges[-1]


@contextmanager
def playing(*, ttl_in_key: bool, **options: Any) -> Iterator[tuple[RunningProxy, Clock]]:
    """
    A proxy that holds out half of the sessions, with an upstream whose cache has or has not the TTL in its key.
    """
    clock = Clock(START)
    given: dict[str, Any] = {"ttl_policy": "always", "hold_out": 0.5} | options
    with (
        running_simulated(clock=clock, ttl_in_key=ttl_in_key) as upstream,
        running_proxy(upstream.url, now=clock, **given) as proxy,
    ):
        yield proxy, clock


@pytest.mark.parametrize(("ttl_in_key", "outcome"), [(False, "carries_over"), (True, "in_key")])
def test_both_outcomes(savemode: Command, ttl_in_key: bool, outcome: str) -> None:
    """
    One warm prompt is upgraded, its bill is read, and the verdict is announced and stored. After that, nothing is upgraded.
    """
    with playing(ttl_in_key=ttl_in_key) as (proxy, clock):
        assert ask(proxy, 0).upgrade.upgraded == 0
        assert "asked: a running proxy" in savemode("experiment", "ttl-key").out
        clock.advance(60)
        done = ask(proxy, 1)
        clock.advance(60)
        later = ask(proxy, 2)
        said = [words for event, words in proxy.announced if event == "experiment"]

    assert done.upgrade.upgraded == 1
    assert later.upgrade.upgraded == 0
    assert len(said) == 1
    assert ("is not a part" in said[0]) is not ttl_in_key
    (verdict,) = json.loads(savemode("experiment", "ttl-key", "--show", "--json").out)["verdicts"]
    assert (verdict["model"], verdict["outcome"]) == (MODEL, outcome)
    assert verdict["at"].startswith("2026-11-24T12:01")
    assert (verdict["read_tokens"] > 0) is not ttl_in_key
    assert done.upgrade.trial is not None
    assert done.upgrade.trial.group == "policy", "the session was in both groups, and is left out of the trial"
    shown = savemode("experiment", "ttl-key", "--show").out
    assert f"{MODEL}: " in shown
    assert "asked:" not in shown


def test_only_what_was_asked_for(savemode: Command) -> None:
    """
    Without the command nothing is upgraded; nor with a cold cache, a short prompt, or in a session that is not held out.
    """
    with playing(ttl_in_key=False) as (proxy, clock):
        ask(proxy, 0)
        assert ask(proxy, 1).upgrade.upgraded == 0
        savemode("experiment", "ttl-key")
        clock.advance(280)
        assert ask(proxy, 2).upgrade.upgraded == 0
        short = next(name for name in map(str, range(99, 999)) if trial_member(name, 0.5).group == "hold-out")
        ask(proxy, 0, short, words=2_000)
        assert ask(proxy, 1, short, words=2_000).upgrade.upgraded == 0
        assert ask(proxy, 0, OTHER).upgrade.upgraded == 1
        savemode("experiment", "ttl-key", "--cancel")
        assert ask(proxy, 3).upgrade.upgraded == 0
        assert proxy.announced == []

    assert "no verdict yet" in savemode("experiment", "ttl-key", "--show").out


@pytest.mark.parametrize("outcome", ["carries_over", "in_key", "unclear", None])
def test_auto_upgrades_a_warm_prompt_only_then(outcome: Any) -> None:
    """
    A long prompt that began at 5 minutes goes over to 1 hour, for the model of the verdict.
    """
    history = AutoHistoryFile(user_state() / "auto.json")
    history.add([("", Run(f"r{number}", "start", START, 10**9, 2 * 10**9)) for number in range(5)])
    if outcome is not None:
        TtlKeyFile(user_state() / "ttl-key.json").add(TtlKeyVerdict(MODEL, START, outcome, 1, 1, 1))
    with playing(ttl_in_key=False, ttl_policy="auto", hold_out=0.0) as (proxy, clock):
        first = ask(proxy, 0, words=100_000)
        clock.advance(60)
        second = ask(proxy, 1, words=100_000)
        short = [ask(proxy, turn, "short") for turn in range(2)]

    assert first.upgrade.upgraded == 0
    assert second.upgrade.upgraded == (outcome == "carries_over")
    assert [one.upgrade.upgraded for one in short] == [0, 0]
    if outcome == "carries_over":
        assert second.upgrade.auto is not None
        assert "an experiment has shown" in second.upgrade.auto.reason
        assert second.bill.usage is not None
        assert second.bill.usage.tokens.read > 0


def test_a_damaged_file_is_announced() -> None:
    """
    The experiment is not made.
    """
    user_state().mkdir(parents=True)
    (user_state() / "ttl-key.json").write_text("not JSON")
    with playing(ttl_in_key=False) as (proxy, _):
        ask(proxy, 0)
        assert ask(proxy, 1).upgrade.upgraded == 0
        assert [event for event, _ in proxy.announced] == ["experiment"]
