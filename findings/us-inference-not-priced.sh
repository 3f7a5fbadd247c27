#!/usr/bin/env bash
# genai-prices 0.2.3 does not price inference in the US; litellm 1.110.2 does.
#
# A request with inference_geo "us" costs 10 % more for every kind of token, and the answer's usage repeats the geo.
# genai-prices, and through it pydantic-ai, reads neither; its sum stays 10 % too low. litellm multiplies by 1.1.
#
# Seen on 2026-11-29, claude-opus-5-5, one million tokens of input:
#   list price 4.4, genai-prices 4, litellm 4.4
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q genai-prices==0.2.3 litellm==1.110.2
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export LITELLM_LOCAL_MODEL_COST_MAP=True
"$folder/venv/bin/python" - <<'PY'
import sys

import litellm
from genai_prices import extract_usage
from upstream import serve

upstream = serve({"input_tokens": 1_000_000, "output_tokens": 0, "inference_geo": "us"})
usage = {"model": "claude-opus-5-5", "usage": upstream.usage}
genai = float(extract_usage(usage, provider_id="anthropic").calc_price().total_price)
answer = litellm.completion("anthropic/claude-opus-5-5", messages=[{"role": "user", "content": "Hi"}],
                            api_base=upstream.url, api_key="sk-ant-made-up")
lite = litellm.completion_cost(answer)
print(f"list price 4.4, genai-prices {genai:g}, litellm {lite:g}")
sys.exit((round(genai, 9), round(lite, 9)) != (4.0, 4.4))
PY
