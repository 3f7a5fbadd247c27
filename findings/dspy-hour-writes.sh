#!/usr/bin/env bash
# dspy 3.4.1 prices one-hour cache writes as five-minute writes, although the litellm under it does not.
#
# dspy sends Anthropic requests with a client of its own and hands litellm a usage without the lifetimes. The cost in
# lm.history, which optimisers and budgets read, is a quarter too low; litellm alone prices the same answer right.
#
# Seen on 2026-11-29, claude-opus-5-5, list price 0.02418 USD:
#   litellm 0.02418 USD, dspy 0.01818 USD
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dspy==3.4.1 litellm==1.110.2
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export LITELLM_LOCAL_MODEL_COST_MAP=True DSPY_CACHEDIR=$folder
"$folder/venv/bin/python" - <<'PY'
import sys

import dspy
import litellm
from upstream import serve

options = {"api_base": serve().url, "api_key": "sk-ant-made-up"}
answer = litellm.completion("anthropic/claude-opus-5-5", messages=[{"role": "user", "content": "Hi"}], **options)
alone = litellm.completion_cost(answer)
lm = dspy.LM("anthropic/claude-opus-5-5", cache=False, **options)
lm("Hi")
through = lm.history[-1]["cost"]
print(f"litellm {alone:g} USD, dspy {through:g} USD")
sys.exit((round(alone, 6), round(through, 6)) != (0.02418, 0.01818))
PY
