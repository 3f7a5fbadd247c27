"""
Made-up transcripts in the form of Claude Code's, line by line; and a naive count to hold the reader against.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MODEL = "claude-opus-5-5"


def stamp(at: datetime) -> str:
    """
    A time as the client writes it.
    """
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def usage(read: int = 0, w5: int = 0, w1: int = 0, plain: int = 3, out: int = 7) -> dict[str, Any]:
    """
    The usage of an answer, as it is reported.
    """
    return {
        "input_tokens": plain,
        "cache_creation_input_tokens": w5 + w1,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": w5, "ephemeral_1h_input_tokens": w1},
        "output_tokens": out,
        "service_tier": "standard",
    }


class Transcript:
    """
    One file while it is written: a person's message or a tool's result, then an answer over some lines.
    """

    def __init__(self, session: str, agent: str | None = None, at: datetime = NOON) -> None:
        self.session = session
        self.agent = agent
        self.at = at
        self.lines: list[dict[str, Any]] = []
        self._number = 0

    def wait(self, **span: float) -> "Transcript":
        """
        Let time pass.
        """
        self.at += timedelta(**span)
        return self

    def record(self, kind: str, **more: Any) -> dict[str, Any]:
        """
        A record of any kind, tied to the one before it.
        """
        self._number += 1
        line = {
            "type": kind,
            "uuid": f"{self.session}-{self.agent or 'main'}-{self._number}",
            "parentUuid": self.lines[-1]["uuid"] if self.lines else None,
            "sessionId": self.session,
            "timestamp": stamp(self.at),
            "isSidechain": self.agent is not None,
            **({"agentId": self.agent} if self.agent is not None else {}),
            **more,
        }
        self.lines.append(line)
        return line

    def user(self, text: str = "go on", **more: Any) -> "Transcript":
        """
        A person's message.
        """
        self.record("user", message={"role": "user", "content": text}, **more)
        return self

    def tool(self) -> "Transcript":
        """
        A tool's result.
        """
        content = [{"type": "tool_result", "tool_use_id": "t", "content": 'says "usage": 1'}]
        self.record("user", message={"role": "user", "content": content})
        return self

    def answer(
        self, name: str, used: dict[str, Any], *, lines: int = 1, model: str = MODEL, **more: Any
    ) -> "Transcript":
        """
        An answer of so many blocks, three seconds long; all but the last line hold a placeholder for the output.
        """
        for line in range(1, lines + 1):
            self.wait(seconds=3 / lines)
            said = used if line == lines else {**used, "output_tokens": 1}
            message = {"id": f"msg_{name}", "type": "message", "role": "assistant", "model": model, "usage": said}
            self.record("assistant", **{"requestId": f"req_{name}", "message": message, **more})
        return self

    def write(self, folder: Path, name: str | None = None) -> Path:
        """
        The file in its place below a folder.
        """
        path = folder / (name or f"{self.session}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self.lines))
        return path


def a_session(session: str, pauses_s: Iterable[float], *, hour: bool = False, at: datetime = NOON) -> Transcript:
    """
    A conversation that grows by 1,000 tokens a turn from 40,000, its cache as the API keeps it.
    """
    made = Transcript(session, at=at)
    length = 40_000
    ttl = 3600 if hour else 300
    made.user().answer(f"{session}-0", usage(w1=length) if hour else usage(w5=length))
    for number, pause_s in enumerate(pauses_s, 1):
        made.wait(seconds=pause_s)
        read = length if pause_s <= ttl else 0
        length += 1000
        written = {"w1" if hour else "w5": length - read}
        made.user().answer(f"{session}-{number}", usage(read=read, **written), lines=2)
    return made


def counted(paths: Iterable[Path]) -> dict[str, int]:
    """
    Tokens by kind, counted by somebody who knows nothing of the reader: parse all, keep a dict of answers, add up.
    """
    answers: dict[str, dict[str, Any]] = {}
    for path in paths:
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if not isinstance(line, dict):
                continue
            nested = (line.get("data") or {}).get("message") if isinstance(line.get("data"), dict) else None
            one = nested if isinstance(nested, dict) else line
            message: dict[str, Any] = one.get("message") or {}
            if one.get("type") != "assistant" or one.get("isApiErrorMessage") or not message.get("usage"):
                continue
            if message["model"] == "<synthetic>":
                continue
            answers.setdefault(message.get("id") or one["uuid"], message["usage"])
    totals = dict.fromkeys(("input", "write_5m", "write_1h", "read"), 0)
    for used in answers.values():
        split = used.get("cache_creation") or {}
        hour = split.get("ephemeral_1h_input_tokens", 0)
        totals["input"] += used["input_tokens"]
        totals["write_1h"] += hour
        totals["write_5m"] += used["cache_creation_input_tokens"] - hour
        totals["read"] += used["cache_read_input_tokens"]
    return {"requests": len(answers), **totals}
