"""
`savemode demo`: a request on its way through the real proxy, without a key and without a network.

Rule of this file: everything is real but the model. The request travels over HTTP on loopback to the proxy and on to an
upstream that answers with a fixed sentence and keeps the bytes that reached it, so that they can be compared.
"""

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from savemode_cli.cli.serve import compose, wants_colour

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from savemode_cli.core.exchange import Exchange

_BARE = {"type": "ephemeral"}
_REQUEST = {
    "model": "claude-opus-5-5",
    "max_tokens": 1024,
    "system": [{"type": "text", "text": "You are a careful engineer. ...", "cache_control": _BARE}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Why is the build red?"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "sh", "input": {"cmd": "make"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "error 1"}]},
                {"type": "text", "text": "Fix it.", "cache_control": _BARE},
            ],
        },
    ],
}
_ANSWER = {
    "id": "msg_demo",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [{"type": "text", "text": "Done."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 4},
}


def demo() -> None:
    """
    Watch a request go through the proxy, upgraded and explained: no key, no network.
    """
    from savemode_cli.proxy.server import run_in_loop

    run_in_loop(_demo)


async def _demo() -> None:
    import asyncio

    from savemode_cli.proxy.server import Server, listen, serve

    received: list[bytes] = []
    listener = listen("127.0.0.1", 0)
    upstream = Server(_upstream(received), grace_s=1, handle_signals=False)
    running = asyncio.create_task(serve(upstream, listener))
    try:
        await _through_proxy(f"http://127.0.0.1:{listener.getsockname()[1]}", received)
    finally:
        upstream.should_exit = True
        await running


async def _through_proxy(upstream: str, received: list[bytes]) -> None:
    import asyncio

    import httpx

    from savemode_cli.config import Settings
    from savemode_cli.core.caller import PRODUCTS, Products
    from savemode_cli.views.terminal import Ink, detail_lines, request_line

    ink = Ink(colour=wants_colour(sys.stdout))
    seen: list[Exchange] = []
    person = Products(PRODUCTS.idle_prone, PRODUCTS.aliases, default="posthog_code")
    settings = Settings(port=0, upstream=upstream, ledger="memory:", product="posthog_code", products=person)
    proxy = compose(settings, seen.append, lambda _event, text: typer.echo(text, err=True), handle_signals=False)
    running = asyncio.create_task(proxy.serve())
    body = json.dumps(_REQUEST).encode()
    typer.echo(f"{ink('savemode demo', 'bold')}: one request, twice, through a proxy on {proxy.url}\n")
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            for flag, title in (("false", "with the gate closed"), ("true", "with the gate open")):
                headers = {"x-api-key": "made-up", "x-posthog-flag-llm-gateway-cost-controls": flag}
                headers["x-claude-code-session-id"] = f"demo-{flag}"
                answer = await client.post(f"{proxy.url}/v1/messages", content=body, headers=headers)
                answer.raise_for_status()
                typer.echo(ink(title, "bold"))
                typer.echo(request_line(seen[-1], ink))
                for line in detail_lines(seen[-1], ink):
                    typer.echo(line)
                typer.echo(f"         {ink('check', 'cyan')} {_compared(body, received[-1])}\n")
    finally:
        proxy.server.should_exit = True
        await running
    typer.echo("next: savemode serve --help, or savemode diff-request on a body of your own")


def _compared(sent: bytes, received: bytes) -> str:
    if sent == received:
        return f"the upstream received the same {len(sent):,} bytes"
    inserted = b', "ttl": "1h"'
    same = "yes" if received.replace(inserted, b"") == sent else "NO"
    count = received.count(inserted)
    return f"the upstream received {count} insertions of {len(inserted)} bytes; without them, the same bytes: {same}"


def _upstream(received: list[bytes]) -> "Callable[..., Awaitable[None]]":
    """
    An ASGI application that keeps what it gets and gives a fixed answer.
    """

    async def application(_scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        received.append(body)
        answer = json.dumps(_ANSWER).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return application
