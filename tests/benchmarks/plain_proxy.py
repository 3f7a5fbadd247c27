"""
The pass-through most people would write first: uvicorn, starlette and httpx, with nothing changed and nothing recorded.

    python -m tests.benchmarks.plain_proxy --port PORT --upstream URL
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

_OF_THE_CONNECTION = {"connection", "host", "content-length", "keep-alive", "transfer-encoding"}


class State(TypedDict):
    """
    What lives as long as the server.
    """

    client: httpx.AsyncClient


async def forward(request: Request) -> StreamingResponse:
    """
    Send the request on as it came, and the answer back as it comes.
    """
    client: httpx.AsyncClient = request.state.client
    headers = [(name, value) for name, value in request.headers.items() if name not in _OF_THE_CONNECTION]
    url = httpx.URL(path=request.url.path, query=request.url.query.encode())
    onward = client.build_request(request.method, url, headers=headers, content=await request.body())
    answer = await client.send(onward, stream=True)
    return StreamingResponse(
        answer.aiter_raw(),
        status_code=answer.status_code,
        headers={name: value for name, value in answer.headers.items() if name != "transfer-encoding"},
        background=BackgroundTask(answer.aclose),
    )


def application(upstream: str) -> Starlette:
    """
    The proxy as an ASGI application.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        async with httpx.AsyncClient(base_url=upstream, timeout=httpx.Timeout(None)) as client:
            yield {"client": client}

    return Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])], lifespan=lifespan)


def main() -> None:
    """
    Serve until stopped.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    chosen = parser.parse_args()
    uvicorn.run(application(chosen.upstream), host="127.0.0.1", port=chosen.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
