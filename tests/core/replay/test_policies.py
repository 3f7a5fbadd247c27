"""
A policy is one entry: the five that exist, and one from outside.
"""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from savemode_cli.core.cache.prompt import Prompt, prompt_of
from savemode_cli.core.money.pricing import InputRates
from savemode_cli.core.replay.inference import LaneRequest, lane_requests
from savemode_cli.core.replay.policies import REPLAY_POLICIES, Counterfactual, ReplayPolicy, with_lifetime
from savemode_cli.core.replay.segments import PolicySum
from tests.core.replay.test_bodies import a_body, conversation, run
from tests.core.replay.test_inference import a_request, second
from tests.support.command import Run
from tests.support.transcripts import a_session


def test_the_policies_on_usage() -> None:
    """
    A 5-minute cache that expired in a pause of ten minutes.
    """
    item = second(a_request(0, w5=100_000), a_request(600, w5=101_000))
    upgrades = True
    results = {name: policy.of_usage(item, upgrades) for name, policy in REPLAY_POLICIES.items()}

    assert results["recorded"] == results["5m"] == Counterfactual((101_000, 0, 0))
    assert results["1h"] == results["product"] == Counterfactual((0, 101_000, 0), 100_000)
    assert REPLAY_POLICIES["product"].of_usage(item, not upgrades) == results["recorded"]


def test_kept_warm_on_usage() -> None:
    """
    A pause of ten minutes has two keep-warm requests: the prompt is there unless it was changed, and the writes cost what they
    cost for 5 minutes. After the last request four more are sent in vain. Over an hour everything is cold.
    """
    keep_warm, upgrades = REPLAY_POLICIES["keep-warm"].of_usage, False
    first, then, late = lane_requests(
        [a_request(0, w5=100_000), a_request(600, w5=101_000), a_request(9000, w5=102_000)]
    )
    results = [keep_warm(item, upgrades) for item in (first, then, late)]

    assert [result.used for result in results] == [(100_000, 0, 0), (101_000, 0, 0), (102_000, 0, 0)]
    assert [(result.rescuable_tokens, result.rescuable_ttl) for result in results] == [
        (0, "5m"),
        (100_000, "5m"),
        (0, "5m"),
    ]
    sent = 2 * 100_000 + 4 * 101_000 + 4 * 102_000
    assert sum(result.kept_warm_tokens for result in results) == sent
    agent = second(a_request(0, w5=100_000, agent="a"), a_request(600, w5=101_000, agent="a"))
    assert keep_warm(agent, upgrades) == Counterfactual((101_000, 0, 0))


def test_kept_warm_is_priced() -> None:
    """
    What the requests read costs what reads cost, and a rescued token costs a read instead of a 5-minute write.
    """
    rates = InputRates(4, 5, 8, 1, "exact")
    total = PolicySum()
    total.count(0, Counterfactual((1000, 0, 0), 600, "5m", 5000), rates, 0)

    assert (total.ausd, total.rescuable_ausd) == (1000 * 5 + 5000, 600 * (5 - 1))
    tokens = total.expected_tokens(Fraction(1, 2))
    assert (tokens.write_5m_tokens, tokens.write_1h_tokens, tokens.read_tokens) == (700, 0, 300)


def test_kept_warm_on_prompts() -> None:
    """
    Recorded bodies have the same: one request in a pause of six minutes, read instead of written, and four at the end.
    """
    plain = run(*conversation([10]))[0]
    done = run(*conversation([10, 400]))[0]

    assert done.estimate("keep-warm").tokens.read_tokens > done.estimate("5m").tokens.read_tokens
    assert plain.estimate("keep-warm").nusd > plain.estimate("5m").nusd
    assert done.estimate("keep-warm").tokens.write_1h_tokens == 0


def test_the_policies_on_prompts() -> None:
    """
    The breakpoints as they were billed, for one lifetime, or as the product sends them.
    """
    recorded, product = prompt_of(a_body(2)), prompt_of(a_body(2, ttl="1h"))
    lifetimes = {
        name: {mark.lifetime for mark in policy.of_prompt(recorded, product).marks}
        for name, policy in REPLAY_POLICIES.items()
    }

    assert lifetimes == {"recorded": {"5m"}, "5m": {"5m"}, "1h": {"1h"}, "keep-warm": {"5m"}, "product": {"1h"}}
    assert with_lifetime(product, "5m") == recorded


def _uncached(item: LaneRequest, _: bool) -> Counterfactual:
    usage = item.request.usage
    return Counterfactual((usage.tokens.prompt - usage.tokens.input, 0, 0))


def _unmarked(recorded: Prompt, _: Prompt) -> Prompt:
    return with_lifetime(recorded, "5m")


COLD = ReplayPolicy("cold", "never warm", "every request writes its whole prompt", _uncached, _unmarked)


def test_a_policy_from_outside(savemode: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One entry, and it is a row of the text and of the JSON, for transcripts and for bodies, and is listed in help.
    """
    monkeypatch.setitem(REPLAY_POLICIES, "cold", COLD)
    for number in range(3):
        a_session(f"s{number}", [10] * 12).write(tmp_path)
    text = savemode("replay", str(tmp_path)).out
    data = json.loads(savemode("replay", str(tmp_path), "--json").out)

    assert "  never warm " in text
    assert data["policies"]["cold"]["read_tokens"] == 0
    assert data["policies"]["cold"]["cost_nusd"] > data["policies"]["5m"]["cost_nusd"]
    assert all("cold_nusd" in pause for pause in data["pauses"])
    assert "every request writes its whole prompt" in savemode("replay", "--help").out
    assert run(*conversation([10, 400]))[0].estimate("cold").nusd > 0
