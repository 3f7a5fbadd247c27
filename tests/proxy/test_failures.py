"""
How bugs in savemode are announced.
"""

import pytest

from savemode_cli.core.budget.admission import check_nusd
from savemode_cli.proxy.failures import tell_failure


@pytest.mark.parametrize(("request_id", "named"), [("req_1", " req_1: "), ("", ": ")])
def test_a_fault_is_named_by_its_kind_and_place_only(request_id: str, named: str) -> None:
    """
    The message of the exception may quote a request, so it is not shown.
    """
    announced: list[tuple[str, str]] = []
    with pytest.raises(ValueError, match="no amount") as caught:
        check_nusd(-1)

    tell_failure(lambda event, text: announced.append((event, text)), caught.value, request_id)

    ((event, text),) = announced
    assert event == "internal_error"
    assert text.startswith(f"{type(caught.value).__name__} at admission.py:")
    assert f"{named}please report this" in text
    assert "no amount" not in text
