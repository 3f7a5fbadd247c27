"""
`savemode simulate-budget`: every figure worked out by hand, in text, JSON and CSV.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.cli.simulate_budget import _amount
from savemode_cli.core.errors import BadInput
from savemode_cli.core.money.amounts import MOST_NUSD, parse_usd
from tests.support.command import Run, error_line, lines
from tests.support.trusting import trusted_config

USD = 10**9
HEADERS = {
    "x-posthog-budget": "warn",
    "x-posthog-budget-remaining-usd": "2.50",
    "x-posthog-budget-state": "engage",
    "x-posthog-budget-recommended-mode": "max_save",
}


def words(out: str) -> list[list[str]]:
    """
    The words of each line, blank ones left out.
    """
    return [line.split() for line in lines(out) if line]


def as_json(savemode: Run, *arguments: str) -> dict[str, Any]:
    """
    The report for machines.
    """
    read: dict[str, Any] = json.loads(savemode("simulate-budget", *arguments, "--json").out)
    return read


def trace(*costs: str, name: str = "trace.jsonl") -> str:
    """
    A file with a request a day from November 1 on.
    """
    rows = [{"at": f"2026-11-{day:02}T00:00:00Z", "cost_usd": cost} for day, cost in enumerate(costs, 1)]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def test_spend(savemode: Run) -> None:
    """
    $17.50 of $20: 87.5 %, warn and engage, $2.50 left, max_save runs Sonnet at medium.
    """
    done = savemode("simulate-budget", "--budget", "20", "--spend", "17.50")
    found = words(done.out)

    assert (done.code, done.err) == (0, "")
    assert lines(done.out)[0] == "a monthly budget of $20.0000, $17.5000 spent (87.5 %)"
    assert ["proxy", "(decides)", "client", "(advised)"] in found
    assert ["state", "warn", "engage"] in found
    assert ["a", "request", "starts", "may", "be", "sent"] in found
    assert ["left", "$2.5000"] in found
    assert ["next", "tier", "exceeded", "at", "$20.0000", "blocked", "at", "$20.0000"] in found
    assert ["mode", "max_save"] in found
    assert ["runs", "claude-sonnet-5-5", "at", "medium"] in found
    assert "saves 50.0 %: $0.0251 instead of $0.0503" in " ".join(done.out.split())
    assert all([f"{name}:", value] in found for name, value in HEADERS.items())
    assert "HTTP 429" not in done.out


def test_spend_json(savemode: Run) -> None:
    """
    The same for machines.
    """
    read = as_json(savemode, "--budget", "20", "--spend", "17.50", "--model", "claude-opus-4-8", "--effort", "xhigh")

    assert (read["schema_version"], read["kind"], read["refusal"]) == (1, "spend", None)
    assert (read["spend_nusd"], read["spend_usd"], read["used_permille"]) == (17_500_000_000, "17.500000000", 875)
    assert read["guard"] == {
        "allow": True,
        "status": "warn",
        "remaining_nusd": 2_500_000_000,
        "remaining_usd": "2.500000000",
    }
    assert read["client"] == {"state": "engage", "recommended_mode": "max_save", "block": False}
    assert read["mode"] == {
        "model": "claude-opus-4-8",
        "effort": "xhigh",
        "effective_model": "claude-sonnet-5-5",
        "effective_effort": "medium",
        "save_mode_active": True,
    }
    assert (read["max_save"]["runs"], read["max_save"]["why"]) == ("claude-sonnet-5-5", "cheaper")
    assert HEADERS.items() <= read["headers"].items()
    assert [(one["scale"], one["tier"], one["from_nusd"]) for one in read["boundaries"]][:2] == [
        ("client", "warn", 14 * USD),
        ("guard", "warn", 17 * USD),
    ]


def test_refusal(savemode: Run) -> None:
    """
    At the cap: 429, no retry, the envelope; --check says it with the exit code.
    """
    arguments = ["simulate-budget", "--budget", "20", "--spend", "20"]
    done = savemode(*arguments, "--check")
    refusal = as_json(savemode, *arguments[1:])["refusal"]

    assert done.code == 1
    assert savemode(*arguments).code == 0
    assert savemode("simulate-budget", "--budget", "20", "--spend", "19.99", "--check").code == 0
    assert "the refusal: HTTP 429" in lines(done.out)
    assert "to clients that ignore x-should-retry: HTTP 402, billing_error" in lines(done.out)
    assert ["x-should-retry:", "false"] in words(done.out)
    assert "retry-after" not in done.out
    assert '    "type": "budget_exceeded",' in lines(done.out)
    assert (refusal["status"], refusal["permanent"], refusal["reason"]) == (429, True, "spent")
    assert refusal["headers"]["x-posthog-budget-remaining-usd"] == "0.00"
    assert refusal["body"]["error"]["message"].startswith("out of budget: spend limit reached")


def test_temporary_refusal(savemode: Run) -> None:
    """
    $18 spent and $3 held of $20: wait and try again.
    """
    refusal = as_json(savemode, "--budget", "20", "--spend", "18", "--held", "3")["refusal"]

    assert (refusal["permanent"], refusal["headers"]["x-should-retry"]) == (False, "true")


def test_strict(savemode: Run) -> None:
    """
    Strict: $2.60 do not fit where $2.50 are left; they do without it.
    """
    arguments = ("simulate-budget", "--budget", "20", "--spend", "17.50", "--ask", "2.60", "--check")

    assert savemode(*arguments, "--strict").code == 1
    assert savemode(*arguments).code == 0


def test_spend_csv(savemode: Run) -> None:
    """
    One line.
    """
    out = savemode("simulate-budget", "--budget", "20", "--spend", "17.50", "--csv").out
    (row,) = csv.DictReader(io.StringIO(out))

    assert (row["spend_usd"], row["used_permille"], row["guard_status"]) == ("17.500000000", "875", "warn")


def test_override(savemode: Run) -> None:
    """
    Over the cap and allowed, labelled, without what remains.
    """
    read = as_json(savemode, "--budget", "20", "--spend", "25", "--override")

    assert read["guard"] == {"allow": True, "status": "override", "remaining_nusd": None, "remaining_usd": None}
    assert "x-posthog-budget-remaining-usd" not in read["headers"]


def test_unknown_spend(savemode: Run) -> None:
    """
    The ledger fails: open by default, closed if told so or strict.
    """
    failed_open = savemode("simulate-budget", "--budget", "20", "--spend", "unknown", "--check")
    closed = savemode("simulate-budget", "--budget", "20", "--spend", "unknown", "--fail", "closed", "--check")

    strict = savemode("simulate-budget", "--budget", "20", "--spend", "unknown", "--strict", "--check")
    chosen = savemode(
        "simulate-budget", "--budget", "20", "--spend", "unknown", "--strict", "--fail", "open", "--check"
    )

    assert (failed_open.code, closed.code, strict.code, chosen.code) == (0, 1, 1, 0)
    assert ["x-posthog-budget:", "unknown"] in words(failed_open.out)
    assert ["state", "unknown", "unknown"] in words(closed.out)
    assert as_json(savemode, "--budget", "20", "--spend", "unknown")["client"] is None


def test_fractions(savemode: Run) -> None:
    """
    With 50 % and 90 %, $17.50 of $20 is only warn for the client.
    """
    read = as_json(savemode, "--budget", "20", "--spend", "17.5", "--warn-at", "0.5", "--engage-at", "0.9")

    assert read["client"]["state"] == "warn"


def test_table(savemode: Run) -> None:
    """
    Each boundary of $20 and the nano-dollar before it.
    """
    done = savemode("simulate-budget", "--budget", "20")
    rows = [row for row in words(done.out) if row[0].startswith("$")]

    assert [(row[0], row[1], *row[3:]) for row in rows] == [
        ("$0.0000", "0.0", "starts", "ok", "$20.0000", "ok", "off"),
        ("$13.9999", "69.9", "starts", "ok", "$6.0000", "ok", "off"),
        ("$14.0000", "70.0", "starts", "ok", "$6.0000", "warn", "balanced"),
        ("$16.9999", "84.9", "starts", "ok", "$3.0000", "warn", "balanced"),
        ("$17.0000", "85.0", "starts", "warn", "$3.0000", "engage", "max_save"),
        ("$19.9999", "99.9", "starts", "warn", "<$0.0001", "engage", "max_save"),
        ("$20.0000", "100.0", "refused", "exceeded", "$0.0000", "blocked", "max_save"),
        ("$25.0000", "125.0", "refused", "exceeded", "$0.0000", "blocked", "max_save"),
    ]
    assert ["balanced", "runs", "claude-opus-5-5", "at", "high"] in words(done.out)
    assert ["max_save", "runs", "claude-sonnet-5-5", "at", "medium"] in words(done.out)
    assert "saves 50.0 %: $0.0251 instead of $0.0503 for the tokens of a typical request" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--model", "claude-haiku-5-5"],
            "max_save runs claude-haiku-5-5 at medium no cheaper model may replace claude-haiku-5-5",
        ),
        (["--cheaper-model", "any"], "max_save runs claude-haiku-5-5 at medium saves 96.6 %:"),
        (["--cheaper-model", "claude-sonnet-4-6"], "max_save runs claude-sonnet-4-6 at medium costs 1.2 % more:"),
        (["--cheaper-model", "claude-opus-5"], "max_save runs claude-opus-5 at medium costs 68.7 % more:"),
        (["--model", "gpt-9"], "max_save runs gpt-9 at medium what it saves is not known: gpt-9 has no known price"),
    ],
)
def test_what_max_save_runs(savemode: Run, arguments: list[str], sentence: str) -> None:
    """
    A choice, a name, or nothing; each with what it saves of a typical request.
    """
    assert sentence in " ".join(savemode("simulate-budget", "--budget", "20", *arguments).out.split())


def test_table_for_machines(savemode: Run) -> None:
    """
    Eight rows in JSON and in CSV.
    """
    rows = as_json(savemode, "--budget", "20")["rows"]
    table = list(csv.DictReader(io.StringIO(savemode("simulate-budget", "--budget", "20", "--csv").out)))

    assert len(rows) == len(table) == 8
    assert (table[4]["spend_nusd"], table[4]["guard_status"], table[4]["client_state"]) == (
        "17000000000",
        "warn",
        "engage",
    )
    assert (table[6]["allow"], table[6]["remaining_usd"]) == ("False", "0.000000000")


def test_no_cap(savemode: Run) -> None:
    """
    0 caps nothing, and no header is sent.
    """
    read = as_json(savemode, "--budget", "0", "--spend", "99")
    assert (read["guard"]["allow"], read["guard"]["status"], read["headers"]) == (True, None, {})
    assert "there is no cap" in savemode("simulate-budget", "--budget", "0", "--spend", "1").out


def test_configured_budget(savemode: Run) -> None:
    """
    Without --budget it is the one configured.
    """
    trusted_config('budget = "5.40"\n')

    assert as_json(savemode, "--spend", "4.59")["guard"]["status"] == "warn"


def test_trace(savemode: Run) -> None:
    """
    $6 a day: the 3rd reaches $18, the 4th $24; three of seven are refused, $18 not spent, $4 over.
    """
    done = savemode("simulate-budget", "--budget", "20", "--trace", trace(*["6"] * 7))
    found = words(done.out)

    assert done.code == 0
    assert lines(done.out)[0] == "trace.jsonl: 7 requests against a monthly budget of $20.0000"
    assert ["2026-11-01", "7", "$42.0000", "$24.0000", "3", "$18.0000", "$4.0000"] in found
    assert ["2026-11-03", "00:00", "UTC", "$14.0000", "warn"] in found
    assert ["2026-11-03", "00:00", "UTC", "$17.0000", "warn", "engage"] in found
    assert ["2026-11-04", "00:00", "UTC", "$20.0000", "exceeded", "blocked"] in found
    assert "refused 3 requests, $18.0000: the cap was reached; final until the reset" in lines(done.out)
    assert any(line.endswith(" cap") and line.lstrip().startswith("$20.00 ") for line in lines(done.out))


def test_trace_json(savemode: Run) -> None:
    """
    The same for machines, and the exit code under --check.
    """
    read = as_json(savemode, "--budget", "20", "--trace", trace(*["6"] * 7))
    (window,) = read["windows"]

    assert (read["kind"], read["malformed_lines"], read["out_of_order"], read["would_refuse"]) == ("trace", 0, 0, True)
    assert (window["requests"], window["offered_nusd"], window["ran_usd"]) == (7, 42 * USD, "24.000000000")
    assert (window["refused"], window["refused_nusd"], window["over_usd"]) == (3, 18 * USD, "4.000000000")
    assert window["refused_by_reason"]["spent"] == {"count": 3, "total_nusd": 18 * USD, "total_usd": "18.000000000"}
    assert window["first_refused_at"] == "2026-11-05T00:00:00Z"
    assert {"scale": "client", "tier": "blocked", "at": "2026-11-04T00:00:00Z"} in window["began"]
    assert savemode("simulate-budget", "--budget", "20", "--trace", "trace.jsonl", "--check").code == 1
    assert savemode("simulate-budget", "--budget", "50", "--trace", "trace.jsonl", "--check").code == 0


def test_trace_csv(savemode: Run) -> None:
    """
    A line per window.
    """
    out = savemode("simulate-budget", "--budget", "20", "--trace", trace(*["6"] * 7), "--csv").out
    (row,) = csv.DictReader(io.StringIO(out))

    assert (row["ran_nusd"], row["guard_exceeded_at"]) == ("24000000000", "2026-11-04T00:00:00Z")


def test_concurrency(savemode: Run) -> None:
    """
    Eight at once: $28 over without holds, $4 by default, nothing if strict; each column says its rule.
    """
    done = savemode("simulate-budget", "--budget", "20", "--trace", trace(*["6"] * 8), "--concurrency", "8")
    found = words(done.out)

    assert ["2026-11-01", "$28.0000", "$4.0000", "$0.0000"] in found
    assert [row[:3] for row in found[-3:]] == [
        ["no", "ledger", "hold"],
        ["default", "rule", "starts"],
        ["strict", "rule", "starts"],
    ]


def test_malformed_lines(savemode: Run) -> None:
    """
    Counted and named; the rest goes on. A blank line is no line.
    """
    good = '{"at": "2026-11-01T00:00:00Z", "cost_usd": "1"}\n'
    Path("t.jsonl").write_bytes(
        b"\xef\xbb\xbf" + good.encode() + b"oops\n\n\xff\xfe\n" + b'{"at": 1}\n' * 200 + good.encode()
    )
    done = savemode("simulate-budget", "--budget", "20", "--trace", "t.jsonl")
    read = as_json(savemode, "--budget", "20", "--trace", "t.jsonl")

    assert lines(done.out)[-7:] == [
        "202 lines were left out:",
        "  line 2: not JSON: expecting value",
        "  line 4: not UTF-8",
        "  line 5: at is no text",
        "  line 6: at is no text",
        "  line 7: at is no text",
        "  and 197 more; --json lists 100",
    ]
    assert (read["malformed_lines"], len(read["malformed"]), read["windows"][0]["requests"]) == (202, 100, 2)


def test_out_of_order(savemode: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Two windows in a file that begins with the second.
    """
    rows = ['{"at": "2026-12-01T00:00:00Z", "cost_usd": 1}', '{"at": "2026-11-01T00:00:00Z", "cost_usd": 1}']
    Path("t.jsonl").write_text("\n".join(rows))
    read = as_json(savemode, "--budget", "20", "--trace", "t.jsonl")

    assert [one["starts_at"][:10] for one in read["windows"]] == ["2026-11-01", "2026-12-01"]
    assert read["out_of_order"] == 0


def test_stdin(savemode: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A dash is stdin.
    """
    rows = b'{"at": "2026-12-01T00:00:00Z", "cost_usd": 1}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(rows)))

    assert as_json(savemode, "--budget", "20", "--trace", "-")["trace"] == "stdin"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no budget is given or configured"),
        (["--budget", "x"], "--budget is 'x'"),
        (["--budget", "NaN"], "--budget is 'NaN'"),
        (["--budget", "20", "--spend", "x"], "--spend 'x' is not an amount"),
        (["--budget", "20", "--spend", "-1"], "--spend '-1' is not an amount"),
        (["--budget", "-3"], "--budget is '-3'"),
        (["--budget", "20", "--spend", "-0.01", "--json"], "--spend '-0.01' is not an amount"),
        (["--budget", "20", "--spend", "1", "--ask", "1e400"], "--ask '1e400' is not an amount"),
        (["--budget", "20", "--spend", "1", "--held", "-1"], "--held '-1' is not an amount"),
        (["--budget", "20", "--model", ""], "--model is empty"),
        (["--budget", "20", "--trace", ""], "--trace is empty"),
        (["--budget", "20", "--held", "1"], "--held and --ask need --spend"),
        (["--budget", "20", "--spend", "1", "--trace", "t"], "--spend and --trace cannot be used together"),
        (["--budget", "20", "--concurrency", "3"], "--concurrency needs --trace"),
        (["--budget", "20", "--trace", "t", "--concurrency", "0"], "--concurrency needs --trace"),
        (["--budget", "20", "--json", "--csv"], "--json and --csv cannot be used together"),
        (["--budget", "20", "--check"], "--check needs --spend or --trace"),
        (["--budget", "20", "--fail", "ajar"], "--fail is 'ajar'"),
        (["--budget", "20", "--warn-at", "0.9"], "warn_at 0.9 is above engage_at 0.85"),
        (["--budget", "20", "--budget-zone", "Mars"], "--budget-zone is 'Mars'"),
        (["--budget", "20", "--trace", "none.jsonl"], "cannot read none.jsonl: no such file or directory"),
        (["--budget", "20", "--trace", "empty.jsonl"], "empty.jsonl has no request: the file is empty"),
        (["--budget", "20", "--trace", "bad.jsonl"], "bad.jsonl has no request: line 1: not JSON"),
        (["--budget", "0", "--trace", "bad.jsonl"], "there is nothing to simulate"),
    ],
)
def test_mistakes(savemode: Run, arguments: list[str], said: str) -> None:
    """
    One error line, exit code 2, and nothing on stdout.
    """
    Path("empty.jsonl").touch()
    Path("bad.jsonl").write_text("x\n")

    assert said in error_line(savemode("simulate-budget", *arguments))


def test_an_effort_is_one_of_the_apis(savemode: Run) -> None:
    """
    A mistyped one would stay as it is under every mode, and look like advice.
    """
    done = savemode("simulate-budget", "--budget", "20", "--effort", "hihg")

    assert error_line(done) == "error: --effort must be one of low, medium, high, xhigh, max (got 'hihg') [bad_input]"
    assert "xhigh" in done.err


@given(st.text(max_size=20) | st.floats().map(str) | st.integers().map(str) | st.decimals().map(str))
def test_amount_is_read_or_refused(text: str) -> None:
    """
    Whatever is given for an amount: one that is not negative and can be kept, or one error that repeats it.
    """
    nusd = parse_usd(text)
    if nusd is not None and 0 <= nusd <= MOST_NUSD:
        assert _amount("--spend", text) == nusd
    else:
        with pytest.raises(BadInput) as raised:
            _amount("--spend", text)
        assert raised.value.message == f"--spend {text!r} is not an amount of US dollars"
