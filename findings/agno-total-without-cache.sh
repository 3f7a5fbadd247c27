#!/usr/bin/env bash
# agno 3.1.10 leaves cached tokens out of input_tokens and total_tokens with Anthropic, and has them in with OpenAI.
#
# Each provider's own count is passed on: that of Anthropic is without the tokens that were read from the cache and written to
# it, that of OpenAI is with them. So the same agent with the same prompt has a total of 17 tokens on one and of 18,017 on the
# other, and limits, dashboards and costs by total_tokens see almost nothing of a cached Anthropic agent.
#
# Seen on 2026-11-29, a prompt of 18,010 tokens, 15,000 of them read from the cache, and 7 tokens of output:
#   Claude: input_tokens 10, total_tokens 17, cache_read_tokens 15000, cache_write_tokens 3000
#   OpenAIChat: input_tokens 18010, total_tokens 18017, cache_read_tokens 15000, cache_write_tokens 0
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q agno==3.1.10 anthropic==2.14.0 openai
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agno.agent import Agent
from agno.models.anthropic import Claude
from agno.models.openai import OpenAIChat
from upstream import serve

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1795932619,
    "model": "gpt-5",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
    "usage": {
        "prompt_tokens": 18010,
        "completion_tokens": 7,
        "total_tokens": 18017,
        "prompt_tokens_details": {"cached_tokens": 15000},
    },
}


class ChatCompletions(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), ChatCompletions)
threading.Thread(target=server.serve_forever, daemon=True).start()
options = {"base_url": serve().url}
claude = Claude(id="claude-opus-5-5", api_key="sk-ant-made-up", client_params=options)
openai = OpenAIChat(id="gpt-5", api_key="sk-made-up", base_url=f"http://127.0.0.1:{server.server_port}/v1")
names = ("input_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens")
seen = []
for model in (claude, openai):
    metrics = Agent(model=model, telemetry=False).run("Hi").metrics
    values = [getattr(metrics, name) for name in names]
    print(f"{type(model).__name__}: " + ", ".join(f"{name} {value}" for name, value in zip(names, values)))
    seen.append(values)
sys.exit(seen != [[10, 17, 15000, 3000], [18010, 18017, 15000, 0]])
PY
