"""
`savemode run`: a command inside a proxy of its own, as a process.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.processes import SAVEMODE, environment, running, savemode
from tests.support.streams import answers, refusal, says, text
from tests.support.trusting import trusted_config
from tests.support.upstream import Upstream
from tests.support.waiting import LONG_S

CALLS = """
    import anthropic

    flag = {"x-posthog-flag-llm-gateway-cost-controls": "true"}
    bare = {"type": "ephemeral"}
    with anthropic.Anthropic(api_key="made-up", default_headers=flag) as client:
        call = {
            "model": "claude-opus-5-5",
            "system": [{"type": "text", "text": "s", "cache_control": bare}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": bare}]}],
        }
        for _ in range(2):
            print(client.messages.create(max_tokens=9, **call).content[0].text)
        client.messages.create(max_tokens=9, model="claude-opus-5-5", messages=[{"role": "user", "content": "hi"}])
        client.messages.count_tokens(**call)
"""
PLAIN = """
    import json, os, urllib.request

    marker = {"type": "ephemeral"}
    body = {"model": "m", "system": [{"type": "text", "text": "s", "cache_control": marker}], "messages": []}
    for _ in range(2):
        url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
        with urllib.request.urlopen(url, json.dumps(body).encode()) as answer:
            print(json.load(answer)["content"][0]["text"])
"""
SUBSCRIBED = """
    import json, os, urllib.request

    marker = {"type": "ephemeral"}
    body = {"model": "m", "system": [{"type": "text", "text": "s", "cache_control": marker}], "messages": []}
    headers = {"authorization": "Bearer sk-ant-oat01-x", "x-posthog-flag-llm-gateway-cost-controls": "true"}
    url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)).read()
"""
SIMULATED = """
    import json, os, urllib.error, urllib.request

    body = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"x-api-key": "made-up", "anthropic-version": "2023-06-01", "content-type": "application/json"}
    url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
    for _ in range(2):
        try:
            urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)).read()
        except urllib.error.HTTPError as error:
            print(error.read().decode())
"""
SHOW = "import os; print(os.environ['ANTHROPIC_BASE_URL'], os.environ['ENABLE_TOOL_SEARCH'])"


def script(source: str, name: str = "script.py") -> str:
    """
    A Python script in the working directory.
    """
    Path(name).write_text(textwrap.dedent(source))
    return name


def test_environment_of_the_command() -> None:
    """
    The command is pointed at the proxy, and tool search stays on behind it; its output is all there is on stdout.
    """
    done = savemode("run", "--", sys.executable, "-c", SHOW)

    url, tool_search = done.stdout.decode().split()
    assert url.startswith("http://127.0.0.1:")
    assert tool_search == "true"
    assert done.returncode == 0
    assert "savemode receipt" in done.stderr.decode()


def test_own_setting_is_kept() -> None:
    """
    Who has set ENABLE_TOOL_SEARCH has decided; a base URL of before gives way to the proxy.
    """
    done = savemode(
        "run", "--", sys.executable, "-c", SHOW, ENABLE_TOOL_SEARCH="auto", ANTHROPIC_BASE_URL="http://127.0.0.1:1"
    )

    url, tool_search = done.stdout.decode().split()
    assert url != "http://127.0.0.1:1"
    assert tool_search == "auto"


def test_gateway_of_before_becomes_the_upstream(upstream: Upstream) -> None:
    """
    A command that already went through a gateway goes on to it: its token is not for the real API.
    """
    upstream.script = says(text("hello"))

    done = savemode("run", "--", sys.executable, script(PLAIN), ANTHROPIC_BASE_URL=upstream.url)

    assert done.stdout.decode().split() == ["hello", "hello"]
    assert len(upstream.received) == 2


def test_http_proxy_is_not_asked_for_our_address() -> None:
    """
    Behind an HTTP proxy the command still reaches its own one, and its other exceptions stay, in both spellings.
    """
    show = "import os; print(os.environ['NO_PROXY'], os.environ['no_proxy'])"

    done = savemode("run", "--", sys.executable, "-c", show, NO_PROXY="intranet")

    assert done.stdout.decode().split() == ["intranet,127.0.0.1"] * 2


def test_exit_code() -> None:
    """
    The command's exit code is ours.
    """
    assert savemode("run", "--", sys.executable, "-c", "raise SystemExit(3)").returncode == 3


def test_options_of_the_command_are_its_own() -> None:
    """
    What follows the command is not read as ours, also without `--`.
    """
    code = "import sys; print(sys.argv[1:])"

    done = savemode("run", sys.executable, "-c", code, "--verbose", "--help", "-q")

    assert done.stdout.decode().strip() == "['--verbose', '--help', '-q']"


def test_no_such_command() -> None:
    """
    A command that does not exist is 127, as in a shell.
    """
    done = savemode("run", "--", "no-such-command-anywhere")

    assert done.returncode == 127
    assert "error: no such command: no-such-command-anywhere" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_command_that_cannot_be_run() -> None:
    """
    A file that is no program is 126.
    """
    plain = Path("plain.txt")
    plain.write_text("text")

    done = savemode("run", "--", str(plain.absolute()))

    assert done.returncode == 126
    assert "permission denied" in done.stderr.decode()


def test_command_that_dies_of_a_signal() -> None:
    """
    Death by signal n is 128 + n.
    """
    done = savemode("run", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")

    assert done.returncode == 128 + 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_passed_on(number: signal.Signals) -> None:
    """
    The command hears the signal, decides on its exit code, and the receipt is still printed.
    """
    source = f"""
        import signal, sys, time

        def stop(number, frame):
            print("stopped by", number, flush=True)
            sys.exit(7)

        signal.signal({int(number)}, stop)
        print("ready", flush=True)
        time.sleep(20)
    """
    with running(*SAVEMODE, "run", "--", sys.executable, script(source)) as one:
        one.out.wait_for("ready")
        assert one.end(number) == 7

    assert one.out.all() == f"ready\nstopped by {int(number)}"
    assert "savemode receipt" in one.err.all()


def test_receipt(upstream: Upstream) -> None:
    """
    The receipt counts model calls and breakpoints, and why others were not upgraded. Counting tokens is not a model call.

    Each of the three calls used 3 tokens of input at $4 and 1 of output at $20 per million: 32,000 nano-dollars.
    """
    upstream.script = says(text("hello"), input_tokens=1)

    done = savemode("run", "--upstream", upstream.url, "--ttl-policy", "always", "--", sys.executable, script(CALLS))

    assert done.stdout.decode() == "hello\nhello\n"
    assert done.stderr.decode() == f"savemode upstream {upstream.url}\n" + textwrap.dedent("""\
        savemode receipt
          requests  3 model calls, 1 other request
          cost      <$0.0001
          upgrade   saved nothing compared with 5-minute caching
          tokens    0 read from the cache, 0 written for 5 minutes, 0 for 1 hour, 9
                    uncached input, 3 output
          cache     4 cache breakpoints upgraded to 1 hour in 2 calls; 0 calls billed at
                    1 hour
                    not upgraded, by reason: count-tokens 1, no-markers 1
        """)


def test_receipt_with_the_gate_closed(upstream: Upstream) -> None:
    """
    Where nothing was upgraded because upgrades are off, the receipt says so.
    """
    upstream.script = says(text("hello"), input_tokens=1)

    done = savemode("run", "--upstream", upstream.url, "--", sys.executable, script(PLAIN))

    assert "  cache     0 cache breakpoints upgraded to 1 hour in 0 calls\n" in done.stderr.decode()
    assert "            upgrades are off: " in done.stderr.decode()


def test_receipt_with_errors(upstream: Upstream) -> None:
    """
    What went wrong is on the receipt.
    """
    upstream.script = answers(refusal("404 Not Found", "not_found_error", "model: no such model"))

    done = savemode("run", "--upstream", upstream.url, "--", sys.executable, script(PLAIN))

    assert done.returncode == 1
    assert "  requests  1 model call, 0 other requests\n" in done.stderr.decode()
    assert "  problems  1 request answered with an error by the upstream\n" in done.stderr.decode()


BUDGETED = ("--budget", "0.00005", "--ledger", "sqlite:///ledger.db")
PAST_THE_CAP = """
    import json, os, urllib.error, urllib.request

    body = json.dumps({"model": "claude-opus-5-5", "max_tokens": 9, "messages": []}).encode()
    for _ in range(3):
        try:
            urllib.request.urlopen(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", body).read()
        except urllib.error.HTTPError as error:
            print(error.code)
"""


def test_receipt_of_a_cap(upstream: Upstream) -> None:
    """
    Limit, spent, left and the reset; a refused request is not a model call, and its zeros are in no figure.

    A call costs 8,000 x 4,000 + 1 x 20,000 nano-dollars, so of $0.05 the second one still starts, and the third does not.
    """
    upstream.script = says(text("hello"), usage={"input_tokens": 8000, "output_tokens": 1})

    words = ("--budget", "0.05", "--ledger", "sqlite:///ledger.db", "--upstream", upstream.url)
    done = savemode("run", *words, "--", sys.executable, script(PAST_THE_CAP))

    said = done.stderr.decode()
    assert done.stdout.decode() == "402\n"
    assert "  requests  2 model calls, 0 other requests\n  cost      $0.0640\n" in said
    assert said.count("refused") == 1
    assert "  problems  1 request refused by a budget and not sent\n" in said
    assert "  budget    default $0.0500 (monthly): $0.0640 spent, $0.0000 left\n            resets 20" in said


def test_receipt_as_json(upstream: Upstream) -> None:
    """
    `--log-format json` gives the receipt as one JSON object on stderr: the same figures, exact.
    """
    upstream.script = says(text("hello"), input_tokens=3)

    done = savemode(
        "run", "--log-format", "json", *BUDGETED, "--upstream", upstream.url, "--", sys.executable, script(PAST_THE_CAP)
    )

    begun, read = map(json.loads, done.stderr.decode().splitlines())
    assert begun == {"event": "run.begin", "config": [], "upstream": upstream.url, "upstream_from": "--upstream"}
    (budget,) = read["budgets"]
    assert (read["schema_version"], read["event"], read["exit_code"]) == (1, "run.done", 0)
    assert (read["requests"], read["over_budget"], read["cost_nusd"], read["cost_usd"]) == (2, 1, 64_000, "0.000064000")
    assert (budget["limit_nusd"], budget["spent_usd"], budget["remaining_nusd"]) == (50_000, "0.000064000", 0)
    assert budget["resets_at"].endswith("T00:00:00Z")


def test_budget_of_a_run(upstream: Upstream) -> None:
    """
    Each run has the whole amount, whatever the ledger holds of others; the refusal says how this one goes on.
    """
    upstream.script = says(text("hello"), input_tokens=3)
    words = ("run", "--run-budget", "0.00005", "--ledger", "sqlite:///ledger.db", "--upstream", upstream.url)

    runs = [savemode(*words, "--", sys.executable, script(PAST_THE_CAP)) for _ in range(2)]

    for done in runs:
        said = " ".join(done.stderr.decode().split())
        assert done.stdout.decode() == "402\n"
        assert "problems 1 request refused by a budget and not sent" in said
        assert re.search(
            r"budget run \(run \d{6}-\d{6}-\d+\) <\$0\.0001 \(total\): <\$0\.0001 spent, \$0\.0000 left", said
        )
        assert "never resets" in said


def test_receipt_of_a_budget_of_ones_own(upstream: Upstream) -> None:
    """
    A budget that each key has for itself is on the receipt for the keys that were used.
    """
    upstream.script = says(text("hello"), input_tokens=3)
    trusted_config('[budgets.mine]\nlimit_usd = "1"\nscope = "product"\n')

    done = savemode("run", "--upstream", upstream.url, "--", sys.executable, script(PAST_THE_CAP))

    assert "  budget    mine (product llm_gateway) $1.0000 (monthly): <$0.0001 spent,\n" in done.stderr.decode()


def test_receipt_without_a_ledger(upstream: Upstream) -> None:
    """
    Where the ledger cannot be used, calls pass and are counted in memory, where they reach the cap; what is left in the
    ledger is not known, and what could not be entered is said.
    """
    upstream.script = says(text("hello"), input_tokens=3)
    Path("ledger.db").write_text("no database, and long enough to be taken for one" * 20)

    done = savemode("run", *BUDGETED, "--upstream", upstream.url, "--", sys.executable, script(PAST_THE_CAP))

    told = done.stderr.decode()
    assert "  problems  1 request refused by a budget and not sent\n" in told
    assert "            2 calls not counted: the ledger did not answer\n" in told
    assert "  budget    unknown: the ledger is unavailable\n" in told
    assert "WARNING charge_lost: 2 bills of <$0.0001 not entered: cannot open the ledger ledger.db" in told


def test_observed_receipt(upstream: Upstream) -> None:
    """
    Under `--observe` the receipt speaks of what would have been.
    """
    upstream.script = says(text("hello"), input_tokens=1)

    done = savemode(
        "run", "--observe", "--upstream", upstream.url, "--ttl-policy", "always", "--", sys.executable, script(PLAIN)
    )

    assert "  cache     2 cache breakpoints would have been upgraded to 1 hour" in done.stderr.decode()
    assert not any(b'"1h"' in received.body for received in upstream.received)


def test_verbose(upstream: Upstream) -> None:
    """
    `--verbose` prints each request, on stderr, where the command's output is not disturbed.
    """
    upstream.script = says(text("hello"), input_tokens=1)

    done = savemode("run", "--verbose", "--upstream", upstream.url, "--", sys.executable, script(PLAIN))

    assert done.stdout.decode() == "hello\nhello\n"
    assert done.stderr.decode().count(" request.done outcome=ok ") == 2


def test_simulated_upstream() -> None:
    """
    No key, no network: the receipt says that nothing of it was paid, and its budgets go by the clock that was turned.
    """
    calls = (
        CALLS
        + """
    import os, urllib.request

    clock = os.environ["ANTHROPIC_BASE_URL"] + "/-/clock"
    urllib.request.urlopen(clock, b'{"advance_s": 2764800}').close()  # 32 days: another month, nothing spent in it
    """
    )
    words = ("--upstream", "simulated", "--ttl-policy", "always", "--budget", "5")
    done = savemode("run", *words, "--", sys.executable, script(calls))

    assert done.returncode == 0
    assert done.stdout.decode() == "A simulated answer to\n" * 2  # cut off after nine tokens
    receipt = done.stderr.decode()
    assert receipt.endswith("  simulated no model answered, tokens are estimates, and nothing was paid\n")
    assert "$5.0000" in receipt
    assert "spent $0.0000" in receipt or "$0.0000 spent" in receipt


def test_exit_code_without_a_reader() -> None:
    """
    The command's exit code is passed on although nobody reads the receipt any more.
    """
    process = subprocess.Popen(
        [*SAVEMODE, "run", "--", sys.executable, "-c", "raise SystemExit(5)"], stderr=subprocess.PIPE, env=environment()
    )
    assert process.stderr is not None
    process.stderr.close()

    assert process.wait(LONG_S) == 5


def test_gate_warning() -> None:
    """
    The environment switch that has no effect is warned of before the command runs.
    """
    done = savemode("run", "--", sys.executable, "-c", "pass", COST_CONTROLS_ENABLED="true")

    assert done.stderr.decode().startswith("WARNING cost_controls_dev_override_ignored: ")


def test_bad_option_does_not_start_the_command() -> None:
    """
    A setting that cannot be used is said before anything runs.
    """
    done = savemode("run", "--ttl-policy", "sometimes", "--", sys.executable, "-c", "print('ran')")

    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == (
        "error: --ttl-policy is 'sometimes' [config_error]\n  give off | product | main | always | auto\n"
    )


@pytest.mark.parametrize("separator", [["--"], []])
def test_unknown_option_is_named_with_the_nearest(separator: list[str]) -> None:
    """
    It is an error, and not the command; nothing is started.
    """
    done = savemode("run", "--budgit", "5", *separator, sys.executable, "-c", "print('started')")

    assert (done.returncode, done.stdout) == (2, b"")
    said = done.stderr.decode()
    assert said.startswith("error: No such option: --budgit")
    assert "--budget" in said
    assert "receipt" not in said


def test_port_of_the_proxy() -> None:
    """
    A port that is asked for is used; a configured one is that of `serve`, which may be running.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = savemode("run", "--port", port, "--", sys.executable, "-c", SHOW)
        beside = savemode("run", "--", sys.executable, "-c", SHOW, SAVEMODE_PORT=port)
    used = savemode("run", "--port", port, "--", sys.executable, "-c", SHOW)

    assert refused.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr.decode()
    assert beside.returncode == 0
    assert used.stdout.decode().split()[0] == f"http://127.0.0.1:{port}"


def test_options_of_serve_reach_the_proxy(upstream: Upstream) -> None:
    """
    A subscription's request is upgraded if that was asked for, and the beta is not named if that was not wanted.
    """
    upstream.script = says(text("hello"))
    calls = script(SUBSCRIBED)
    words = ("run", "--upstream", upstream.url, "--ttl-policy", "always")
    edits = ("--allow-oauth-edits", "--no-beta-header")

    savemode(*words, "--", sys.executable, calls)
    savemode(*words, *edits, "--", sys.executable, calls)

    plain, upgraded = upstream.received
    assert b"1h" not in plain.body
    assert b'"1h"' in upgraded.body
    assert upgraded.all("anthropic-beta") == []


def test_save(upstream: Upstream) -> None:
    """
    One switch upgrades, and it is said that it is a debug override. The receipt advises nothing more.
    """
    upstream.script = says(text("hello"))

    done = savemode("run", "--upstream", upstream.url, "--save", "--", sys.executable, script(PLAIN))

    said = done.stderr.decode()
    assert [one.body.count(b'"1h"') for one in upstream.received] == [1, 1]
    assert "cost_controls_dev_override_active: --save: every request may be edited, whatever its flag says" in said
    assert "2 cache breakpoints upgraded to 1 hour in 2 calls" in said
    assert "--save would" not in said


def test_without_save(upstream: Upstream) -> None:
    """
    The receipt ends with what `--save` would have changed: here it would have cost more, for nobody paused.
    """
    used = {"input_tokens": 3, "output_tokens": 1, "cache_creation_input_tokens": 4000}
    upstream.script = says(text("hello"), model="claude-opus-5-5", usage=used)
    calls = script(PLAIN.replace('"model": "m"', '"model": "claude-opus-5-5"'))

    done = savemode("run", "--upstream", upstream.url, "--", sys.executable, calls)
    told = savemode("run", "--upstream", upstream.url, "--log-format", "json", "--", sys.executable, calls)

    assert b"1h" not in upstream.received[0].body
    last = done.stderr.decode().splitlines()[-1]
    # Twice 4,000 tokens for $8 and not for $5 a million
    assert last == "  --save would have cost about $0.0240 more: no pause of 5 to 60 minutes"
    save = json.loads(told.stderr.decode().splitlines()[-1])["save"]
    assert (save["requests"], save["difference_nusd"], save["pauses"]) == (2, 24_000_000, 0)


def test_subscription_is_told_its_option(upstream: Upstream) -> None:
    """
    With `--save` and without: the one option that upgrades a subscription's requests.
    """
    upstream.script = says(text("hello"))
    calls = script(SUBSCRIBED)

    for words in ([], ["--save"]):
        done = savemode("run", "--upstream", upstream.url, *words, "--", sys.executable, calls)
        assert "savemode run --save --allow-oauth-edits -- " in done.stderr.decode().splitlines()[-1]

    savemode("run", "--upstream", upstream.url, "--save", "--allow-oauth-edits", "--", sys.executable, calls)
    assert [one.body.count(b'"1h"') for one in upstream.received] == [0, 0, 1]


def test_no_call_came(upstream: Upstream) -> None:
    """
    A client that goes elsewhere is not capped, so it is said, with the reason where that can be seen; not where a call
    came, or where nothing was run.
    """
    words = ("run", "--upstream", upstream.url, "--budget", "1")
    bedrock = savemode(*words, "--", sys.executable, "-c", "pass", CLAUDE_CODE_USE_BEDROCK="1")
    silent = savemode(*words, "--", sys.executable, "-c", "pass")
    settings = savemode(
        *words, "--", sys.executable, "-c", "pass", "--settings", '{"env": {"CLAUDE_CODE_USE_VERTEX": "1"}}'
    )
    upstream.script = says(text("hello"))
    asked = savemode(*words, "--", sys.executable, script(PLAIN), CLAUDE_CODE_USE_BEDROCK="1")
    missing = savemode(*words, "--", "no-such-command")

    no_call = "no request came through savemode, so no budget was enforced:"
    assert all(no_call in one.stderr.decode() for one in (bedrock, silent, settings))
    read = [" ".join(one.stderr.decode().split()) for one in (bedrock, silent, settings)]
    assert "CLAUDE_CODE_USE_BEDROCK is set: Claude Code sends its requests to Amazon Bedrock" in read[0]
    assert "does not read ANTHROPIC_BASE_URL" in read[1]
    assert "CLAUDE_CODE_USE_VERTEX is set in --settings" in read[2]
    assert not any(no_call in one.stderr.decode() for one in (asked, missing))


def test_no_call_in_json(upstream: Upstream) -> None:
    """
    The reasons, or null where a call came.
    """
    words = ("run", "--upstream", upstream.url, "--log-format", "json")
    upstream.script = says(text("hello"))
    silent = savemode(*words, "--", sys.executable, "-c", "pass")
    asked = savemode(*words, "--", sys.executable, script(PLAIN))

    silent_reasons, reasons = (json.loads(done.stderr.decode().splitlines()[-1])["no_call"] for done in (silent, asked))
    assert len(silent_reasons) == 1
    assert reasons is None


def test_refusal_of_a_simulated_upstream_advises_what_works_there() -> None:
    """
    What it bills is counted in the proxy's memory: no command is advised, and the user's ledger is not made.
    """
    done = savemode("run", "--upstream", "simulated", "--budget", "0.000001", "--", sys.executable, script(SIMULATED))

    said = done.stdout.decode()
    assert (
        "To go on now: restart savemode with a larger cap or send the header x-posthog-budget-override: true." in said
    )
    assert "savemode budget" not in said + done.stderr.decode()
    assert list(Path(os.environ["XDG_DATA_HOME"]).glob("savemode/ledger*")) == []


CLIENT = f"""#!{sys.executable}
import json, os, sys, urllib.request
file = os.environ.get("CLINE_PROVIDER_SETTINGS_PATH")
url = json.load(open(file))["providers"]["anthropic"]["settings"]["baseUrl"] if file else os.environ["ANTHROPIC_BASE_URL"]
body = {{"model": "claude-opus-5-5", "max_tokens": 5, "messages": [{{"role": "user", "content": "hi"}}]}}
urllib.request.urlopen(urllib.request.Request(url + "/messages", json.dumps(body).encode()), timeout=20).read()
print(file, sys.argv[1:])
"""


def program(name: str, source: str = CLIENT) -> str:
    """
    A program of this name, in the working directory.
    """
    file = Path(name)
    file.write_text(source)
    file.chmod(0o700)
    return str(file.absolute())


def test_client_that_reads_a_file(upstream: Upstream) -> None:
    """
    It is given one for this run with the proxy's address and its own /v1, which is gone afterwards; that is said.
    """
    upstream.script = says(text("hello"))

    done = savemode("run", "--upstream", upstream.url, "--", program("cline"), "--json", "hello")

    file, words = done.stdout.decode().split(" ", 1)
    assert (done.returncode, words) == (0, "['--json', 'hello']\n")
    assert upstream.received[0].target == "/v1/messages"
    assert not Path(file).exists()
    assert not Path(file).parent.exists()
    said = done.stderr.decode()
    assert f"savemode client Cline reads its base URL from a file: it is given {file}, removed at the end\n" in said
    assert "1 model call" in said


def test_client_that_reads_a_variable(upstream: Upstream) -> None:
    """
    What is set is said; and its /v1 is served.
    """
    upstream.script = says(text("hello"))

    done = savemode("run", "--upstream", upstream.url, "--", program("opencode"), "run")

    assert (done.returncode, upstream.received[0].target) == (0, "/v1/messages")
    assert "savemode client opencode reads ANTHROPIC_BASE_URL, set to http://127.0.0.1:" in done.stderr.decode()


def test_client_that_is_told_otherwise(upstream: Upstream) -> None:
    """
    What leads it past the proxy is said before it runs, and again where no call came.
    """
    quiet = program("claude", f"#!{sys.executable}\n")
    done = savemode("run", "--upstream", upstream.url, "--", quiet, CLAUDE_CODE_USE_BEDROCK="1")

    said = " ".join(done.stderr.decode().split())
    words = "CLAUDE_CODE_USE_BEDROCK is set: Claude Code sends its requests to Amazon Bedrock, not to savemode"
    assert said.index(f"WARNING client_bypasses_savemode: {words}") < said.index("savemode receipt")
    assert said.count(words) == 2


def test_client_that_made_no_call(upstream: Upstream) -> None:
    """
    A known client made none; of another command it is not known what it reads.
    """
    quiet = program("opencode", f"#!{sys.executable}\n")
    known = savemode("run", "--upstream", upstream.url, "--", quiet).stderr.decode()
    unknown = savemode("run", "--upstream", upstream.url, "--", sys.executable, "-c", "pass").stderr.decode()

    assert "opencode made no model call, or has its own base URL" in " ".join(known.split())
    assert "`savemode clients` lists what clients read" in " ".join(unknown.split())


def test_client_as_json(upstream: Upstream) -> None:
    """
    What was done for it is one JSON object, as everything that is said then.
    """
    quiet = program("cline", f"#!{sys.executable}\n")
    done = savemode("run", "--log-format", "json", "--upstream", upstream.url, "--", quiet)

    read = [json.loads(line) for line in done.stderr.decode().splitlines()]
    (told,) = [one for one in read if one["event"] == "run.client"]
    assert (told["client"], told["set"]) == (
        "cline",
        [
            "ANTHROPIC_BASE_URL",
            "CLINE_HUB_DISCOVERY_PATH",
            "CLINE_PROVIDER_SETTINGS_PATH",
        ],
    )
    assert len(told["told"]) == 1
