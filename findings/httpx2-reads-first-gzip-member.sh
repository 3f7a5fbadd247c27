#!/usr/bin/env bash
# anthropic 2.14.0 (httpx2 2.16.2) reads a stream only up to the end of its first gzip member, without an error.
#
# RFC 1952 lets gzip data be a row of members, one after the other; a proxy that compresses each event by itself makes
# such a stream, and so does concatenating compressed parts. httpx2 decompresses the first member and drops the rest.
# The program sees one event, an answer without text and one output token; the whole answer is billed. requests 2.34.2
# reads all members.
#
# Seen on 2026-11-29, a stream of six events, each a member:
#   anthropic: 1 event, the last one message_start
#   requests: 6 events, the last one message_stop
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q anthropic==2.14.0 httpx2==2.16.2 requests==2.34.2
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import gzip
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import requests
from upstream import USAGE, events

MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "usage": USAGE}
STREAM = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events(MESSAGE)]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(b"".join(gzip.compress(event) for event in STREAM))

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
call = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
seen = [event.type for event in anthropic.Anthropic(api_key="sk-ant-made-up", base_url=url).messages.create(**call)]
lines = requests.post(f"{url}/v1/messages", json=call).text.splitlines()
all_of_it = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
print(f"anthropic: {len(seen)} event, the last one {seen[-1]}")
print(f"requests: {len(all_of_it)} events, the last one {all_of_it[-1]}")
sys.exit((len(seen), len(all_of_it)) != (1, 6))
PY
