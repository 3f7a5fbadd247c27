#!/usr/bin/env bash
# litellm 1.110.2 prices one-hour cache writes of a batch as five-minute writes.
#
# A one-hour write costs 2 times the input price, a five-minute write 1.25 times; in a batch both are halved. The cost
# that litellm computes for the results of a batch is the same whichever of the two the usage reports. Batches often
# take longer than five minutes, so the one-hour cache is what the vendor recommends for them.
#
# Seen on 2026-11-29, claude-opus-5-5, 100,000 tokens written:
#   1h: litellm 0.25 USD, list price 0.4 USD; 5m: litellm 0.25 USD, list price 0.25 USD
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q litellm==1.110.2
export HOME=$folder LITELLM_LOCAL_MODEL_COST_MAP=True
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import sys

from litellm.batches.batch_utils import batch_cost_and_usage

WRITTEN = 100_000


def cost(ttl):
    split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0, f"ephemeral_{ttl}_input_tokens": WRITTEN}
    usage = {"input_tokens": 0, "cache_creation_input_tokens": WRITTEN, "cache_read_input_tokens": 0,
             "output_tokens": 0, "cache_creation": split, "service_tier": "batch"}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "usage": usage,
               "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"}
    line = {"custom_id": "a", "result": {"type": "succeeded", "message": message}}
    return batch_cost_and_usage([line], custom_llm_provider="anthropic", model_name="claude-opus-5-5").cost


listed = {"1h": WRITTEN * 4e-6 * 2 / 2, "5m": WRITTEN * 4e-6 * 1.25 / 2}
print("; ".join(f"{ttl}: litellm {cost(ttl):g} USD, list price {listed[ttl]:g} USD" for ttl in listed))
sys.exit([round(cost(ttl), 6) for ttl in listed] != [0.25, 0.25])
PY
