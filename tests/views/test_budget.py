"""
How budgets stand, on 80 columns: every figure worked out by hand.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.admission import Balance, Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.overview import Asked, InForce, Overview, in_force, overview
from savemode_cli.core.budget.window import Window
from savemode_cli.core.money.amounts import MOST_NUSD
from savemode_cli.views.budget import show, to_json
from tests.support.drawn import drawn

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
        reserve(ledger, Hold(key, (key,), nusd, NOW + timedelta(hours=1)), [], NOW)
        settle(ledger, key, nusd, "reported", NOW)
    for name, (nusd, minutes) in (holds or {}).items():
        hold = Hold(name, (CAP.key("", NOW),), nusd, NOW + timedelta(minutes=minutes), "claude-opus-5-5")
        reserve(ledger, hold, [], NOW)
    return overview(in_force(budgets, []), ledger, NOW)


def test_screen() -> None:
    """
    The whole of it, as the person sees it.
    """
    charges = {CAP.key("", NOW): 17_683_523_456, TEAM.key("alice", NOW): 17_383_400_000, TEAM.key("", NOW): 1}
    holds = {"running": (132_456_789, 9), "dead": (300_000_000, -130)}
    text = drawn(show, seen(CAP, TEAM, charges=charges, holds=holds))

    assert text.splitlines() == [
        "budget              limit     spent     held      left    used  status  advice",
        "default          $20.0000  $17.9835  $0.1324   $1.8840  90.5 %  warn    engage",
        "team: alice      $50.0000  $17.3834  $0.0000  $32.6166  34.7 %  ok      ok",
        "team: not given  $50.0000  <$0.0001  $0.0000  $49.9999   0.0 %  ok      ok",
        "",
        "default  monthly, resets 2026-12-01 00:00 UTC (in 6 d 12 h)",
        "         the last request may exceed the cap",
        "         from the configuration",
        "team     weekly, resets 2026-11-30 00:00 Europe/Berlin (in 5 d 11 h)",
        "         strict: spend never exceeds the cap; each team has a cap of its own",
        "         clients choose their own team: this does not stop a client that lies",
        "         from the configuration",
        "",
        "held: reserved for running requests until their bills arrive. status: what the",
        "proxy decides. advice: the state that clients are told, so that they can save.",
        "",
        "held for running requests: 1, $0.1324",
        "  $0.1324  expires in 9 min  claude-opus-5-5, default",
        "    savemode budget release running",
        "",
        "expired holds, which count as spent: 1, $0.3000",
        "  $0.3000  expired 2 h 10 min ago  claude-opus-5-5, default",
        "    savemode budget release dead",
        "",
        "If the requests of the expired holds have ended, release the holds:",
        "  savemode budget release --all-expired",
    ]


def test_refusing() -> None:
    """
    Which budget, how far over, and the commands to copy.
    """
    text = drawn(
        show, seen(CAP, Budget("b", USD), charges={CAP.key("", NOW): 20_270_000_000, "b/month:2026-11-01/all": USD})
    )

    assert text.splitlines()[-8:] == [
        "default: the cap is reached ($0.2700 over); new requests are refused. To raise",
        "the cap, or lift it for an hour:",
        "  savemode budget set 31.00",
        "  savemode budget allow --for 1h",
        "b: the cap is reached; new requests are refused. To raise the cap, or lift it",
        "for an hour:",
        "  savemode budget set b 2.00",
        "  savemode budget allow b --for 1h",
    ]


def test_refusing_for_the_moment() -> None:
    """
    Where only holds stand in the way there is nothing to raise.
    """
    text = drawn(show, seen(CAP, holds={"big": (20 * USD, 9)}))

    assert text.splitlines()[-1] == "default: running requests hold all that is left; a retry may pass soon"


def test_many_holds() -> None:
    """
    Ten are listed, the rest is counted; JSON has all.
    """
    known = seen(CAP, holds={f"hold{number:02}": (10_000_000, 9) for number in range(13)})
    text = drawn(show, known)

    assert "held for running requests: 13, $0.1300" in text
    assert text.count("    savemode budget release hold") == 10
    assert "and 3 more; --json lists all" in text.splitlines()
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

    assert text.splitlines()[1].split() == ["free", "-", "$1.0000", "$0.0000", "-", "-", "no", "cap", "disabled"]


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


def test_caps_of_running_proxies() -> None:
    """
    What holds at a proxy, where that is from, what the ledger holds in vain, and what the next proxy would go by.
    """
    flag = Budget("default", 150_000_000, set_at_us=2, source="--budget")
    running = InForce(flag, "configuration", Budget("default", 30 * USD, set_at_us=1), ("http://127.0.0.1:8796",))
    following = in_force([], [Budget("default", 30 * USD, set_at_us=1)])
    asked = Asked(("http://127.0.0.1:8796",), ("http://127.0.0.1:9",), (running,), following)
    text = drawn(show, overview(asked.in_force, MemoryLedger(), NOW, asked))

    assert text.splitlines() == [
        "budget     limit    spent     held     left   used  status  advice",
        "default  $0.1500  $0.0000  $0.0000  $0.1500  0.0 %  ok      ok",
        "",
        "default  monthly, resets 2026-12-01 00:00 UTC (in 6 d 12 h)",
        "         the last request may exceed the cap",
        "         from --budget, newer than the ledger's $30.0000",
        "         enforced by http://127.0.0.1:8796",
        "",
        "held: reserved for running requests until their bills arrive. status: what the",
        "proxy decides. advice: the state that clients are told, so that they can save.",
        "",
        "the proxy at http://127.0.0.1:9 did not report its caps: it is busy or needs an",
        "access token",
        "a proxy started now would use default $30.0000 (from the ledger)",
    ]
