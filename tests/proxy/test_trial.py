"""
A trial from beginning to end: sessions through the proxy to a simulated upstream, and what `savemode report --trial` says.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from savemode_cli.config.folders import user_state
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.money.pricing import Cost
from savemode_cli.core.upgrade.hold_out import TrialMember, trial_member
from savemode_cli.proxy.trial import TrialSink
from savemode_cli.proxy.trial_file import TrialFile
from savemode_cli.simulated.clock import Clock
from savemode_cli.views.request import details
from tests.builders import a_usage, an_observed
from tests.conftest import FLAG
from tests.support.command import Run, lines
from tests.support.prompts import MARK, MODEL, assistant, text, user
from tests.support.simulated import KEY, VERSION, running_simulated
from tests.support.upstream import RunningProxy, running_proxy
from tests.support.wire import exchange, request

START = datetime(2026, 11, 24, 8, tzinfo=UTC)
PAUSES_S = (600, 900)


def body(session: int, turns: int, words: int) -> bytes:
    """
    The request of a conversation after so many turns.
    """
    said = text(f"{session} " + "word " * words, **MARK)
    messages = [one for turn in range(turns) for one in (user(text(f"ask {turn}")), assistant(text(f"answer {turn}")))]
    messages.append(user(text(f"ask {turns}")))
    return json.dumps({"model": MODEL, "max_tokens": 9, "system": [said], "messages": messages}).encode()


@contextmanager
def a_trial(fault: str = "") -> Iterator[tuple[RunningProxy, Clock]]:
    """
    A proxy that holds out half of the sessions, before a simulated upstream that goes by the same clock.
    """
    clock = Clock(START)
    with (
        running_simulated(clock=clock, fault=fault) as simulated,
        running_proxy(simulated.url, now=clock, ttl_policy="always", hold_out=0.5) as proxy,
    ):
        yield proxy, clock


def play(proxy: RunningProxy, clock: Clock, sessions: int, pauses_s: tuple[int, ...]) -> None:
    """
    Sessions of four turns, one after the other; before each further turn one of the pauses.
    """
    random = Random(3)
    for session in range(sessions):
        words = random.randrange(2_000, 6_000)
        for turn in range(4):
            whose = ("x-claude-code-session-id", f"session-{session}")
            wire = request("POST", "/v1/messages", body(session, turn, words), KEY, VERSION, whose, *FLAG.items())
            assert exchange(proxy.port, wire).status == 200
            clock.advance(random.choice(pauses_s))
        clock.advance(2 * 3600)


def test_a_saving_is_shown(savemode: Run) -> None:
    """
    Pauses of ten minutes: an hour saves rewrites, in each session, and the interval excludes zero.
    """
    with a_trial() as (proxy, clock):
        play(proxy, clock, 24, PAUSES_S)
        seen = proxy.exchanges
    result = json.loads(savemode("report", "--trial", "--json").out)
    done = savemode("report", "--trial")

    groups = result["groups"]
    assert groups["policy"]["sessions"] + groups["hold_out"]["sessions"] == 24
    assert (result["verdict"], result["enough"]) == ("cheaper", True)
    assert result["low_nusd"] < result["difference_nusd"] < result["high_nusd"] < 0
    assert result["first_at"].startswith("2026-11-24T08:00")
    held_out = [one for one in seen if one.upgrade.trial is not None and one.upgrade.trial.group == "hold-out"]
    assert len(held_out) == groups["hold_out"]["requests"]
    assert all(one.upgrade.upgraded == 0 for one in held_out)
    assert any("(request) hold-out: this session is held out" in line for line in details(held_out[0]))
    costs = [one.bill.cost.input_nusd for one in held_out if one.bill.cost is not None]
    assert groups["hold_out"]["prompts_nusd"] == sum(costs)
    assert "session-1" not in (user_state() / "trial.jsonl").read_text()
    shown = lines(done.out)
    assert shown[0] == "trial of upgraded cache TTLs, 2026-11-24 to 2026-11-27"
    assert any(line.startswith("The policy saves: for the same tokens -") for line in shown)
    assert "interval excludes zero" in " ".join(shown)
    assert done.code == 0


def test_no_effect_is_not_enough_yet(savemode: Run) -> None:
    """
    An upstream that keeps everything for 5 minutes, whatever is asked: sessions differ in their pauses, groups by chance alone.
    """
    with a_trial("downgrade*1000") as (proxy, clock):
        play(proxy, clock, 24, (60, *PAUSES_S))
        upgraded = sum(one.upgrade.upgraded for one in proxy.exchanges)
    result = json.loads(savemode("report", "--trial", "--json").out)
    shown = " ".join(lines(savemode("report", "--trial").out))

    assert upgraded > 0
    assert (result["verdict"], result["enough"]) == ("unclear", False)
    assert result["low_nusd"] <= 0 <= result["high_nusd"]
    assert "Not enough yet: for the same tokens" in shown
    assert "the interval includes zero" in shown


def test_too_few_sessions(savemode: Run) -> None:
    """
    That is said before anything is compared.
    """
    with a_trial() as (proxy, clock):
        play(proxy, clock, 3, PAUSES_S)
    shown = " ".join(lines(savemode("report", "--trial").out))

    assert "Not enough yet: each group needs 5 sessions before they are compared." in shown


def test_a_sub_agent_is_in_the_group_of_its_session() -> None:
    """
    And a request in which nothing could be upgraded is in none.
    """
    session = next(name for name in map(str, range(99)) if trial_member(name, 0.5).group == "hold-out")
    whose = ("x-claude-code-session-id", session)
    agent = ("x-claude-code-agent-id", "agent-1")
    with a_trial() as (proxy, _):
        for more in ((), (agent,)):
            wire = request("POST", "/v1/messages", body(1, 0, 5000), KEY, VERSION, whose, *more, *FLAG.items())
            assert exchange(proxy.port, wire).status == 200
        bare = json.dumps({"model": MODEL, "max_tokens": 9, "messages": [user(text("hi"))]}).encode()
        assert exchange(proxy.port, request("POST", "/v1/messages", bare, KEY, VERSION, *FLAG.items())).status == 200
        first, second, third = proxy.exchanges

    assert first.upgrade.trial == second.upgrade.trial == trial_member(session, 0.5)
    assert first.to_json()["trial"]["group"] == "hold-out"
    assert first.call.session != second.call.session
    assert third.upgrade.trial is None


def test_trouble_is_announced_once(tmp_path: Path) -> None:
    """
    A file that cannot be written; estimated bills are not counted.
    """
    (tmp_path / "trial.jsonl").mkdir()
    said: list[tuple[str, str]] = []
    sink = TrialSink(TrialFile(tmp_path / "trial.jsonl"), lambda event, words: said.append((event, words)))
    member = TrialMember("policy", "ab")
    for basis in ("reported", "estimated", "reported"):
        observed = an_observed(
            usage=a_usage(1, 2),
            cost=Cost(5, 6),
            settlement=Settlement(11, basis),
            trial=member,
        )
        sink.keep(observed)
        sink.close()

    assert sink.counters == {"counted": 2}
    assert [event for event, _ in said] == ["trial"]
    assert sink.trouble
