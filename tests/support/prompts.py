"""
Requests for tests of diagnosis: short ways to write blocks and bodies.
"""

import json
from typing import Any

from savemode_cli.core.cache.blocks import RequestBlocks, read_blocks
from savemode_cli.core.cache.prompt import prompt_from
from savemode_cli.core.diagnosis.fingerprint import Fingerprint, fingerprint_of

Object = dict[str, Any]
MODEL = "claude-opus-5-5"
MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def text(words: str, **more: Any) -> Object:
    """
    A block of text.
    """
    return {"type": "text", "text": words, **more}


def user(*blocks: Any) -> Object:
    """
    A message of a person, or of tools.
    """
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> Object:
    """
    A message of the model.
    """
    return {"role": "assistant", "content": list(blocks)}


def call(name: str, **more: Any) -> Object:
    """
    A call of a tool.
    """
    return {"type": "tool_use", "id": name, "name": "read", "input": {"path": name, "limit": 1}, **more}


def result(name: str, content: Any, **more: Any) -> Object:
    """
    The result of a call.
    """
    return {"type": "tool_result", "tool_use_id": name, "content": content, **more}


def tool(name: str, words: int = 200) -> Object:
    """
    A tool's definition.
    """
    return {"name": name, "description": f"{name} " * words, "input_schema": {"type": "object", "properties": {}}}


def encoded(body: Object) -> bytes:
    """
    A body as bytes.
    """
    return json.dumps(body).encode()


def blocks_of(**body: Any) -> RequestBlocks:
    """
    The blocks of a body.
    """
    return read_blocks(encoded({"model": MODEL, "messages": [], **body}))


def fingerprinted(body: Object, *earlier: Fingerprint) -> Fingerprint:
    """
    The fingerprint of a body.
    """
    request = read_blocks(encoded({"model": MODEL, "messages": [], **body}))
    found = fingerprint_of(request, prompt_from(request), earlier)
    assert found is not None
    return found
