"""
Whether another host answers a request that is sent as the proxy sends it.

Rule of this file: it uses the same transport and the same variables as `serve`, so that the result applies to `serve`.
It sends no key.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savemode_cli.network import Network

_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Reached:
    """
    What became of a request without a key: the `status` of an answer, or None and the `problem`. `way` says which proxy
    was used, `trusts` which certificate files were read, `notes` which variables were ignored.
    """

    status: int | None
    problem: str = ""
    fix: str = ""
    way: str = ""
    notes: tuple[str, ...] = ()
    trusts: tuple[tuple[str, str], ...] = ()
    took_ms: float = 0.0


def reach(url: str) -> Reached:
    """
    Send a request as the proxy would: with the same transport and the same variables.
    """
    import asyncio

    from savemode_cli.core.errors import ConfigError, UpstreamUnreachable
    from savemode_cli.network import network_for

    try:
        network = network_for(url)
    except ConfigError as error:
        return Reached(None, error.message, error.hint)
    way = f" through the proxy {network.proxy}" if network.proxy is not None else ""
    began = time.monotonic()
    try:
        status = asyncio.run(_status_of(url, network))
    except UpstreamUnreachable as error:
        return Reached(None, error.message, error.hint, way, network.notes, network.trusts)
    took_ms = (time.monotonic() - began) * 1000
    return Reached(status, way=way, notes=network.notes, trusts=network.trusts, took_ms=took_ms)


async def _status_of(url: str, network: "Network") -> int:
    from urllib.parse import urlsplit

    from savemode_cli.proxy.transport import AiohttpTransport
    from savemode_cli.proxy.upstream import UpstreamRequest

    transport = AiohttpTransport(
        url, connect_timeout_s=_PATIENCE_S, read_timeout_s=_PATIENCE_S, proxy=network.proxy, tls=network.tls
    )
    try:
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}".encode()
        answer = await transport.send(UpstreamRequest("GET", target, []))
        await answer.pieces.aclose()
    finally:
        await transport.aclose()
    return answer.status
