"""
`savemode run`: a command inside a proxy of its own, as a process.
"""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.cli.processes import SAVEMODE, environment, running, savemode
from tests.streams import answers, refusal, says, text
from tests.upstream import Upstream
from tests.waiting import LONG_S

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
    Behind an HTTP proxy the command still reaches its own one, and its other exceptions stay.
    """
    show = "import os; print(os.environ['NO_PROXY'])"

    done = savemode("run", "--", sys.executable, "-c", show, NO_PROXY="intranet")

    assert done.stdout.decode().strip() == "intranet,127.0.0.1"


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
    The receipt counts model calls and breakpoints, and says what was left alone; counting tokens is no model call.

    Each of the three calls used 3 tokens of input at $4 and 1 of output at $20 per million: 32,000 nano-dollars.
    """
    upstream.script = says(text("hello"), input_tokens=1)

    done = savemode("run", "--upstream", upstream.url, "--ttl-policy", "always", "--", sys.executable, script(CALLS))

    assert done.stdout.decode() == "hello\nhello\n"
    assert done.stderr.decode() == textwrap.dedent("""\
        savemode receipt
          3 model calls, 1 other request
          cost $0.000096
          tokens 9 uncached, 0 read, 0 written for 5m,
                 0 written for 1h, 3 output
          beside 5m the same
          verified 1h in 0 calls
          4 breakpoints raised to 1h in 2 calls
          left alone: count-tokens 1x
          left alone: no-markers 1x
        """)


def test_receipt_with_the_gate_closed(upstream: Upstream) -> None:
    """
    Where nothing was raised because the gate was closed, the receipt says so.
    """
    upstream.script = says(text("hello"), input_tokens=1)

    done = savemode("run", "--upstream", upstream.url, "--", sys.executable, script(PLAIN))

    assert "  0 breakpoints raised to 1h in 0 calls\n  the gate was closed: " in done.stderr.decode()


def test_receipt_with_errors(upstream: Upstream) -> None:
    """
    What went wrong is on the receipt.
    """
    upstream.script = answers(refusal("404 Not Found", "not_found_error", "model: no such model"))

    done = savemode("run", "--upstream", upstream.url, "--", sys.executable, script(PLAIN))

    assert done.returncode == 1
    assert "  1 model call, 0 other requests\n" in done.stderr.decode()
    assert "  upstream_error: 1x\n" in done.stderr.decode()


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
    Limit, spent, left and the reset; what was refused is no model call, and its zeros are in no figure.

    A call costs 3 x 4,000 + 1 x 20,000 nano-dollars, so of $0.00005 the second one still starts, and the third does not.
    """
    upstream.script = says(text("hello"), input_tokens=3)

    done = savemode("run", *BUDGETED, "--upstream", upstream.url, "--", sys.executable, script(PAST_THE_CAP))

    said = done.stderr.decode()
    assert done.stdout.decode() == "429\n"
    assert "  2 model calls, 0 other requests\n  cost $0.000064\n" in said
    assert "  over budget: 1 request REFUSED, and not sent\n" in said
    assert "  budget default $0.00005 (monthly): $0.000064 spent, $0.00 left\n         resets 20" in said
    assert "refused:" not in said


def test_receipt_as_json(upstream: Upstream) -> None:
    """
    `--log-format json` gives the receipt as one JSON object on stderr: the same figures, exact.
    """
    upstream.script = says(text("hello"), input_tokens=3)

    done = savemode(
        "run", "--log-format", "json", *BUDGETED, "--upstream", upstream.url, "--", sys.executable, script(PAST_THE_CAP)
    )

    read = json.loads(done.stderr.decode())
    (budget,) = read["budgets"]
    assert (read["schema_version"], read["event"], read["exit_code"]) == (1, "run.done", 0)
    assert (read["requests"], read["over_budget"], read["cost_nusd"], read["cost_usd"]) == (2, 1, 64_000, "0.000064000")
    assert (budget["limit_nusd"], budget["spent_usd"], budget["remaining_nusd"]) == (50_000, "0.000064000", 0)
    assert budget["resets_at"].endswith("T00:00:00Z")


def test_receipt_of_a_budget_of_ones_own(upstream: Upstream) -> None:
    """
    A budget that each key has for itself is on the receipt for the keys that were used.
    """
    upstream.script = says(text("hello"), input_tokens=3)
    Path("savemode.toml").write_text('[budgets.mine]\nlimit_usd = "1"\nscope = "product"\n')

    done = savemode("run", "--upstream", upstream.url, "--", sys.executable, script(PAST_THE_CAP))

    assert "  budget mine (product llm_gateway) $1.00 (monthly): $0.000096 spent, " in done.stderr.decode()


def test_receipt_without_a_ledger(upstream: Upstream) -> None:
    """
    Where the ledger cannot be used the calls are uncounted, and what is left is not known.
    """
    upstream.script = says(text("hello"), input_tokens=3)
    Path("ledger.db").write_text("no database, and long enough to be taken for one" * 20)

    done = savemode("run", *BUDGETED, "--upstream", upstream.url, "--", sys.executable, script(PAST_THE_CAP))

    assert "  uncounted: 3 calls are in no ledger, it was unavailable\n" in done.stderr.decode()
    assert "  budget: the ledger is unavailable, what is left is not known\n" in done.stderr.decode()


def test_observed_receipt(upstream: Upstream) -> None:
    """
    Under `--observe` the receipt speaks of what would have been.
    """
    upstream.script = says(text("hello"), input_tokens=1)

    done = savemode(
        "run", "--observe", "--upstream", upstream.url, "--ttl-policy", "always", "--", sys.executable, script(PLAIN)
    )

    assert "  2 breakpoints would have been raised to 1h (observing only)\n" in done.stderr.decode()
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
    assert receipt.endswith("  simulated: no model answered, tokens are estimates, and nothing was paid\n")
    assert "$5.00" in receipt
    assert "spent $0.00" in receipt or "$0.00 spent" in receipt


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
        "error: --ttl-policy is 'sometimes' [config_error]\n  give off | product | always\n"
    )
