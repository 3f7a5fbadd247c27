"""
A replay as JSON.

Rule of this file: it holds what the text holds. Nano-dollars are integers, dollars are exact text, tokens are integers,
shares are numbers from 0 to 1. Where the grade is poor no policy is quoted but the bill.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from savemode_cli.core.budget.overview import stamp
from savemode_cli.core.money.amounts import amounts
from savemode_cli.core.money.pricing import nusd_of
from savemode_cli.core.replay.grade import Grade
from savemode_cli.core.replay.inference import GAPS
from savemode_cli.core.replay.policies import REPLAY_POLICIES, PolicyName
from savemode_cli.core.replay.prompt_tokens import PromptTokens
from savemode_cli.core.replay.recording import SessionWay
from savemode_cli.core.replay.report import Estimate, Replay, SessionDifference, WholeBill
from savemode_cli.core.replay.sessions import PAUSE_EDGES_S, SECONDS_PER_SLOT
from savemode_cli.core.replay.staleness import Stale
from savemode_cli.views import upgrades
from savemode_cli.views.replay_words import Shown, about_stale, not_established, recommendation

SCHEMA_VERSION = 1


def to_json(shown: Shown) -> dict[str, Any]:
    """
    The whole replay.
    """
    replay = shown.replay
    return {
        "schema_version": SCHEMA_VERSION,
        "sessions": replay.sessions,
        "requests": replay.requests,
        "copies": replay.copies,
        "repeated_in_their_session": replay.repeated,
        "sharing_a_message_id": replay.sharing,
        "first_at": None if replay.first_at is None else stamp(replay.first_at),
        "last_at": None if replay.last_at is None else stamp(replay.last_at),
        "models": replay.models,
        "unpriced_requests": replay.unpriced,
        "grade": _grade(replay.grade),
        "stale": [_stale(one) for one in replay.stale],
        "not_established": not_established(replay),
        "changed_share": float(replay.changed),
        "product": shown.product,
        "product_idle_prone": shown.idle_prone,
        "bill": _bill(replay.bill),
        "policies": {estimate.name: _estimate(estimate) for estimate in quotable(replay)},
        "pauses": [
            {"class": gap.name, "requests": gap.requests, **amounts(**_quotable_amounts(replay, gap.nusd))}
            for gap in sorted(replay.gaps, key=lambda gap: GAPS.index(gap.name))
        ],
        "pause_histogram": {"up_to_s": [*PAUSE_EDGES_S, None], "requests": list(replay.pauses)},
        "by_session": [] if replay.grade.problem else [_session(one) for one in replay.by_session],
        "spent": {
            "hour": [stamp(hour_of(slot)) for slot in replay.curve_hours],
            **{f"{name}_nusd": list(curve) for name, curve in _quotable_curves(replay).items()},
        },
        "recommendation": {
            "verdict": replay.advice.verdict,
            "policy": replay.advice.policy,
            "words": recommendation(replay),
        },
        "upgrades": None if shown.upgrades is None else upgrades.to_json(shown.upgrades),
        "bodies_without_cost": dict(shown.unusable),
        "other_requests": shown.other_requests,
        "malformed": shown.malformed,
        "malformed_places": list(shown.problems),
        "transcript_sessions": [_way(way) for way in shown.ways],
        "files": dict(shown.files),
        "ignored_files": shown.ignored_files,
    }


def quotable(replay: Replay) -> list[Estimate]:
    """
    The estimates that may be shown: with a poor grade, the bill alone.
    """
    return [one for one in replay.estimates if one.name == "recorded" or not replay.grade.problem]


def hour_of(slot: int) -> datetime:
    """
    The time of an hour since the epoch.
    """
    return datetime.fromtimestamp(slot * SECONDS_PER_SLOT, UTC)


def _bill(bill: WholeBill) -> dict[str, Any]:
    return {
        **amounts(
            prompts=bill.prompts_nusd,
            prompts_beside_answers=bill.beside_nusd,
            output=bill.output_nusd,
            cost_state_only=bill.unlisted_nusd,
            total=bill.total_nusd,
        ),
        "cost_state_only_share": _number(Fraction(bill.unlisted_nusd, bill.total_nusd)) if bill.total_nusd else None,
        "cost_state_not_compared_sessions": bill.uncertain_counts,
        "partial_output_requests": bill.partial_outputs,
    }


def _quotable_amounts(replay: Replay, nusd: dict[PolicyName, int]) -> dict[str, int]:
    return {_key(name): nusd[name] for name in _quotable_names(replay)}


def _quotable_curves(replay: Replay) -> dict[str, Sequence[int]]:
    return {_key(name): replay.curves[name] for name in _quotable_names(replay)}


def _quotable_names(replay: Replay) -> tuple[PolicyName, ...]:
    return ("recorded",) if replay.grade.problem else tuple(REPLAY_POLICIES)


def _key(name: PolicyName) -> str:
    return f"all_{name}" if name in ("5m", "1h") else name


def _grade(grade: Grade) -> dict[str, Any]:
    return {
        "passes": not grade.problem,
        "problem": grade.problem,
        "graded_requests": grade.requests,
        "right_share": _number(grade.right_share),
        "over_4_min_requests": grade.long_requests,
        "over_4_min_right_share": _number(grade.long_right_share),
        "first_requests": grade.firsts,
        "outcomes": [
            {"predicted": predicted, "recorded": recorded, "requests": count}
            for (predicted, recorded), count in sorted(grade.outcomes.items())
        ],
        "dollar_error": _number(grade.dollar_error),
        "dollar_error_beyond_interval": _number(grade.interval_error),
        "dollar_error_without_content_changes": _number(grade.alone_error),
        **amounts(
            billed=nusd_of(grade.billed_ausd),
            predicted=nusd_of(grade.predicted_ausd),
            predicted_low=nusd_of(grade.low_ausd),
            predicted_high=nusd_of(grade.high_ausd),
            content_changes=nusd_of(grade.lost_ausd),
        ),
        "content_change_requests": grade.lost_requests,
        "recorded_tokens": _tokens(grade.recorded),
        "predicted_tokens": _tokens(grade.predicted),
        "survived_pauses": grade.pauses,
        "survived_pauses_changed": grade.pauses_lost,
    }


def _stale(stale: Stale) -> dict[str, Any]:
    return {
        "model": stale.model,
        "since": stamp(stale.since),
        "sessions": [session.id for session in stale.sessions],
        "requests": sum(session.requests for session in stale.sessions),
        "problem": stale.problem,
        "right_share": _number(stale.grade.right_share),
        "words": about_stale(stale),
    }


def _number(share: Fraction | None) -> float | None:
    return None if share is None else float(share)


def _tokens(tokens: PromptTokens) -> dict[str, int]:
    return {
        "input_tokens": tokens.input_tokens,
        "write_5m_tokens": tokens.write_5m_tokens,
        "write_1h_tokens": tokens.write_1h_tokens,
        "read_tokens": tokens.read_tokens,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    regret = {} if estimate.regret_nusd is None else amounts(regret=estimate.regret_nusd)
    return {
        **_tokens(estimate.tokens),
        **amounts(
            cost=estimate.nusd, difference=estimate.difference_nusd, low=estimate.low_nusd, high=estimate.high_nusd
        ),
        **regret,
    }


def _session(session: SessionDifference) -> dict[str, Any]:
    return {
        "session": session.id,
        "first_at": stamp(session.first_at),
        "requests": session.requests,
        "by_requests": session.by_requests,
        **amounts(recorded=session.recorded_nusd, all_5m=session.five_nusd, all_1h=session.hour_nusd),
    }


def _way(way: SessionWay) -> dict[str, Any]:
    return {"session": way.session, "by_requests": way.by_requests, "why_not": way.why or None}
