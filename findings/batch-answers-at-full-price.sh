#!/usr/bin/env bash
# genai-prices 0.2.3 and litellm 1.110.2 price an answer of the Message Batches API at twice what it costs.
#
# Every token of a batch is billed at half price, and the usage of a batch result says so: "service_tier": "batch".
# Neither library reads that field when it is given the message, although both know batch prices: genai-prices wants
# price_context, litellm a function of its own. Whoever sums up stored messages reports double the cost of batches.
#
# Seen on 2026-11-29, claude-opus-5-5, 100,000 tokens in, 10,000 out:
#   list price as a batch 0.3, genai-prices 0.6, litellm 0.6
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

USAGE = {"input_tokens": 100_000, "output_tokens": 10_000, "service_tier": "batch"}
message = {"model": "claude-opus-5-5", "usage": USAGE}

genai = float(extract_usage(message, provider_id="anthropic").calc_price().total_price)
usage = AnthropicConfig().calculate_usage(usage_object=USAGE, reasoning_content=None)
answer = litellm.ModelResponse(model="claude-opus-5-5", usage=usage)
lite = litellm.completion_cost(answer, custom_llm_provider="anthropic")
listed = (100_000 * 4 + 10_000 * 20) / 1_000_000 / 2
print(f"list price as a batch {listed:g}, genai-prices {genai:g}, litellm {lite:g}")
sys.exit((round(genai, 9), round(lite, 9)) != (2 * listed, 2 * listed))
PY
