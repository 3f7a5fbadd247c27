#!/usr/bin/env bash
# litellm 1.110.2 prices an advisor's tokens at the main model's rate; pydantic-ai-slim 2.68.0 does not price them.
#
# When a request uses the advisor tool, the API lists the advisor's own pass in usage.iterations, with the advisor's
# model, and bills those tokens at that model's price; they are not part of the totals at the top. litellm adds the
# tokens of all passes and multiplies the sum by the price of the model that was asked for. pydantic-ai shows the
# advisor's tokens in its details and leaves them out of the cost. A cheap model with an expensive advisor looks cheap.
#
# Seen on 2026-11-29, claude-haiku-5-5 with a claude-opus-5-5 advisor:
#   list prices 0.10002 USD, litellm 0.00252 USD, pydantic-ai 2e-05 USD
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q litellm==1.110.2 "pydantic-ai-slim[anthropic]==2.68.0"
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export LITELLM_LOCAL_MODEL_COST_MAP=True
"$folder/venv/bin/python" - <<'PY'
import os
import sys

from upstream import serve

UNCACHED = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
TOP = {"input_tokens": 100, "output_tokens": 20, **UNCACHED}
ADVISOR = {"model": "claude-opus-5-5", "input_tokens": 20_000, "output_tokens": 1_000, **UNCACHED}
upstream = serve({**TOP, "iterations": [{"type": "message", **TOP}, {"type": "advisor_message", **ADVISOR}]})
os.environ.update(ANTHROPIC_BASE_URL=upstream.url, ANTHROPIC_API_KEY="sk-ant-made-up")

import litellm
from pydantic_ai import Agent

answer = litellm.completion("anthropic/claude-haiku-5-5", messages=[{"role": "user", "content": "Hi"}])
lite = litellm.completion_cost(answer)
agent = Agent("anthropic:claude-haiku-5-5").run_sync("Hi")
pydantic = float(agent.all_messages()[-1].cost().total_price)
listed = (100 * 0.10 + 20 * 0.50 + 20_000 * 4 + 1_000 * 20) / 1_000_000
print(f"list prices {listed:g} USD, litellm {lite:g} USD, pydantic-ai {pydantic:g} USD")
sys.exit((round(lite, 6), round(pydantic, 6)) != (0.00252, 0.00002))
PY
