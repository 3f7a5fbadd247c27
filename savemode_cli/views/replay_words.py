"""
A replay in sentences: what it is about, what it does not show, what to do, and what was left out.

Rule of this file: it computes no money. Where the grade is poor it names no amount but the bill.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from savemode_cli.core.money.amounts import usd
from savemode_cli.core.replay.bodies import Upgrades
from savemode_cli.core.replay.recording import SessionWay
from savemode_cli.core.replay.report import Estimate, Replay
from savemode_cli.core.replay.staleness import Stale
from savemode_cli.views.aligned import money
from savemode_cli.views.printable import printable

CENT = 10_000_000
_MOST_PROBLEMS = 5

_UNUSABLE = {
    "no time": "the time of sending was not recorded",
    "no usage": "the usage was not recorded",
    "no messages body": "it is not a messages call",
    "failed": "it was refused or failed, and not billed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """
    A replay, and the facts that are shown with it.
    """

    replay: Replay = field(kw_only=False)
    product: str
    """The product whose rule was applied."""
    idle_prone: bool
    """Whether that rule upgrades the product's requests."""
    malformed: int = 0
    """How many records could not be read."""
    problems: Sequence[str] = ()
    """The first of those records, each with its place and what is wrong."""
    files: Mapping[str, int] = field(default_factory=dict)
    """How many files were read, by the name of the reader."""
    formats: Mapping[str, str] = field(default_factory=dict)
    """The title of each of those readers."""
    ignored_files: int = 0
    """How many files no reader recognised."""
    upgrades: Upgrades | None = None
    """What the upgrader did with recorded bodies; None without any."""
    unusable: Mapping[str, int] = field(default_factory=dict)
    """How many bodies are not in the costs, by the reason."""
    other_requests: int = 0
    """How many recorded requests are not model calls."""
    ways: Sequence[SessionWay] = ()
    """How each session of a transcript was replayed."""


def plural(count: int, noun: str) -> str:
    """
    A number with its noun: `1 session`, `2,000 sessions`; `1 body`, `2 bodies`.
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"


def share(part: Fraction | None) -> str:
    """
    A share in percent, `n/a` for none.
    """
    return "n/a" if part is None else f"{float(part) * 100:.1f} %"


def signed_share(part: Fraction | None) -> str:
    """
    A deviation in percent, `n/a` for none.
    """
    return "n/a" if part is None else f"{float(part) * 100:+.1f} %"


def difference(nusd: int) -> str:
    """
    A difference in words, to the cent: `$3.10 cheaper`, `$0.42 more`, `the same`.
    """
    if abs(nusd) < CENT:
        return "the same"
    return f"${usd(abs(nusd))} {'cheaper' if nusd < 0 else 'more'}"


def title(shown: Shown) -> str:
    """
    What was replayed.
    """
    replay = shown.replay
    if replay.first_at is None or replay.last_at is None:
        return f"No matching request {'was found' if shown.upgrades is None else 'has recorded usage'}."
    first, last = replay.first_at.date().isoformat(), replay.last_at.date().isoformat()
    when = f"on {first}" if first == last else f"from {first} to {last}"
    return f"{plural(replay.sessions, 'session')}, {plural(replay.requests, 'request')} {when}"


def about_files(shown: Shown) -> str:
    """
    What it was read from.
    """
    counts = (f"{shown.formats.get(name, name)} ({plural(count, 'file')})" for name, count in shown.files.items())
    return f"from {', '.join(counts)}"


def not_established(replay: Replay) -> list[str]:
    """
    What the figures of a replay do not show, though a reader may think so.
    """
    claims = []
    if replay.rescuable_pauses:
        claims.append(
            f"whether the prompt was unchanged after {plural(replay.rescuable_pauses, 'pause')} that the recorded cache"
            f" did not survive: {share(replay.changed)} of them are taken as changed"
        )
    claims.append("whether 5m and 1h caches read each other: no policy changes a TTL while the cache is warm")
    claims.append(
        "what other sessions keep warm under another TTL: what was read after an expiry is taken from the record"
    )
    if replay.sessions < 20:
        claims.append(f"what other sessions will cost: these are only {replay.sessions:,}")
    return claims


def about_stale(stale: Stale) -> str:
    """
    Which sessions are not estimated, because the provider has changed.
    """
    recorded = sum(session.total["recorded"].expected_nusd(Fraction(1)) for session in stale.sessions)
    return (
        f"Since {stale.since:%Y-%m-%d} the cache of {printable(stale.model)} behaves differently: {stale.problem}. "
        f"{plural(len(stale.sessions), 'session')} ({money(recorded)}) from then on are not estimated."
    )


def notes(shown: Shown) -> Iterator[str]:
    """
    What is not in the costs, or is counted in an unexpected way.
    """
    replay = shown.replay
    for model, count in replay.unpriced.items():
        yield f"unpriced: {plural(count, 'request')} of {printable(model)} not in the dollars (--price-file)"
    for why, count in shown.unusable.items():
        yield f"{plural(count, 'body')} not in the costs: {_UNUSABLE[why]}"
    yield from about_ways(shown.ways)
    yield from _about_repeats(replay)
    if shown.other_requests:
        was = "was" if shown.other_requests == 1 else "were"
        yield f"{plural(shown.other_requests, 'request')} {was} not a model call (POST /v1/messages)"
    if shown.malformed:
        yield f"{plural(shown.malformed, 'record')} left out:"
        for problem in shown.problems[:_MOST_PROBLEMS]:
            yield f"  {printable(problem)}"
        if shown.malformed > _MOST_PROBLEMS:
            yield f"  and {shown.malformed - _MOST_PROBLEMS:,} more; --json lists {len(shown.problems):,}"


def about_ways(ways: Sequence[SessionWay]) -> Iterator[str]:
    """
    How many sessions of transcripts were replayed by their requests, how many by their usage, and why.
    """
    by_requests = sum(way.by_requests for way in ways)
    if by_requests:
        records = "records its" if by_requests == 1 else "record their"
        yield f"{plural(by_requests, 'session')} {records} requests: replayed breakpoint by breakpoint"
    unrecorded = sum(not way.is_recorded for way in ways)
    if unrecorded:
        records = "does not record its" if unrecorded == 1 else "do not record their"
        yield f"{plural(unrecorded, 'session')} {records} requests: replayed by usage and times"
    incomplete = [way for way in ways if way.is_recorded and not way.by_requests]
    if incomplete:
        record = "records only a part of its" if len(incomplete) == 1 else "record only a part of their"
        yield f"{plural(len(incomplete), 'session')} {record} requests: replayed by usage and times"
        for way in incomplete[:_MOST_PROBLEMS]:
            yield f"  {printable(way.why)}"


def _about_repeats(replay: Replay) -> Iterator[str]:
    if replay.bill.uncertain_counts:
        sessions = plural(replay.bill.uncertain_counts, "session")
        yield f"cost-state lines of {sessions} are left out: the price of a model is unknown"
    if replay.copies:
        yield f"{_occurred(replay.copies)} in several files, as in resumed and forked sessions; each counts once"
    if replay.repeated:
        yield f"{_occurred(replay.repeated)} again in a side chain or a record of progress; each counts once"
    if replay.sharing:
        yield f"{replay.sharing:,} different answers have the same message ID, as relays may give them; each counts"


def _occurred(count: int) -> str:
    return "1 request is" if count == 1 else f"{count:,} requests are"


def recommendation(replay: Replay) -> str:
    """
    One sentence: what to do, why, and how certain that is; or that there is nothing to recommend.
    """
    advice = replay.advice
    if advice.verdict == "nothing":
        return "No recommendation: no request was found."
    if advice.verdict == "ungraded" or advice.policy is None:
        return f"No recommendation: {replay.grade.problem}."
    best = replay.estimate(advice.policy)
    length = "1 hour" if advice.policy == "1h" else "5 minutes"
    if advice.verdict == "keep":
        return f"Leave it as it is: {_why_keep(replay, best)}."
    gain = difference(best.difference_nusd)
    if advice.verdict == "few" or best.low_nusd is None or best.high_nusd is None:
        few = f"{plural(replay.sessions, 'session')} {'is' if replay.sessions == 1 else 'are'} too few to tell"
        return f"No recommendation: {length} for all would have been {gain}, but {few}."
    interval = f"{difference(best.low_nusd)} to {difference(best.high_nusd)}"
    if advice.verdict == "unclear":
        return f"No recommendation: {length} for all would have been {gain}, but 90 % of such records give {interval}."
    saved = Fraction(-best.difference_nusd, replay.estimate("recorded").nusd)
    return f"Keep the cache for {length}: {gain} ({share(saved)}; with 90 % confidence {interval}), {_reason(replay)}."


def _why_keep(replay: Replay, best: Estimate) -> str:
    """
    What is kept, and what the other TTL would have cost.
    """
    tokens = replay.estimate("recorded").tokens
    if not (tokens.write_5m_tokens or tokens.write_1h_tokens):
        return "nothing was written to the cache"
    if not tokens.write_5m_tokens:
        return f"everything is already kept for 1 hour; 5 minutes for all {_would_have_cost(replay.estimate('5m'))}"
    if not tokens.write_1h_tokens:
        return f"everything is already kept for 5 minutes; 1 hour for all {_would_have_cost(replay.estimate('1h'))}"
    length = "1 hour" if best.name == "1h" else "5 minutes"
    return f"{length} for all {_would_have_cost(best)}"


def _would_have_cost(other: Estimate) -> str:
    if other.difference_nusd <= -CENT:
        return f"would have been {difference(other.difference_nusd)}, less than 1 % of the bill"
    return f"would have cost {'the same' if other.difference_nusd < CENT else difference(other.difference_nusd)}"


def _reason(replay: Replay) -> str:
    gaps = {gap.name: gap for gap in replay.gaps}
    if replay.advice.policy == "1h":
        saved = gaps["to_1h"].nusd["recorded"] - gaps["to_1h"].nusd["1h"]
        return f"because pauses of 5 minutes to 1 hour cost ${usd(saved)} less, and dearer writes cost less than that"
    return "because too few pauses last between 5 minutes and 1 hour to pay for dearer writes"
