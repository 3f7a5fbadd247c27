#!/usr/bin/env bash
# genai-prices 0.2.3 finds a plain model id under the provider aws in the regional row, which is 10 % dearer.
#
# Claude Platform on AWS takes the same ids as the vendor's own API (claude-opus-5-5) and bills the same prices. Only a
# regional Bedrock endpoint costs 10 % more. Asked for the plain id with provider_id="aws", genai-prices answers with
# the row of the regional endpoint, and nothing in the result but its id says so.
#
# Seen on 2026-11-29, one million tokens of input:
#   anthropic claude-opus-5-5: 4 USD (claude-opus-5-5)
#   aws claude-opus-5-5: 4.4 USD (regional.anthropic.claude-opus-5-5)
#   aws global.anthropic.claude-opus-5-5: 4 USD (global.anthropic.claude-opus-5-5)
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

ASKED = [
    ("anthropic", "claude-opus-5-5"),
    ("aws", "claude-opus-5-5"),
    ("aws", "global.anthropic.claude-opus-5-5"),
]
seen = []
for provider, model in ASKED:
    price = calc_price(Usage(input_tokens=1_000_000), model, provider_id=provider)
    print(f"{provider} {model}: {float(price.total_price):g} USD ({price.model.id})")
    seen.append(float(price.total_price))
sys.exit(seen != [4.0, 4.4, 4.0])
PY
