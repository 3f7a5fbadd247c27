#!/usr/bin/env bash
# vcrpy 9.4.2: a cassette of a compressed answer can be replayed only to the kind of client that recorded it.
#
# Recorded through requests or aiohttp, the cassette holds the decompressed text; through httpx2 (under the anthropic
# SDK) it holds the compressed bytes. Both keep "content-encoding: gzip", and nothing in the file says which of the two
# it is. A program that moves from plain HTTP to the SDK must record, and pay for, every answer again. requests does not
# even fail: it returns the compressed bytes as text. The API compresses its answers.
#
# Seen on 2026-11-29, recorded by the client on the left, replayed to the one on the right:
#   requests to requests: ok, requests to httpx2: DecodingError
#   httpx2 to requests: garbage, httpx2 to httpx2: ok
#   aiohttp to requests: ok, aiohttp to httpx2: DecodingError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q vcrpy==9.4.2 requests==2.34.2 httpx2==2.16.2 aiohttp==3.14.5
export HOME=$folder
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - "$folder" <<'PY'
import asyncio
import gzip
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import httpx2
import requests
import vcr

ANSWER = '{"type":"message"}'


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.compress(ANSWER.encode())
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{server.server_port}/v1/messages"


async def with_aiohttp():
    async with aiohttp.ClientSession() as session, session.post(URL, json={}) as response:
        return await response.text()


CLIENTS = {
    "requests": lambda: requests.post(URL, json={}).text,
    "httpx2": lambda: httpx2.post(URL, json={}).text,
    "aiohttp": lambda: asyncio.run(with_aiohttp()),
}


def replay(cassette, client):
    try:
        with vcr.use_cassette(cassette, record_mode="none"):
            return "ok" if CLIENTS[client]() == ANSWER else "garbage"
    except Exception as error:
        return type(error).__name__


seen = []
for recorder in CLIENTS:
    cassette = f"{sys.argv[1]}/{recorder}.yaml"
    with vcr.use_cassette(cassette):
        CLIENTS[recorder]()
    outcomes = [f"{recorder} to {client}: {replay(cassette, client)}" for client in ("requests", "httpx2")]
    print(", ".join(outcomes))
    seen += [outcome.split(": ")[1] for outcome in outcomes]
sys.exit(seen != ["ok", "DecodingError", "garbage", "ok", "ok", "DecodingError"])
PY
