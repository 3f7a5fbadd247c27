"""
A simulated upstream that serves within a block.
"""

import asyncio

import httpx
import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.simulated.serving import Serving
from savemode_cli.simulated.upstream import SimulatedUpstream
from tests.support.processes import python


def test_it_serves_within_the_block() -> None:
    """
    It serves on loopback, and its port is closed after the block.
    """

    async def main() -> tuple[int, str]:
        async with Serving(SimulatedUpstream()) as serving, httpx.AsyncClient(trust_env=False) as client:
            status = (await client.get(f"{serving.url}/-/health")).status_code
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(trust_env=False) as client:
                await client.get(f"{serving.url}/-/health")
        return status, serving.url

    status, url = asyncio.run(main())
    assert status == 200
    assert url.startswith("http://127.0.0.1:")


def test_a_port_that_is_taken() -> None:
    """
    The error is the same as that of `serve`.
    """
    one = Serving(SimulatedUpstream())
    try:
        with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1"):
            Serving(SimulatedUpstream(), int(one.url.rpartition(":")[2]))
    finally:
        one.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_drop_is_a_reset_on_either_loop(loop: str) -> None:
    """
    The connection is reset below the server, with both event loops.
    """
    pytest.importorskip(loop)
    code = f"""
import asyncio, {loop}
from savemode_cli.simulated.serving import Serving
from savemode_cli.simulated.faults import parse
from savemode_cli.simulated.upstream import Behaviour, SimulatedUpstream

async def main():
    async with Serving(SimulatedUpstream(Behaviour(faults=parse("drop")))) as serving:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(serving.url.rpartition(":")[2]))
        writer.write(b"POST /v1/messages HTTP/1.1\\r\\nhost: localhost\\r\\nx-api-key: k\\r\\nanthropic-version: v\\r\\n"
                     b"content-length: 2\\r\\n\\r\\n{{}}")
        try:
            print(await reader.read())
        except ConnectionResetError:
            print("reset")
        writer.close()

{loop}.run(main())
"""
    assert python(code) == "reset\n"
