"""
`savemode budget` beside a proxy that runs: what is set counts there, and what counts there is shown.
"""

import json
import urllib.request
from typing import Any

from tests.support.processes import SAVEMODE, post, running, savemode, serving
from tests.support.streams import says, text
from tests.support.upstream import Upstream
from tests.support.waiting import until

CALL = json.dumps(
    {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
).encode()


def health(url: str) -> dict[str, Any]:
    """
    What the proxy says of itself.
    """
    with urllib.request.urlopen(f"{url}/-/health") as answer:
        read: dict[str, Any] = json.loads(answer.read())
    return read


def shown() -> dict[str, Any]:
    """
    What `budget show --json` says.
    """
    read: dict[str, Any] = json.loads(savemode("budget", "show", "--json").stdout)
    return read


def test_cap_that_is_set_again_counts(upstream: Upstream) -> None:
    """
    The ledger holds $30, the proxy is started with less, and $30 is set again: it was set later, so it counts.
    """
    upstream.script = says(text("hello"))
    savemode("budget", "set", "30")
    with serving(upstream.url, "--budget", "0.000001") as (_, url):
        assert [post(url, CALL)[0] for _ in range(2)] == [200, 402]
        (before,) = shown()["budgets"]
        for amount in ("30", "31", "30"):
            done = savemode("budget", "set", amount)
            assert post(url, CALL)[0] == 200
            assert health(url)["budgets"][0]["limit_usd"] == f"{amount}.000000000"
            assert f"${amount}.00" in done.stdout.decode()
        (after,) = shown()["budgets"]

    assert (before["limit_usd"], before["source"], before["set_in"], before["proxies"]) == (
        "0.000001000",
        "configuration",
        "--budget",
        [url],
    )
    assert before["stored"]["limit_usd"] == "30.000000000"
    assert (after["limit_usd"], after["source"], after["refusal"]) == ("30.000000000", "ledger", None)
    assert after["configured"]["limit_usd"] == "0.000001000"


def test_set_says_what_the_cap_was(upstream: Upstream) -> None:
    """
    Namely that of the running proxy, and not the one that the ledger holds in vain.
    """
    savemode("budget", "set", "30")
    with serving(upstream.url, "--budget", "0.15"):
        done = savemode("budget", "set", "40")

    assert done.stderr.decode() == "default is now $40.0000; it was $0.1500\n"


def test_check_asks_the_running_proxy(upstream: Upstream) -> None:
    """
    Every request is refused there, whatever the ledger holds.
    """
    upstream.script = says(text("hello"))
    savemode("budget", "set", "30")
    with serving(upstream.url, "--budget", "0.000001") as (_, url):
        post(url, CALL)
        refused = savemode("budget", "show", "--check")
    after = savemode("budget", "show", "--check")

    assert refused.returncode == 1
    shown = " ".join(refused.stdout.decode().split())
    assert "from --budget, newer than the ledger's $30.0000" in shown
    assert f"enforced by {url}" in shown
    assert after.returncode == 0
    assert url not in after.stdout.decode()


def test_proxies_of_other_ledgers_are_not_asked(upstream: Upstream) -> None:
    """
    Their caps are not about this ledger's spend.
    """
    with serving(upstream.url, "--budget", "1", "--ledger", "memory:"):
        savemode("budget", "set", "30")
        (budget,) = shown()["budgets"]

    assert (budget["limit_usd"], budget["proxies"]) == ("30.000000000", [])


def test_proxy_that_wants_a_token(upstream: Upstream) -> None:
    """
    It does not tell strangers its caps; who has the token is told.
    """
    token: dict[str, Any] = {"SAVEMODE_ACCESS_TOKEN": "0123456789abcdef"}
    savemode("budget", "set", "30")
    words = ("serve", "--port", "0", "--upstream", upstream.url, "--budget", "1")
    with running(*SAVEMODE, *words, **token) as server:
        url = server.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")[1]
        # What is printed is not served yet.
        until(lambda: savemode("budget", "show", **token).stdout.decode().count(url) == 1)
        stranger, friend = savemode("budget", "show"), savemode("budget", "show", **token)

    assert f"the proxy at {url} did not report its caps" in " ".join(stranger.stdout.decode().split())
    assert f"enforced by {url}" in " ".join(friend.stdout.decode().split())
