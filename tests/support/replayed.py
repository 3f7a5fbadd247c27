"""
Sessions to replay, with a known bill.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.money.rates import LongContext
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Recorded, Session, Wanted
from savemode_cli.core.replay.sessions import SessionReplay, replay_session
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.builders import a_price, usd

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MODEL = "claude-opus-5-5"
RATES = RequestRates(
    PriceTable([a_price(), a_price("claude-old", long=LongContext(above_tokens=1500, rates=usd("8 20 10 16 1")))])
)


def a_session(
    name: str, pauses_s: Iterable[float], *, hour: bool = False, step: int = 1000, start: int = 40_000, **more: object
) -> Session:
    """
    A conversation whose cache behaves as the model thinks, growing by so many tokens a turn.
    """
    at, length, made = NOON, start, []
    for number, pause_s in enumerate((None, *pauses_s)):
        warm = pause_s is not None and pause_s <= (3600 if hour else 300)
        read = length if warm else 0
        at += timedelta(seconds=pause_s or 0)
        length += step if number else 0
        written = length - read
        usage = Usage(Tokens(3, 0 if hour else written, written if hour else 0, read))
        fields: dict[str, object] = {"agent": "", "model": MODEL, **more}
        made.append(Recorded(name, started_at=at, ended_at=at, usage=usage, **fields))  # type: ignore[arg-type]
    return Session(name, tuple(made))


def replayed(*sessions: Session, wanted: Wanted | None = None, idle_prone: bool = False) -> list[SessionReplay]:
    """
    Each of them, where something of it is wanted.
    """
    done = (replay_session(one, RATES, wanted or Wanted(), idle_prone=idle_prone) for one in sessions)
    return [one for one in done if one is not None]


def many(count: int, pauses_s: list[float], **more: object) -> list[Session]:
    """
    Sessions alike.
    """
    return [a_session(f"s{number}", pauses_s, **more) for number in range(count)]  # type: ignore[arg-type]


PAUSING = many(10, [600] * 5)
"""Sessions whose pauses only an hour survives."""
