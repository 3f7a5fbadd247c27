"""
Which sessions are held out.
"""

import pytest

from savemode_cli.core.upgrade.hold_out import TrialMember, trial_member


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_share(share: float) -> None:
    """
    Of many sessions about that share, and always the same ones; a larger share holds out all of them and more.
    """
    groups = [trial_member(f"session-{number}", share).group for number in range(4000)]

    assert groups == [trial_member(f"session-{number}", share).group for number in range(4000)]
    assert abs(groups.count("hold-out") / 4000 - share) < 0.02
    more = [trial_member(f"session-{number}", share + 0.05).group for number in range(4000)]
    assert all(later == "hold-out" for group, later in zip(groups, more, strict=True) if group == "hold-out")


def test_the_id_is_not_kept() -> None:
    """
    A digest is, which tells sessions apart; an ID that is not Unicode has one too.
    """
    first, second = trial_member("secret-1", 0.5), trial_member("secret-2", 0.5)

    assert first.session != second.session
    assert "secret" not in first.session
    assert trial_member("\ud800", 0.5).session
    assert TrialMember("policy", "ab").to_json() == {"group": "policy", "session": "ab"}
