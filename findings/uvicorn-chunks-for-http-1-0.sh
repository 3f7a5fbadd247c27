#!/usr/bin/env bash
# uvicorn 0.54.0 with httptools 0.9.0 answers a request of HTTP/1.0 with chunks, which HTTP/1.0 does not have.
#
# A stream has no known length, so for HTTP/1.0 it must end with the connection; RFC 9112 section 6.1 forbids
# Transfer-Encoding there. With httptools, uvicorn's default where it is installed, the sizes of the chunks stand between
# the events and break the JSON for a strict client of 1.0, such as a load tester or an old reverse proxy in front of a
# gateway for language models. With h11 the same application is right.
#
# Seen on 2026-11-29, what a client of HTTP/1.0 reads after the head:
#   httptools: b'9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n'
#   h11: b'data: 1\n\ndata: 2\n\n'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
export HOME=$folder
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import socket
import sys
import threading
import time

import uvicorn

STREAM = [b"data: 1\n\n", b"data: 2\n\n"]


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for event in STREAM:
        await send({"type": "http.response.body", "body": event, "more_body": event != STREAM[-1]})


def read(parser):
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, http=parser, lifespan="off", log_level="error"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    with socket.create_connection(listener.getsockname(), timeout=60) as client:
        client.sendall(b"GET / HTTP/1.0\r\nHost: gateway.example\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    return answer.split(b"\r\n\r\n", 1)[1]


seen = [read(parser) for parser in ("httptools", "h11")]
print("httptools: {}\nh11: {}".format(*seen))
sys.exit(seen[0] == b"".join(STREAM) or seen[1] != b"".join(STREAM))
PY
