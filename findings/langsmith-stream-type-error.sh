#!/usr/bin/env bash
# langsmith 0.15.1 with anthropic 2.14.0: a wrapped client raises TypeError at the end of every stream.
#
# wrap_anthropic rebuilds the streamed message with a private function of the SDK, whose arguments have changed. The
# stream arrives whole and is billed; then the loop that reads it fails, so a program that retries pays again. Calls
# that are not streamed work.
#
# Seen on 2026-11-29:
#   requests answered 2, plain call Hello, stream TypeError: accumulate_event() missing 1 required keyword-only argument
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q langsmith==0.15.1 anthropic==2.14.0
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export LANGSMITH_TRACING=true LANGSMITH_ENDPOINT=http://127.0.0.1:9 LANGSMITH_API_KEY=made-up
"$folder/venv/bin/python" - <<'PY'
import sys

import anthropic
from langsmith.wrappers import wrap_anthropic
from upstream import serve

upstream = serve()
client = wrap_anthropic(anthropic.Anthropic(api_key="sk-ant-made-up", base_url=upstream.url))
call = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
plain = client.messages.create(**call).content[0].text
try:
    outcome = f"{len(list(client.messages.create(**call, stream=True)))} events"
except TypeError as error:
    outcome = f"TypeError: {str(error).split(':')[0]}"
print(f"requests answered {len(upstream.requests)}, plain call {plain}, stream {outcome}")
sys.exit(not outcome.startswith("TypeError: accumulate_event() missing"))
PY
