"""
How long the API keeps a cache entry.

Rule of this file: these times are defined here and nowhere else.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23), and recorded traffic.
"""

from datetime import timedelta
from typing import Literal

Lifetime = Literal["5m", "1h"]

LIFETIMES: dict[Lifetime, timedelta] = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}

GRACE = timedelta(seconds=20)
"""How much longer than 5 minutes recorded entries lasted, measured from the end of the previous answer."""
