"""
What options may have for a value, and what is said of what they may not.
"""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.config import addresses, values

CHECKS: list[tuple[Callable[[object], Any], object, object]] = [
    (values.boolean, " ON ", True),
    (values.boolean, "", False),
    (values.port, "0", 0),
    (values.port, 65535, 65535),
    (values.seconds, "0.5", 0.5),
    (values.words, " A, b ,,", ("a", "b")),
    (values.words, ["A"], ("a",)),
    (values.text, " x ", "x"),
    (values.host, " [::1] ", "::1"),
    (values.host, "::1", "::1"),
    (values.host, "localhost", "localhost"),
    (values.token, "0123456789abcdef", "0123456789abcdef"),
    (values.key, "phc_0123", "phc_0123"),
    (values.team, "7", 7),
    (values.one_of("a", "b"), " B ", "b"),
    (addresses.upstream, "https://example.com:1/base/", "https://example.com:1/base"),
    (addresses.upstream, "Simulated", "simulated"),
    (values.usd, 5.4, 5_400_000_000),
    (values.usd, "0", 0),
    (values.fraction, ".85", Decimal("0.85")),
    (values.scope, "team", "team"),
    (values.zone, "Europe/Berlin", "Europe/Berlin"),
    (values.keep_for, "12h", timedelta(hours=12)),
    (values.keep_for, "Forever", None),
    (values.path, "x/y", Path("x/y")),
    (values.table, {"a": 1}, {"a": 1}),
]
REFUSED: list[tuple[Callable[[object], Any], object]] = [
    (values.boolean, "maybe"),
    (values.boolean, 2),
    (values.port, 65536),
    (values.port, True),
    (values.seconds, "nan"),
    (values.seconds, 0),
    (values.words, [1]),
    (values.text, " "),
    (values.token, "0123456789abcde"),
    (values.token, "0123456789 abcdef"),
    (values.key, "phc"),
    (values.team, -1),
    (values.team, 10**18),
    (values.one_of("a"), "b"),
    (addresses.upstream, "https://user:secret@example.com"),
    (addresses.upstream, "ftp://example.com"),
    (addresses.upstream, "http://example.com:99999"),
    (addresses.upstream, "http://[::1"),
    (values.usd, "-1"),
    (values.usd, True),
    (values.fraction, "0"),
    (values.fraction, "1.1"),
    (values.window, "fortnight"),
    (values.zone, "Nowhere/Else"),
    (values.scope, "???"),
    (values.keep_for, "0d"),
    (values.keep_for, "7 weeks"),
    (values.table, []),
    (values.path, ""),
]


@pytest.mark.parametrize(("check", "written", "meant"), CHECKS)
def test_what_is_written_is_what_is_meant(check: Callable[[object], Any], written: object, meant: object) -> None:
    """
    As TOML, variables and flags spell it.
    """
    assert check(written) == meant


@pytest.mark.parametrize(("check", "written"), REFUSED)
def test_what_may_not_be_is_told_what_may(check: Callable[[object], Any], written: object) -> None:
    """
    In words that go on from "give"; the value is not repeated, for it may be a secret.
    """
    with pytest.raises(ValueError, match=r"\w") as refused:
        check(written)

    assert "secret" not in str(refused.value)
