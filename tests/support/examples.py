"""
How many examples a property is tried with.
"""

from hypothesis import HealthCheck, settings


def examples(count: int) -> settings:
    """
    Settings of a property that needs more or fewer examples than the default of 100.

    The profile `fast` (scripts/test --fast) tries a tenth of them. The checks of how long an example takes or how large it
    is are off: they mistake a large body for a slow strategy on a busy machine.

    Args:
        count: examples in a full run.
    """
    share = settings.get_current_profile_name() == "fast"
    large = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=max(5, count // 10) if share else count, deadline=None, suppress_health_check=large)
