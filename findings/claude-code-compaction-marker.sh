#!/usr/bin/env bash
# Claude Code 2.1.332: /compact after a tool's result moves the cache breakpoint before that result, which was cached already.
#
# Each request marks its last message, so the result of a tool is written to the cache with the request that sends it. The
# request that "/compact" sends next has the same messages and one more text. Its breakpoint stands on the call of the tool, one
# message before the result. So the cache cannot be read behind the call: the result, which may be most of the prompt, and the text
# are billed as uncached input, once for each of the two calls of a compaction. With a breakpoint on the result both
# would read it at a tenth of that price or less. No transcript records these two calls.
#
# Seen on 2026-11-29, Linux on x64:
#   request 2: 4 messages, the last holds tool_result; breakpoint on message 3, tool_result
#   /compact request 3: 4 messages, the last holds tool_result text; breakpoint on message 2, tool_use
#   /compact request 4: 4 messages, the last holds tool_result text; breakpoint on message 2, tool_use
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --force @anthropic-ai/claude-code@2.1.332 \
  @anthropic-ai/claude-code-linux-x64@2.1.332
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME ANTHROPIC_AUTH_TOKEN
export ANTHROPIC_API_KEY=sk-ant-made-up HOME=$folder CLAUDE_CONFIG_DIR=$folder/config
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1
cat >observe.py <<'PY'
import json
import os
import pathlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

note = pathlib.Path("note.txt").absolute()
note.write_text("forty-two\n" * 300)
requests = []


def answer(request):
    """The first answer reads a file, every other one is a text."""
    if len(requests) == 1:
        arguments = json.dumps({"file_path": str(note)})
        block = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}
        return block, {"type": "input_json_delta", "partial_json": arguments}, "tool_use"
    return {"type": "text", "text": ""}, {"type": "text_delta", "text": "Done."}, "end_turn"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        requests.append(request)
        block, delta, reason = answer(request)
        usage = {"input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
        message = {"id": f"msg_{len(requests)}", "type": "message", "role": "assistant", "model": request["model"],
                   "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        events = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["ANTHROPIC_BASE_URL"] = f"http://127.0.0.1:{server.server_port}"
session = "11111111-2222-4333-8444-555555555555"
for words in (["read it", "--session-id", session], ["/compact", "--resume", session]):
    command = ["node_modules/.bin/claude", "-p", *words, "--model", "claude-opus-5-5"]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)

seen = []
for number, request in enumerate(requests[1:4], 2):
    marked = [(place, block["type"]) for place, message in enumerate(request["messages"])
              for block in (message["content"] if isinstance(message["content"], list) else ())
              if "cache_control" in block]
    last = request["messages"][-1]["content"]
    kinds = " ".join(block["type"] for block in last) if isinstance(last, list) else "a string"
    label = "request" if number == 2 else "/compact request"
    print(f"{label} {number}: {len(request['messages'])} messages, the last holds {kinds}; "
          f"breakpoint on {', '.join(f'message {place}, {kind}' for place, kind in marked)}")
    seen.append(marked)
sys.exit(seen != [[(3, "tool_result")], [(2, "tool_use")], [(2, "tool_use")]])
PY
python3 observe.py
