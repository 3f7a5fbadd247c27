"""
The syntax of faults, and which requests they apply to.
"""

import re
from dataclasses import replace

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.simulated.faults import FAULTS_HELP, Fault, Faults, parse

BUSY = Fault("status", status=529, api_type="overloaded_error")

WORD_TABLE = [
    ("status=529", BUSY),
    ("status=529*2", replace(BUSY, count=2)),
    ("status=429,retry-after=1.5,should-retry=false", Fault("status", None, 429, "rate_limit_error", "1.5", "false")),
    ("status=418", Fault("status", status=418, api_type="invalid_request_error")),
    ("status=502", Fault("status", status=502, api_type="api_error")),
    ("status=429,type=billing_error", Fault("status", status=429, api_type="billing_error")),
    ("drop", Fault("drop")),
    ("drop*1", Fault("drop", 1)),
    ("garbage", Fault("garbage")),
    ("truncate", Fault("truncate", after=3)),
    ("truncate=0", Fault("truncate", after=0)),
    ("error", Fault("error", api_type="overloaded_error", after=3)),
    ("error=api_error,after=7", Fault("error", api_type="api_error", after=7)),
    ("stall=0.25", Fault("stall", seconds=0.25)),
    ("stall=2,after=4*3", Fault("stall", 3, seconds=2.0, after=4)),
    ("downgrade", Fault("downgrade")),
    ("no-ttl", Fault("no-ttl")),
]


@pytest.mark.parametrize(("word", "fault"), WORD_TABLE, ids=[word for word, _ in WORD_TABLE])
def test_syntax(word: str, fault: Fault) -> None:
    """
    Each word is parsed into a fault.
    """
    assert parse(word) == (fault,)


def test_every_fault_is_explained() -> None:
    """
    `--help` lists exactly the faults that exist.
    """
    explained = set(re.findall(r"^([a-z-]+)", FAULTS_HELP, re.MULTILINE))

    assert explained == {fault.name for _, fault in WORD_TABLE}
    assert max(map(len, FAULTS_HELP.splitlines())) <= 76  # the help indents it


def test_several_in_a_header() -> None:
    """
    A header has one value, so `;` separates its faults.
    """
    assert parse("downgrade; status=529*2 ;") == (Fault("downgrade"), replace(BUSY, count=2))
    assert parse("") == ()


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("statu=529", "unknown fault"),
        ("status=529*x", "unknown fault"),
        ("DROP", "unknown fault"),
        ("status", "status must be a number from 400 to 599"),
        ("status=200", "status must be a number from 400 to 599"),
        ("status=429,retry-after=soon", "retry-after must be a number of seconds up to 3600"),
        ("status=429,retry-after=3601", "retry-after must be a number of seconds up to 3600"),
        ("status=429,should-retry=maybe", "should-retry must be true or false"),
        ("status=429,type=busy", "the error type must be one of "),
        ("status=429,after=3", "status does not have the option after"),
        ("truncate=x", "the number of events must be a number from 0"),
        ("truncate=3,after=3", "truncate does not have the option after"),
        ("error=busy", "the error type must be one of "),
        ("stall", "stall must be a number of seconds up to 3600"),
        ("stall=-1", "stall must be a number of seconds up to 3600"),
        ("drop=3", "drop takes no value"),
    ],
)
def test_invalid_faults(word: str, why: str) -> None:
    """
    The error names the invalid word, what is wrong with it, and what is possible.
    """
    with pytest.raises(ConfigError) as raised:
        parse(word)

    assert raised.value.message.startswith(f"fault '{word}': {why}")
    assert raised.value.hint == (
        "use NAME[=VALUE][,OPTION=VALUE...][*COUNT]; names: status, truncate, error, stall, drop, garbage, downgrade, no-ttl"
    )


def names(faults: Faults, header: str = "", requests: int = 4) -> list[str]:
    """
    The faults that apply to this many requests.
    """
    return ["+".join(sorted(faults.for_request(header))) for _ in range(requests)]


def test_counts() -> None:
    """
    A count applies to the first requests, then the next fault of the kind applies; without a count, a fault applies to
    all.
    """
    assert names(Faults(parse("status=529*2"))) == ["status", "status", "", ""]
    assert names(Faults(parse("status=529*1;truncate*2"))) == ["status", "truncate", "truncate", ""]
    assert names(Faults(parse("drop"))) == ["drop"] * 4
    assert names(Faults(parse("status=529*0"))) == [""] * 4


def test_only_one_fault_ends_an_answer() -> None:
    """
    Only one fault ends an answer; faults about its price or its speed combine with it.
    """
    assert names(Faults(parse("downgrade;stall=1*1;drop*2;garbage")), requests=3) == [
        "downgrade+drop+stall",
        "downgrade+drop",
        "downgrade+garbage",
    ]
    first, second = (
        one["status"].status
        for one in (Faults(parse("status=500;status=503")).for_request(), Faults(parse("status=503")).for_request())
    )
    assert (first, second) == (500, 503)


def test_a_header_counts_for_itself() -> None:
    """
    A client's retry has the same header and can succeed; another header has a count of its own.
    """
    faults = Faults()

    assert names(faults, "status=529*2") == ["status", "status", "", ""]
    assert names(faults, "status=529*1", 2) == ["status", ""]
    assert names(faults) == [""] * 4


def test_headers_are_not_kept_for_ever() -> None:
    """
    Many different headers do not fill the memory: the count of the oldest starts again.
    """
    faults = Faults()
    for number in range(1001):
        faults.for_request(f"status=529,retry-after={number}*1")

    assert names(faults, "status=529,retry-after=0*1", 1) == ["status"]
    assert names(faults, "status=529,retry-after=1000*1", 1) == [""]


def test_a_bad_header() -> None:
    """
    It is refused each time.
    """
    faults = Faults()
    for _ in range(2):
        with pytest.raises(ConfigError, match="unknown fault"):
            faults.for_request("nonsense")


def test_remaining_faults() -> None:
    """
    The faults that still apply can be listed and replaced.
    """
    faults = Faults(parse("status=529*2;drop*1;downgrade"))
    faults.for_request()

    assert faults.remaining == [replace(BUSY, count=1), Fault("drop", 1), Fault("downgrade")]
    faults.set(())
    assert (faults.remaining, names(faults, requests=1)) == ([], [""])
