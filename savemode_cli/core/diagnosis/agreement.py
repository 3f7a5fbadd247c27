"""
Our verdict on a request beside the API's own diagnosis.

Rule of this file: the API compares the structure of two requests, whether or not its cache hit. So a cause that lies outside of
the requests, such as a pause, agrees with "no divergence".
"""

from savemode_cli.core.diagnosis.causes import Cause, Miss, Verdict
from savemode_cli.core.wire.diagnostics import NO_DIVERGENCE, NOT_COMPARED, CacheDiagnosis

_SAME_AS: dict[Cause, str] = {
    "tools_changed": "tools_changed",
    "system_changed": "system_changed",
    "messages_changed": "messages_changed",
    "model_changed": "model_changed",
    "compacted": "messages_changed",
}


def agrees(verdict: Verdict, diagnosis: CacheDiagnosis) -> bool | None:
    """
    Whether both name the same cause.

    Args:
        verdict: ours.
        diagnosis: the API's.

    Returns:
        Whether they agree; None if one of them cannot say: the API had nothing to compare, or we did not see the request before.
    """
    if diagnosis.reason in NOT_COMPARED or any(miss.cause == "unknown" for miss in verdict.misses):
        return None
    ours = {_reason(miss) for miss in verdict.misses} - {NO_DIVERGENCE}
    return diagnosis.reason in (ours or {NO_DIVERGENCE})


def _reason(miss: Miss) -> str:
    """
    What the API calls a cause.
    """
    if miss.cause == "parameters_changed":
        # The speed counts as a part of the model. Of other parameters the API says that it cannot tell.
        return "model_changed" if miss.parameter == "speed" else "unavailable"
    return _SAME_AS.get(miss.cause, NO_DIVERGENCE)
