"""
What the simulated upstream has billed, by its own count.

Rule of this file: it adds up; an answer that was not given is not billed.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from savemode_cli.proxy.simulated.answers import Billed, prompt_usage

LIMITS = {"requests": 4_000, "input-tokens": 2_000_000, "output-tokens": 400_000}
"""Of a minute, as the rate-limit headers tell; made up, and never enforced."""


@dataclass(slots=True)
class Total:
    """
    The sums of one model.
    """

    answers: int = 0
    input_tokens: int = 0
    read_tokens: int = 0
    write_5m_tokens: int = 0
    write_1h_tokens: int = 0
    output_tokens: int = 0

    def add(self, billed: Billed, output_tokens: int) -> None:
        """
        One answer more.
        """
        self.answers += 1
        self.input_tokens += billed.input_tokens
        self.read_tokens += billed.read_tokens
        self.write_5m_tokens += billed.write_5m_tokens
        self.write_1h_tokens += billed.write_1h_tokens
        self.output_tokens += output_tokens

    def to_json(self) -> dict[str, Any]:
        """
        The sums under the API's own names.
        """
        prompt = Billed(self.input_tokens, self.read_tokens, self.write_5m_tokens, self.write_1h_tokens)
        return {"answers": self.answers, "usage": prompt_usage(prompt) | {"output_tokens": self.output_tokens}}


@dataclass(slots=True)
class Books:
    """
    All sums since the start, or since they were emptied; statuses count every answer's head, whatever it was for.
    """

    totals: dict[str, Total] = field(default_factory=lambda: defaultdict(Total))
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _minute: datetime | None = None
    _used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))

    def bill(self, model: str, billed: Billed, output_tokens: int) -> None:
        """
        Charge an answer.
        """
        self.totals[model].add(billed, output_tokens)
        self._used["input-tokens"] += billed.prompt_tokens - billed.read_tokens
        self._used["output-tokens"] += output_tokens

    def rate_limits(self, now: datetime) -> list[tuple[bytes, bytes]]:
        """
        The headers that tell what is left of this minute, this request taken off. Reads do not count as input.
        """
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute, self._used = minute, dict.fromkeys(LIMITS, 0)
        self._used["requests"] += 1
        reset = (minute + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = []
        for name, limit in LIMITS.items():
            left = max(0, limit - self._used[name])
            for what, value in (("limit", str(limit)), ("remaining", str(left)), ("reset", reset)):
                headers.append((f"anthropic-ratelimit-{name}-{what}".encode(), value.encode()))
        return headers

    def to_json(self) -> dict[str, Any]:
        """
        The sums of all models and of each.
        """
        every = Total()
        for one in self.totals.values():
            billed = Billed(one.input_tokens, one.read_tokens, one.write_5m_tokens, one.write_1h_tokens)
            every.add(billed, one.output_tokens)
        every.answers = sum(one.answers for one in self.totals.values())
        return {
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            **every.to_json(),
            "models": {model: total.to_json() for model, total in sorted(self.totals.items())},
        }
