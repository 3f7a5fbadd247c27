"""
A rule that edits requests is one entry of the table `RULES`: help, the flag, the variable and the config file, the reference,
the banner, `doctor`, request lines and counters find it there.
"""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from savemode_cli.cli.banner import banner_rows
from savemode_cli.cli.compose import Proxy
from savemode_cli.config import OPTIONS, Settings, load
from savemode_cli.config.options.upgrade import switch_of
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.upgrade.edits import RuleInput, RuleOutput, Skip
from savemode_cli.core.upgrade.rules import RULES, Rule
from savemode_cli.views.logfmt import logfmt
from tests.builders import an_edit
from tests.support.command import Run, error_line
from tests.support.reference import reference
from tests.support.trusting import trusted_config
from tests.support.upstream import Upstream, running_proxy
from tests.support.wire import exchange, request

LONG, SHORT = b'"user_id":"a long name"', b'"user_id":"a"'
BODY = b'{"model":"claude-opus-5-5","max_tokens":9,"metadata":{"user_id":"a long name"},"messages":[]}'
OPEN = (("x-posthog-flag-llm-gateway-cost-controls", "true"),)


def shorten_user_id(wanted: RuleInput) -> RuleOutput:
    """
    The function of the rule.
    """
    at = wanted.body.find(LONG)
    if at < 0:
        return [], [Skip("shorten-user-id", ("metadata",), "short", "it is short")]
    path = ("metadata", "user_id")
    return [an_edit(rule="shorten-user-id", path=path, at=at, removed=LONG, inserted=SHORT)], []


SHORTEN = Rule(name="shorten-user-id", description="Shorten metadata.user_id.", function=shorten_user_id)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Add the rule from outside. `OPTIONS` was made when it was imported, so the switch is added as it is made there.
    """
    monkeypatch.setitem(RULES, SHORTEN.name, SHORTEN)
    monkeypatch.setitem(OPTIONS, SHORTEN.switch, switch_of(SHORTEN))


def test_one_entry_is_a_flag() -> None:
    """
    The table of options is made from the table of rules: an entry that is there before is a flag of the commands.
    """
    code = (
        "from savemode_cli.core.upgrade.rules import RULES, Rule\n"
        "RULES['x-y'] = Rule(name='x-y', description='Edit x.', function=lambda _: ([], []))\n"
        "from savemode_cli.cli import app\n"
        "app(['serve', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "--x-y" in done.stdout
    assert "Edit x." in done.stdout


def test_in_help(savemode: Run) -> None:
    """
    A flag of the commands that judge requests, and of no other.
    """
    for command in ("serve", "run", "diff-request"):
        assert "--shorten-user-id" in savemode(command, "--help").out
        assert "Shorten metadata.user_id." in savemode(command, "--help").out
    assert "--shorten-user-id" not in savemode("report", "--help").out


def test_in_the_reference() -> None:
    """
    A row of the table of options, and one of the table of rules.
    """
    page = reference(lambda name: name, OPTIONS)

    assert (
        "| `shorten_user_id` | `--shorten-user-id` of serve, run, diff-request | `SAVEMODE_SHORTEN_USER_ID` |" in page
    )
    assert "| `shorten-user-id` | `shorten_user_id` | Shorten metadata.user_id. |" in page


def test_as_flag_variable_and_line_of_a_file(savemode: Run) -> None:
    """
    It is off by default, each source turns it on, and a wrong value is an error.
    """
    assert load({}, {}).policy.rules == frozenset()
    assert load({"shorten_user_id": True}, {}).policy.rules == {"shorten-user-id"}
    assert load({}, {"SAVEMODE_SHORTEN_USER_ID": "true"}).policy.rules == {"shorten-user-id"}
    trusted_config("shorten_user_id = true\n")
    assert load({}, {}).policy.rules == {"shorten-user-id"}
    Path("savemode.toml").write_text("shorten_user_id = 7\n")
    assert "shorten_user_id is 7" in error_line(savemode("serve", "--config", "savemode.toml"))


def test_in_trust(savemode: Run) -> None:
    """
    Whoever trusts a file reads first that the rule edits requests.
    """
    Path("savemode.toml").write_text("shorten_user_id = true\n")
    words = " ".join(savemode("trust", "--yes").out.split())

    assert "requests are edited by the rule shorten-user-id: Shorten metadata.user_id" in words


def test_in_the_banner(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where it is on, and only there.
    """
    monkeypatch.setattr("savemode_cli.cli.banner._budget_rows", lambda *_: [])
    monkeypatch.setattr("savemode_cli.views.banner.gate_words", lambda _: "")
    relay = SimpleNamespace(gate=lambda: None)
    proxy = cast("Proxy", SimpleNamespace(simulated=None, network=None, sinks=[], relay=relay))
    row = ("rule", "shorten-user-id: Shorten metadata.user_id.")

    assert row in banner_rows(Settings(others={"shorten_user_id": True}), proxy)
    assert row not in banner_rows(Settings(), proxy)


def test_in_doctor(savemode: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whether it is on, and how to turn it on.
    """

    def finding() -> dict[str, str]:
        findings = json.loads(savemode("doctor", "--json", "--port", "0").out)["findings"]
        rules = [one for one in findings if one["about"] == "rules"]
        (found,) = [one for one in rules if one["text"].startswith("shorten-user-id ")]
        return {key: found[key] for key in ("level", "text", "fix")}

    off = "shorten-user-id is off: Shorten metadata.user_id."
    assert finding() == {"level": "INFO", "text": off, "fix": "--shorten-user-id turns it on"}
    monkeypatch.setenv("SAVEMODE_SHORTEN_USER_ID", "true")
    assert finding() == {"level": "OK", "text": off.replace("off", "on"), "fix": None}


def test_on_the_wire_and_counted(upstream: Upstream) -> None:
    """
    Its edit is sent, shown and counted under its name. A request without an edit says why.
    """
    with running_proxy(upstream.url, others={"shorten_user_id": True}) as proxy:
        for body in (BODY, BODY.replace(LONG, SHORT)):
            exchange(proxy.port, request("POST", "/v1/messages", body, *OPEN))
        edited, skipped = proxy.exchange(0), proxy.exchange(1)

    assert upstream.received[0].body == BODY.replace(LONG, SHORT)
    assert "edits_shorten-user-id=1" in logfmt(edited)
    assert Summary().add(edited).to_json()["other_edits"] == {"shorten-user-id": 1}
    assert Summary().add(skipped).skips["short"] == 1


def test_off_by_default_on_the_wire(upstream: Upstream) -> None:
    """
    Without its switch it is not asked.
    """
    with running_proxy(upstream.url, ttl_policy="always") as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", BODY, *OPEN))
        only = proxy.exchange()

    assert upstream.received[0].body == BODY
    assert [skip.rule for skip in only.upgrade.skips] == ["cache-ttl"]


def test_in_diff_request(savemode: Run) -> None:
    """
    The command that shows what savemode changes shows this edit too, where the rule is on.
    """
    Path("body.json").write_bytes(BODY)
    shown = savemode("diff-request", "body.json", "--shorten-user-id", "--json").out

    assert '"rule":"shorten-user-id"' in shown.replace(" ", "")
