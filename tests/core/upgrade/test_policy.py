"""
What a person allows savemode to change.
"""

from savemode_cli.core.upgrade.policy import TTL_POLICIES, Policy


def test_the_default_changes_nothing() -> None:
    """
    A policy that nobody has set leaves every request as it is.
    """
    assert Policy() == Policy("off", compat=False, allow_bedrock=False, allow_oauth=False, rules=frozenset())
    assert Policy().ttl == TTL_POLICIES[0]
