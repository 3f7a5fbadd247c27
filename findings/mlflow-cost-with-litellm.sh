#!/usr/bin/env bash
# mlflow 3.17.2 shows another cost for the same call once litellm 1.110.2 is installed beside it.
#
# MLflow has prices of its own and uses them when litellm cannot be imported. Its own prices know one-hour cache writes,
# and its traces record them. When litellm is there, MLflow asks litellm and leaves the one-hour part out, so every
# write costs as much as a five-minute one. The budgets of MLflow's gateway use the same function. Installing another
# library lowers the reported cost by a quarter.
#
# Seen on 2026-11-29, claude-opus-5-5, list price 0.02418 USD:
#   without litellm: 0.02418 USD
#   with litellm: 0.01818 USD
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlflow-skinny==3.17.2
"$folder/venv/bin/pip" install -q --no-deps mlflow==3.17.2
cat >"$folder/observe.py" <<'PY'
import sys

from mlflow.tracing.utils import calculate_cost_by_model_and_token_usage

USAGE = {  # as mlflow.anthropic.autolog records it
    "input_tokens": 18010,
    "output_tokens": 7,
    "total_tokens": 18017,
    "cache_read_input_tokens": 15000,
    "cache_creation_input_tokens": 3000,
    "cache_creation_input_tokens_above_1hr": 2000,
}
label, expected = sys.argv[1], float(sys.argv[2])
cost = calculate_cost_by_model_and_token_usage("claude-opus-5-5", USAGE, "anthropic")["total_cost"]
print(f"{label} litellm: {cost:g} USD")
sys.exit(round(cost, 6) != expected)
PY
export HOME=$folder LITELLM_LOCAL_MODEL_COST_MAP=True
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
observe() { "$folder/venv/bin/python" "$folder/observe.py" "$@"; }
observe without 0.02418
"$folder/venv/bin/pip" install -q litellm==1.110.2
observe with 0.01818
