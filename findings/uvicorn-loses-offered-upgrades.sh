#!/usr/bin/env bash
# uvicorn 0.54.0 with httptools 0.9.0 loses the body of a POST that offers to switch to HTTP/2.
#
# Java's java.net.http.HttpClient adds "Upgrade: h2c" to its first request on http://. A server may ignore the offer,
# and then the body follows as usual. With httptools, uvicorn's default where it is installed, the application gets an
# empty body and no error; with h11 it gets the body. Many gateways for language models run on uvicorn, so their Java
# users see "model is missing" on the first call and success on the next.
#
# Seen on 2026-11-29, a body of 27 bytes:
#   httptools, plain: 27 bytes
#   httptools, offering h2c: 0 bytes
#   h11, plain: 27 bytes
#   h11, offering h2c: 27 bytes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
export HOME=$folder
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import http.client
import socket
import sys
import threading
import time

import uvicorn

OFFER = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAAAAMAAAAA"}
BODY = b'{"model":"claude-opus-5-5"}'


async def length(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": str(len(body)).encode()})


seen = []
for parser in ("httptools", "h11"):
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(length, http=parser, lifespan="off", log_level="error"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    for label, headers in (("plain", {}), ("offering h2c", OFFER)):
        connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=60)
        connection.request("POST", "/v1/messages", BODY, headers)
        seen.append(int(connection.getresponse().read()))
        print(f"{parser}, {label}: {seen[-1]} bytes")
sys.exit(seen != [27, 0, 27, 27])
PY
