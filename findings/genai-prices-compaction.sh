#!/usr/bin/env bash
# genai-prices 0.2.3 does not price the compaction pass of an answer; litellm 1.110.2 does.
#
# With server-side compaction the API first summarises the conversation and then answers. The tokens of the summary are
# billed, but they stand only in usage.iterations and are not part of the totals at the top of usage. genai-prices reads
# the totals, so the dearest request of a long session looks like the cheapest one.
#
# Seen on 2026-11-29, claude-opus-5-5 (compaction: 180,000 in, 3,500 out; answer: 10 in, 7 out):
#   list price 0.79018, genai-prices 0.00018, litellm 0.79018
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q genai-prices==0.2.3 litellm==1.110.2
export HOME=$folder LITELLM_LOCAL_MODEL_COST_MAP=True
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import sys

import litellm
from genai_prices import extract_usage
from litellm.llms.anthropic.chat.transformation import AnthropicConfig

PASSES = [
    {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500},
    {"type": "message", "input_tokens": 10, "output_tokens": 7},
]
USAGE = {"input_tokens": 10, "output_tokens": 7, "iterations": PASSES}
message = {"model": "claude-opus-5-5", "usage": USAGE}

genai = float(extract_usage(message, provider_id="anthropic").calc_price().total_price)
usage = AnthropicConfig().calculate_usage(usage_object=USAGE, reasoning_content=None)
answer = litellm.ModelResponse(model="claude-opus-5-5", usage=usage)
lite = litellm.completion_cost(answer, custom_llm_provider="anthropic")
listed = sum(p["input_tokens"] * 4 + p["output_tokens"] * 20 for p in PASSES) / 1_000_000
print(f"list price {listed:g}, genai-prices {genai:g}, litellm {lite:g}")
sys.exit((round(genai, 6), round(lite, 6)) != (0.00018, round(listed, 6)))
PY
