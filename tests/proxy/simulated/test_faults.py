"""
The words for what goes wrong, and which requests it hits.
"""

import re
from dataclasses import replace

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.proxy.simulated.faults import WORDS, Fault, Faults, parse

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
def test_words(word: str, fault: Fault) -> None:
    """
    A word is a fault.
    """
    assert parse(word) == (fault,)


def test_every_fault_is_explained() -> None:
    """
    What `--help` lists is what there is.
    """
    explained = set(re.findall(r"^([a-z-]+)", WORDS, re.MULTILINE))

    assert explained == {fault.name for _, fault in WORD_TABLE}
    assert max(map(len, WORDS.splitlines())) <= 76  # it is indented by the help


def test_several_in_a_header() -> None:
    """
    A header has one value, so it separates them.
    """
    assert parse("downgrade; status=529*2 ;") == (Fault("downgrade"), replace(BUSY, count=2))
    assert parse("") == ()


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("statu=529", "there is no such fault"),
        ("status=529*x", "there is no such fault"),
        ("DROP", "there is no such fault"),
        ("status", "status is a number from 400 to 599"),
        ("status=200", "status is a number from 400 to 599"),
        ("status=429,retry-after=soon", "retry-after is a number of seconds up to 3600"),
        ("status=429,retry-after=3601", "retry-after is a number of seconds up to 3600"),
        ("status=429,should-retry=maybe", "should-retry is true or false"),
        ("status=429,type=busy", "the API's error types are "),
        ("status=429,after=3", "status has no option after"),
        ("truncate=x", "the number of events is a number from 0"),
        ("truncate=3,after=3", "truncate has no option after"),
        ("error=busy", "the API's error types are "),
        ("stall", "stall is a number of seconds up to 3600"),
        ("stall=-1", "stall is a number of seconds up to 3600"),
        ("drop=3", "drop takes no value"),
    ],
)
def test_bad_words(word: str, why: str) -> None:
    """
    A word that is none is named, with what is wrong and what there is.
    """
    with pytest.raises(ConfigError) as raised:
        parse(word)

    assert raised.value.message.startswith(f"fault '{word}': {why}")
    assert raised.value.hint == (
        "give NAME[=VALUE][,OPTION=VALUE...][*COUNT]; names: status, truncate, error, stall, drop, garbage, downgrade, no-ttl"
    )


def names(faults: Faults, header: str = "", requests: int = 4) -> list[str]:
    """
    What so many requests meet.
    """
    return ["+".join(sorted(faults.meet(header))) for _ in range(requests)]


def test_counts() -> None:
    """
    A count is for the first requests, and the next of its kind follows; without one it is for all.
    """
    assert names(Faults(parse("status=529*2"))) == ["status", "status", "", ""]
    assert names(Faults(parse("status=529*1;truncate*2"))) == ["status", "truncate", "truncate", ""]
    assert names(Faults(parse("drop"))) == ["drop"] * 4
    assert names(Faults(parse("status=529*0"))) == [""] * 4


def test_one_end_and_the_rest_besides() -> None:
    """
    An answer ends in one way; what bears on its price or its pace goes together with it.
    """
    assert names(Faults(parse("downgrade;stall=1*1;drop*2;garbage")), requests=3) == [
        "downgrade+drop+stall",
        "downgrade+drop",
        "downgrade+garbage",
    ]
    first, second = (
        one["status"].status
        for one in (Faults(parse("status=500;status=503")).meet(), Faults(parse("status=503")).meet())
    )
    assert (first, second) == (500, 503)


def test_a_header_counts_for_itself() -> None:
    """
    A client's second attempt bears the same header and can succeed; another header is another count.
    """
    faults = Faults()

    assert names(faults, "status=529*2") == ["status", "status", "", ""]
    assert names(faults, "status=529*1", 2) == ["status", ""]
    assert names(faults) == [""] * 4


def test_headers_are_not_kept_for_ever() -> None:
    """
    A client that invents a new one each time does not fill the memory: the oldest begins anew.
    """
    faults = Faults()
    for number in range(1001):
        faults.meet(f"status=529,retry-after={number}*1")

    assert names(faults, "status=529,retry-after=0*1", 1) == ["status"]
    assert names(faults, "status=529,retry-after=1000*1", 1) == [""]


def test_a_bad_header() -> None:
    """
    It is refused each time.
    """
    faults = Faults()
    for _ in range(2):
        with pytest.raises(ConfigError, match="no such fault"):
            faults.meet("nonsense")


def test_what_waits() -> None:
    """
    What is set and not used up can be looked at, and replaced.
    """
    faults = Faults(parse("status=529*2;drop*1;downgrade"))
    faults.meet()

    assert faults.waiting == [replace(BUSY, count=1), Fault("drop", 1), Fault("downgrade")]
    faults.set(())
    assert (faults.waiting, names(faults, requests=1)) == ([], [""])
