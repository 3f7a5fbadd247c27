"""
Headers and bodies of callers.
"""

import json
from typing import Any

FRESH = "11111111-2222-4333-8444-555555555555"


def fresh() -> str:
    """
    A trace that is made where none is known.
    """
    return FRESH


def encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """
    Headers as a server hands them over.
    """
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


SESSION = "6a1f2b3c-0000-4000-8000-000000000001"


def conversation(first: str, *, marked: bool = False, turns: int = 1, system: str = "s") -> bytes:
    """
    A request body without any session id.
    """
    block: dict[str, Any] = {"type": "text", "text": first}
    if marked:
        block["cache_control"] = {"type": "ephemeral"}
    messages: list[Any] = [{"role": "user", "content": [block]}]
    messages += [{"role": "assistant", "content": "a"}, {"role": "user", "content": "more"}] * (turns - 1)
    return json.dumps({"model": "m", "system": system, "messages": messages}).encode()
