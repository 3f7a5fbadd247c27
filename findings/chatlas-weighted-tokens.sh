#!/usr/bin/env bash
# chatlas 0.23.0 shows tokens that the API never reported: it multiplies cache writes by their price factor.
#
# To get the cost right with one input price, chatlas adds 1.25 tokens per token written, or 2 where the chat was made
# with cache="1h", and shows the product as tokens. The factor comes from the setting, not from the answer: where a
# gateway changes the lifetime, tokens and cost are both wrong.
#
# Seen on 2026-11-29, an answer with 10 uncached tokens and 3,000 written for one hour, claude-opus-4-5:
#   cache 1h: input 6010, cost 0.037725 (list price 0.037725)
#   cache 5m: input 3760, cost 0.026475 (list price 0.037725)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "chatlas[anthropic]==0.23.0"
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import sys

from chatlas import ChatAnthropic
from upstream import USAGE, serve

split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 3000}
upstream, seen = serve({**USAGE, "cache_creation": split}), []
listed = (10 * 5 + 3000 * 10 + 15000 * 0.5 + 7 * 25) / 1_000_000
for cache in ("1h", "5m"):
    options = {"base_url": upstream.url}
    chat = ChatAnthropic(model="claude-opus-4-5", api_key="sk-ant-made-up", cache=cache, kwargs=options)
    chat.chat("Hi", echo="none")
    tokens, cost = chat.get_tokens()[0]["tokens"], round(chat.get_cost(), 6)
    print(f"cache {cache}: input {tokens}, cost {cost} (list price {listed})")
    seen.append((tokens, cost))
sys.exit(seen != [(6010, 0.037725), (3760, 0.026475)])
PY
