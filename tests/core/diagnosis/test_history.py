"""
Requests one after another.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.diagnosis.fingerprint import MAX_BLOCKS
from savemode_cli.core.diagnosis.history import Asked, History
from savemode_cli.core.errors import BadInput
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.support.diagnosed import PRICES
from tests.support.mutations import conversation
from tests.support.prompts import MODEL, encoded, text, user

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def asked(history: History, turns: int, minute: int) -> Asked:
    """
    A request of one conversation.
    """
    found = history.asked(f"{minute}", encoded(conversation(turns)), "s", started_at=NOON + timedelta(minutes=minute))
    assert found is not None
    return found


def test_no_bill_no_verdict() -> None:
    """
    The request is remembered, and the next one is compared with it.
    """
    history = History(PRICES)
    end = NOON + timedelta(minutes=1)
    assert history.answered(asked(history, 1, 0), None, began_at=None, ended_at=end) is None
    verdict = history.answered(
        asked(history, 2, 2), Usage(Tokens(write_5m=9000)), began_at=end, ended_at=end + timedelta(minutes=2)
    )

    assert verdict is not None
    assert verdict.base == "0"
    assert verdict.cost_nusd > 0


def test_a_request_that_failed_left_nothing() -> None:
    """
    It is not compared with.
    """
    history = History(PRICES)
    history.failed(asked(history, 1, 0))
    end = NOON + timedelta(minutes=3)
    verdict = history.answered(asked(history, 1, 2), Usage(Tokens(write_5m=9000)), began_at=end, ended_at=end)

    assert verdict is not None
    assert verdict.base == ""


def test_what_cannot_be_remembered() -> None:
    """
    Too many blocks, and what is not a request.
    """
    history = History(PRICES)
    body = {"model": MODEL, "messages": [user(*(text("a") for _ in range(MAX_BLOCKS + 1)))]}

    assert history.asked("a", encoded(body), "s", started_at=NOON) is None
    with pytest.raises(BadInput):
        history.asked("a", b"[]", "s", started_at=NOON)
    assert len(history.lanes) == 0
