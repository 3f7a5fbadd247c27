#!/usr/bin/env bash
# llama-index-llms-anthropic 0.12.3 drops a CachePoint in the system message without a word.
#
# A CachePoint in a user message becomes a cache_control marker. In the system message, which is where a long fixed
# prompt stands, it disappears: the system prompt is sent as plain text and billed in full on every call.
#
# Seen on 2026-11-29, one CachePoint in each of two messages:
#   system: str, markers 0; user: markers 1
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q llama-index-llms-anthropic==0.12.3 anthropic==0.125.0
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import json
import sys

from llama_index.core.base.llms.types import CacheControl, CachePoint, ChatMessage, TextBlock
from llama_index.llms.anthropic import Anthropic
from upstream import serve

upstream = serve()
point = CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h"))
llm = Anthropic(model="claude-opus-4-5", api_key="sk-ant-made-up", base_url=upstream.url)
llm.chat([ChatMessage(role=role, blocks=[TextBlock(text="Hi"), point]) for role in ("system", "user")])
request = upstream.requests[0]
markers = [json.dumps(request[part]).count("cache_control") for part in ("system", "messages")]
print(f"system: {type(request['system']).__name__}, markers {markers[0]}; user: markers {markers[1]}")
sys.exit(markers != [0, 1])
PY
