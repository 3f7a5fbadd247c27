"""
Requests with breakpoints that an open gate upgrades.
"""

from typing import Any

from tests.conftest import FLAG
from tests.support.upstream import Received, RunningProxy, answer, error
from tests.support.wire import Wired, exchange, request

SESSION = ("x-claude-code-session-id", "11111111-2222-3333-4444-555555555555")
AGENT = ("x-claude-code-agent-id", "agent-1")
OPEN = tuple(FLAG.items())
BARE = '{"type":"ephemeral"}'
HOUR = '{"type":"ephemeral","ttl":"1h"}'
BLAME = "system.0.cache_control.ephemeral.ttl: Extra inputs are not permitted"


def marked(control: str = BARE, model: str = "claude-opus-5-5") -> bytes:
    """
    A body with a breakpoint in the system prompt and one in the message, formatted as no JSON encoder would.
    """
    block = f'"cache_control":{control}}}]'
    system = f'"system":[{{"type":"text","text":"caf\\u00e9 \u00e9",{block}'
    content = f'"content":[{{"type":"text","text":"x",{block}'
    return f'{{ "model":"{model}", "n":1.0e+2, {system},\n"messages":[{{"role":"user",{content}}}]}}'.encode()


def ask(proxy: RunningProxy, body: bytes, *headers: tuple[str, str], target: str = "/v1/messages") -> Wired:
    """
    Post a body to the proxy.
    """
    return exchange(proxy.port, request("POST", target, body, *headers))


def refusing(message: str, *, compressed: bool = False) -> Any:
    """
    A script that refuses a body with a 1-hour TTL.
    """

    async def script(received: Received, writer: Any) -> None:
        if b'"ttl"' in received.body:
            writer.write(error("invalid_request_error", message, compressed=compressed))
        else:
            await answer(received, writer)

    return script
