#!/usr/bin/env bash
# aiohttp 3.14.5: the replacement that its own deprecation warning names loses the credentials of an HTTP proxy.
#
# Using proxy_auth warns that it is deprecated and that proxy_headers with "Proxy-Authorization" takes its place. For an
# https:// target that works: the header goes into the CONNECT request. For an http:// target, such as a gateway in the
# own network, there is no CONNECT, and proxy_headers are not sent at all. Who follows the advice gets 407 from the
# proxy, without any warning.
#
# Seen on 2026-11-29, whether the proxy received Proxy-Authorization:
#   proxy_auth: http True, https True
#   proxy_headers: http False, https True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q aiohttp==3.14.5
export HOME=$folder
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import asyncio
import sys
import warnings

import aiohttp

WITHOUT_WARNING = {"proxy_headers": {"Proxy-Authorization": aiohttp.encode_basic_auth("user", "made-up")}}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    DEPRECATED = {"proxy_auth": aiohttp.BasicAuth("user", "made-up")}
heads = []


async def proxy(reader, writer):
    heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


async def sent(scheme, address, options):
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"{scheme}://gateway.example/", proxy=address, **options):
                pass
        except aiohttp.ClientHttpProxyError:
            pass  # the refused CONNECT
    return "\nproxy-authorization: " in heads[-1]


async def observe():
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    address = "http://127.0.0.1:{}".format(server.sockets[0].getsockname()[1])
    seen = []
    for name, options in (("proxy_auth", DEPRECATED), ("proxy_headers", WITHOUT_WARNING)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DeprecationWarning)
            plain, tunnel = [await sent(scheme, address, options) for scheme in ("http", "https")]
        print(f"{name}: http {plain}, https {tunnel}")
        seen += [plain, tunnel, any("pass proxy_headers" in str(one.message) for one in caught)]
    return seen


sys.exit(asyncio.run(observe()) != [True, True, True, False, True, False])
PY
