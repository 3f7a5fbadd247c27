"""
How budgets stand, on 80 columns: every figure worked out by hand.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.admission import Balance, Hold
from savemode_cli.core.budget import Budget, Window
from savemode_cli.core.ledger import MemoryLedger
from savemode_cli.core.overview import Overview, in_force, overview
from savemode_cli.core.tiers import MOST_NUSD
from savemode_cli.views.budget import show, to_json
from tests.views.drawn import drawn

USD = 10**9
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CAP = Budget("default", 20 * USD)
TEAM = Budget("team", 50 * USD, Window("week"), "Europe/Berlin", "team", strict=True)


def seen(
    *budgets: Budget, charges: dict[str, int] | None = None, holds: dict[str, tuple[int, int]] | None = None
) -> Overview:
    """
    Budgets with charges by key, and holds by id: an amount and the minutes until they run out.
    """
    ledger = MemoryLedger()
    for key, nusd in (charges or {}).items():
        ledger.reserve(Hold(key, (key,), nusd, NOW + timedelta(hours=1)), [], NOW)
        ledger.settle(key, nusd, "reported", NOW)
    for name, (nusd, minutes) in (holds or {}).items():
        hold = Hold(name, (CAP.key("", NOW),), nusd, NOW + timedelta(minutes=minutes), "claude-opus-5-5")
        ledger.reserve(hold, [], NOW)
    return overview(in_force(budgets, []), ledger, NOW)


def test_screen() -> None:
    """
    The whole of it, as the person sees it.
    """
    charges = {CAP.key("", NOW): 17_683_523_456, TEAM.key("alice", NOW): 17_383_400_000, TEAM.key("", NOW): 1}
    holds = {"running": (132_456_789, 9), "dead": (300_000_000, -130)}
    text = drawn(show, seen(CAP, TEAM, charges=charges, holds=holds))

    assert text.splitlines() == [
        "budget          limit         spent          held    left    used  guard  client",
        "default        $20.00        $17.98  $0.132456789   $1.88  90.5 %  warn   engage",
        "team: alice    $50.00        $17.38         $0.00  $32.61  34.7 %  ok     ok",
        "team: not      $50.00  $0.000000001         $0.00  $49.99   0.0 %  ok     ok",
        "given",
        "",
        "default  monthly, resets 2026-12-01 00:00 UTC (in 6 d 12 h)",
        "         the last request may cross the cap",
        "         from the configuration",
        "team     weekly, resets 2026-11-30 00:00 Europe/Berlin (in 5 d 11 h)",
        "         strict: the cap is never crossed; each team has its own",
        "         from the configuration",
        "",
        "held by requests under way: 1, $0.132456789",
        "  $0.132456789  runs out in 9 min  claude-opus-5-5, default",
        "    savemode budget release running",
        "",
        "ran out, counts as spent: 1, $0.30",
        "  $0.30  ran out 2 h 10 min ago  claude-opus-5-5, default",
        "    savemode budget release dead",
        "",
        "caps of a running proxy (--budget) are not in the ledger: see its /-/health",
        "if the requests whose holds ran out are dead, give their money back:",
        "  savemode budget release --all-expired",
    ]


def test_refusing() -> None:
    """
    Which budget, how far over, and the commands to copy.
    """
    text = drawn(
        show, seen(CAP, Budget("b", USD), charges={CAP.key("", NOW): 20_270_000_000, "b/month:2026-11-01/all": USD})
    )

    assert text.splitlines()[-6:] == [
        "default: spent, $0.27 over; new requests are refused. To raise or lift it:",
        "  savemode budget set 31.00",
        "  savemode budget allow --for 1h",
        "b: spent; new requests are refused. To raise or lift it:",
        "  savemode budget set 2.00 --name b",
        "  savemode budget allow --for 1h",
    ]


def test_refusing_for_the_moment() -> None:
    """
    Where only holds stand in the way there is nothing to raise.
    """
    text = drawn(show, seen(CAP, holds={"big": (20 * USD, 9)}))

    assert text.splitlines()[-1] == "default: running requests hold what is left; a retry soon may pass"


def test_many_holds() -> None:
    """
    Ten are listed, the rest is counted; JSON has all.
    """
    known = seen(CAP, holds={f"hold{number:02}": (10_000_000, 9) for number in range(13)})
    text = drawn(show, known)

    assert "held by requests under way: 13, $0.13" in text
    assert text.count("    savemode budget release hold") == 10
    assert "and 3 more: --json has all" in text.splitlines()
    assert len(to_json(known, "memory:")["holds"]) == 13


def test_extremes_fit() -> None:
    """
    The largest amounts, the longest names, what a client calls itself: still 80 columns, and no control character.
    """
    largest = Budget("n" * 64, MOST_NUSD, scope="user")
    known = seen(largest, charges={largest.key("\x1b[31m" + "w" * 100, NOW): MOST_NUSD - 1})
    text = drawn(show, known)

    assert "\x1b" not in text
    assert Balance(MOST_NUSD - 1) == known.lines[0].standing.balance


def test_no_cap() -> None:
    """
    A budget of 0 counts and caps nothing.
    """
    text = drawn(show, seen(Budget("free", 0), charges={"free/month:2026-11-01/all": USD}))

    assert text.splitlines()[1].split() == ["free", "-", "$1.00", "$0.00", "-", "-", "no", "cap", "disabled"]


def test_json_of_a_scoped_budget() -> None:
    """
    A line for each who, with the key; the age of a hold that ran out, in seconds.
    """
    known = to_json(seen(CAP, TEAM, charges={TEAM.key("a", NOW): USD}, holds={"dead": (1, -2)}), "memory:")

    assert [(one["name"], one["who"], one["spent_nusd"]) for one in known["budgets"]] == [
        ("default", "", 1),
        ("team", "a", USD),
    ]
    assert (known["at"], known["holds"][0]["expired_s"]) == ("2026-11-24T12:00:00Z", 120)
