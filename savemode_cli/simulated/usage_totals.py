"""
The usage that the simulated upstream has billed, by its own count.

Rule of this file: it adds up usage; an answer that was not sent is not billed.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from savemode_cli.core.wire.usage import NO_TOKENS, Tokens
from savemode_cli.simulated.answers import Billed, prompt_usage

LIMITS = {"requests": 4_000, "input-tokens": 2_000_000, "output-tokens": 400_000}
"""
The limits for one minute in the rate-limit headers. The numbers are invented, and the simulated upstream does not enforce
them.
"""


@dataclass(slots=True)
class Total:
    """
    The usage of one model.
    """

    answers: int = 0
    tokens: Tokens = NO_TOKENS

    def add(self, tokens: Tokens, answers: int = 1) -> None:
        """
        Add the tokens of one answer, or of several answers.
        """
        self.answers += answers
        self.tokens += tokens

    def to_json(self) -> dict[str, Any]:
        """
        The usage, with the API's field names.
        """
        usage = prompt_usage(self.tokens) | {"output_tokens": self.tokens.output}
        return {"answers": self.answers, "usage": usage}


@dataclass(slots=True)
class UsageTotals:
    """
    All usage since the start or since the last reset. `statuses` counts the HTTP status of every answer, for every path.
    """

    totals: dict[str, Total] = field(default_factory=lambda: defaultdict(Total))
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _minute: datetime | None = None
    _used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))

    def bill(self, model: str, billed: Billed, output_tokens: int) -> None:
        """
        Add the usage of an answer.
        """
        self.totals[model].add(billed.tokens + Tokens(output=output_tokens))
        self._used["input-tokens"] += billed.tokens.prompt - billed.tokens.read
        self._used["output-tokens"] += output_tokens

    def rate_limits(self, now: datetime) -> list[tuple[bytes, bytes]]:
        """
        The rate-limit headers: what remains of this minute after this request. Cache reads do not count as input.
        """
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute, self._used = minute, dict.fromkeys(LIMITS, 0)
        self._used["requests"] += 1
        reset = (minute + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = []
        for name, limit in LIMITS.items():
            remaining = max(0, limit - self._used[name])
            for suffix, value in (("limit", str(limit)), ("remaining", str(remaining)), ("reset", reset)):
                headers.append((f"anthropic-ratelimit-{name}-{suffix}".encode(), value.encode()))
        return headers

    def to_json(self) -> dict[str, Any]:
        """
        The usage of all models together and of each model.
        """
        total_of_all = Total()
        for total in self.totals.values():
            total_of_all.add(total.tokens, total.answers)
        return {
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            **total_of_all.to_json(),
            "models": {model: total.to_json() for model, total in sorted(self.totals.items())},
        }
