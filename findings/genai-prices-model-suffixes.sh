#!/usr/bin/env bash
# genai-prices 0.2.3 finds names with a suffix for Claude models up to 4.8, and raises LookupError for those from 5 on.
#
# Claude Code names a model with the long context "claude-opus-4-8[1m]", and its settings and environment hold that
# name. Older models are found by the beginning of the name, so a suffix does no harm; newer ones by a list of exact
# names. A cost report that works with Opus 4.8 fails on the day its user moves to Opus 5.
#
# Seen on 2026-11-29, USD for 100,000 tokens of input:
#   claude-opus-4-8 0.5, claude-opus-4-8[1m] 0.5
#   claude-sonnet-4-6 0.3, claude-sonnet-4-6[1m] 0.3
#   claude-opus-5 0.5, claude-opus-5[1m] LookupError
#   claude-opus-5-5 0.4, claude-opus-5-5[1m] LookupError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q genai-prices==0.2.3
export HOME=$folder
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import sys

from genai_prices import Usage, calc_price


def price(model):
    try:
        return f"{float(calc_price(Usage(input_tokens=100_000), model, provider_id='anthropic').total_price):g}"
    except LookupError as error:
        return type(error).__name__


seen = []
for model in ("claude-opus-4-8", "claude-sonnet-4-6", "claude-opus-5", "claude-opus-5-5"):
    prices = {name: price(name) for name in (model, f"{model}[1m]")}
    print(", ".join(f"{name} {found}" for name, found in prices.items()))
    seen.append(list(prices.values()))
sys.exit(seen != [["0.5"] * 2, ["0.3"] * 2, ["0.5", "LookupError"], ["0.4", "LookupError"]])
PY
