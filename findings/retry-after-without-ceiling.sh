#!/usr/bin/env bash
# anthropic 2.14.0 sleeps as long as retry-after says; anthropic 0.125.0 ignored what is longer than a minute.
#
# A gateway that answers a spent hourly budget with the seconds until the next hour did not delay programs with the old
# SDK: they tried again within seconds and raised RateLimitError. With the new one, and its default of two retries, the
# same answer keeps a script waiting for two hours, in silence, on each call. max_retries=0 prevents it.
#
# Seen on 2026-11-29, retry-after 3600 (the sleep itself is replaced):
#   anthropic 0.125.0: 3 requests, slept under 10 seconds
#   anthropic 2.14.0: 3 requests, slept 7200 seconds
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cat >"$folder/observe.py" <<'PY'
import sys
import time

import anthropic
from upstream import serve

upstream, slept = serve(), []
upstream.status, upstream.headers = 429, {"retry-after": "3600"}
time.sleep = slept.append
client = anthropic.Anthropic(api_key="sk-ant-made-up", base_url=upstream.url)
try:
    client.messages.create(model="claude-opus-5-5", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
except anthropic.RateLimitError:
    total = f"{sum(slept):.0f}" if sum(slept) >= 10 else "under 10"
    print(f"anthropic {anthropic.__version__}: {len(upstream.requests)} requests, slept {total} seconds")
    sys.exit(total != sys.argv[1])
PY
for case in "0.125.0:under 10" "2.14.0:7200"; do
  "$folder/venv/bin/pip" install -q "anthropic==${case%%:*}"
  HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 "$folder/venv/bin/python" "$folder/observe.py" "${case#*:}"
done
