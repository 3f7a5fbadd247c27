"""
Made-up transcripts of a client that records its requests, in the form of Claude Code 2.1.332.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from savemode_cli.readers.recorded_requests import message_hash
from tests.support.prompts import MODEL, Object, assistant, call, result, text, user

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
CONTEXT = user(text("A reminder. " * 400))
TOOLS = [{"name": "read", "description": "Read.", "input_schema": {"type": "object"}}]


@dataclass
class RecordingSession:
    """
    A session of a client that records its requests.
    """

    name: str = "one"
    system: str = "You are an agent. Today is Monday."
    lines: list[Object] = field(default_factory=list)
    messages: list[Object] = field(default_factory=list)
    last: str | None = None
    kept: int = 0
    at: datetime = NOON

    def line(self, kind: str, **more: Any) -> None:
        """
        Add a record.
        """
        self.lines.append(
            {"type": kind, "sessionId": self.name, "timestamp": f"{self.at:%Y-%m-%dT%H:%M:%S.000Z}", **more}
        )

    def said(self, message: Object, *, blob: bool = False) -> None:
        """
        Add a message, in a line of its own or as a blob.
        """
        self.messages.append(message)
        if blob:
            self.line("api-request-blob", hash=message_hash(message), message=json.dumps(message))
        else:
            self.line("user", uuid=f"u{len(self.lines)}", message=message)

    def ask(self, answer: Sequence[Object], read: int, write_5m: int, **more: Any) -> Object:
        """
        Send a request, and write down each block of its answer.

        Returns:
            The body as it was sent.
        """
        number = len(self.lines)
        shape = {"system": [text("You are Claude."), text(self.system)], "tools": TOOLS}
        self.line("api-request-shape", shapeHash=self.system, shape=json.dumps(shape))
        hashes = [message_hash(message) for message in self.messages]
        base = {} if self.last is None else {"base": self.last}
        marks = [["system", 1], ["messages", len(self.messages) - 1, "content", 0]]
        self.line(
            "api-request",
            id=f"{self.name}-request-{number}",
            shapeHash=self.system,
            params={"model": MODEL, "betas": ["b1", "b2"], "max_tokens": 100, "thinking": {"type": "adaptive"}},
            keep=self.kept if base else 0,
            tail=hashes[self.kept if base else 0 :],
            cacheControl=[{"path": path, "value": {"type": "ephemeral"}} for path in marks],
            **base,
        )
        self.last, self.kept = f"{self.name}-request-{number}", len(hashes)
        body = self.body(shape)
        self.at += timedelta(seconds=4)
        usage = {"input_tokens": 2, "output_tokens": 9, "cache_read_input_tokens": read}
        usage["cache_creation_input_tokens"] = write_5m
        for block in answer:
            message = {
                "id": f"msg-{self.name}-{number}",
                "role": "assistant",
                "model": MODEL,
                "usage": usage,
                "content": [block],
            }
            reference = {"requestRef": f"{self.name}-request-{number}", "uuid": f"a{len(self.lines)}"}
            self.line("assistant", message=message, **{**reference, **more})
        self.messages.append(assistant(*answer))
        self.at += timedelta(seconds=4)
        return body

    def body(self, shape: Object) -> Object:
        """
        The body of the next request.
        """
        sent: Object = json.loads(json.dumps({**shape, "messages": self.messages}))
        for message in sent["messages"]:
            if isinstance(message["content"], str):
                message["content"] = [text(message["content"])]
        sent["system"][1]["cache_control"] = {"type": "ephemeral"}
        sent["messages"][-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
        return {"model": MODEL, "max_tokens": 100, "thinking": {"type": "adaptive"}, **sent}

    def write(self, folder: Path) -> Path:
        """
        Write the file.
        """
        path = folder / f"{self.name}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(line)}\n" for line in self.lines))
        return path


def a_recording_session(**more: Any) -> tuple[RecordingSession, list[Object]]:
    """
    Three requests with a call of a tool, and what was sent.
    """
    session = RecordingSession(**more)
    session.said(CONTEXT, blob=True)
    session.said({"role": "user", "content": "Look into it."})
    bodies = [session.ask([text("I look."), call("toolu_1")], 0, 3000)]
    session.said(user(result("toolu_1", "The content. " * 300)))
    bodies.append(session.ask([text("It is fine.")], 3000, 900))
    session.said(user(text("Thank you.")))
    bodies.append(session.ask([text("Gladly.")], 3900, 20))
    return session, bodies
