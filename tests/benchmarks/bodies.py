"""
Request bodies that look like an agent's: code and logs full of escapes, tool calls and their results.

Rule of this file: the same arguments give the same bytes. A body has about 400 blocks a megabyte and, where asked for,
four markers in the places an agent puts them: two system blocks and the ends of the last two user messages.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

KB = 1024
MB = 1024 * KB

_MARKER = {"type": "ephemeral"}
_DECOY = '{"cache_control": null}'
_NAMES = (
    "budget cache client context edit event header index ledger message offset parser path policy price prompt proxy"
)
_WORDS = (_NAMES + " record request response result retry server session settle splice stream token upstream").split()
_LINES = (
    "    if {0}.{1} is None:\n        raise ValueError(\"no {1} in '{2}'\")",
    '{{"{0}": "{1}", "{2}_id": {3}, "ok": true}}',
    "{3:>6}\t    def {0}_{1}(self, {2}: str) -> dict[str, int]:",
    'src/{0}/{1}_{2}.py:{3}: error: "{1}" has no attribute "{2}"  [attr-defined]',
    "2026-11-23T10:42:07.{3:06d}Z INFO {0}.{1} {2}=ok duration_ms={3}",
    "The {0} keeps its {1} until the {2} is closed; see the note on {1}s below → “{2}”.",
    '+        self._{0} = re.compile(r"^{1}-(\\d+)/{2}\\.json$")',
    "C:\\Users\\{0}\\{1}\\{2}.log → {3} bytes",
    "",
)


def agent_body(size_bytes: int, markers: bool = True, decoys: int = 0, session: str = "session_0b5c") -> bytes:
    """
    A conversation of exactly *size_bytes* (from 1.5 KB up), with four markers or none.

    *decoys* is how often `"cache_control":` is quoted inside its texts, where every quote is escaped. *session* is its
    user id.

    Raises:
        ValueError: so small a body has no room for that.
    """
    rng = random.Random(size_bytes)
    lines = _lines(rng, decoys)
    system = [_text("You are a careful engineer."), _text(_take(lines, min(8000, size_bytes // 6)))]
    messages = [_user(_text(_take(lines, min(600, size_bytes // 10))))]
    tools = [_tool(number, lines) for number in range(min(20, size_bytes // (20 * KB)))]
    body = {"model": "claude-opus-5-5", "max_tokens": 32000, "stream": True, "tools": tools, "system": system}
    body |= {"metadata": {"user_id": session}, "messages": messages}
    room = size_bytes - len(_dump(body)) - 700
    while room > 2 * KB:
        turn = _turn(len(messages), lines, min(rng.choice((600, 2000, 5000, 10_000, 20_000)), room // 2))
        messages += turn
        room -= len(_dump(turn)) - 1
    messages += _turn(len(messages), iter(["ok"] * 99), 16)
    if markers:
        _mark(body)
    padded = _padded(body, messages[-1], size_bytes)
    if padded.count(b'\\"cache_control\\":') != decoys:
        raise ValueError(f"a body of {size_bytes} bytes has no room for {decoys} decoys")
    return padded


def conversation(size_bytes: int, session: str) -> Iterator[bytes]:
    """
    The requests of one conversation without end: the first has *size_bytes*, and each has its turns so far and one more.
    """
    body = json.loads(agent_body(size_bytes, markers=False, session=session))
    lines = _lines(random.Random(session), 0)
    while True:
        yield _dump(_mark(json.loads(_dump(body))))
        body["messages"] += _turn(len(body["messages"]), lines, min(2000, size_bytes // 100))


def _mark(body: dict[str, Any]) -> dict[str, Any]:
    messages = body["messages"]
    for block in (*body["system"], messages[-3]["content"][-1], messages[-1]["content"][-1]):
        block["cache_control"] = _MARKER
    return body


def tiny_blocks_body(count: int) -> bytes:
    """
    One message of *count* blocks of one letter each, the last four of them marked.
    """
    blocks = [_text("x") for _ in range(count)]
    for block in blocks[-4:]:
        block["cache_control"] = _MARKER
    return _dump({"model": "claude-opus-5-5", "max_tokens": 1024, "messages": [_user(*blocks)]})


def _turn(number: int, lines: Iterator[str], length: int) -> list[dict[str, Any]]:
    """
    What one step of an agent adds: a sentence, a tool call and the tool's result, some 9 KB in all.
    """
    name = f"toolu_{number:08d}"
    call = {"type": "tool_use", "id": name, "name": "read_file", "input": {"path": _take(lines, 30), "limit": number}}
    result = {"type": "tool_result", "tool_use_id": name, "content": [_text(_take(lines, length))]}
    return [{"role": "assistant", "content": [_text(_take(lines, length // 8)), call]}, _user(result)]


def _tool(number: int, lines: Iterator[str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": _take(lines, 60)} for name in _WORDS[number : number + 4]}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": f"{_WORDS[number]}_{number}", "description": _take(lines, 600), "input_schema": schema}


def _user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _lines(rng: random.Random, decoys: int) -> Iterator[str]:
    while True:
        yield rng.choice(_LINES).format(*rng.choices(_WORDS, k=3), rng.randrange(100_000))
        if decoys:
            decoys -= 1
            yield _DECOY


def _take(lines: Iterator[str], length: int) -> str:
    out: list[str] = []
    while length > 0:
        out.append(next(lines))
        length -= len(out[-1]) + 1
    return "\n".join(out)


def _padded(body: dict[str, Any], last: dict[str, Any], size_bytes: int) -> bytes:
    missing = size_bytes - len(_dump(body))
    if missing < 0:
        raise ValueError(f"a body of {size_bytes} bytes has no room for what was asked of it")
    inner = last["content"][-1]["content"][-1]
    inner["text"] += ("lorem ipsum dolor sit amet " * (missing // 27 + 1))[:missing]
    return _dump(body)


def _dump(value: object) -> bytes:
    """
    As the vendor's clients write it: compact, and not reduced to ASCII.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
