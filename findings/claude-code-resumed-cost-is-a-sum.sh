#!/usr/bin/env bash
# Claude Code 2.1.332: total_cost_usd of a resumed or forked "claude -p" includes the runs before it; 2.1.197 did not.
#
# With --output-format json each run prints its cost, and job runners add these up for a session that they continue with
# --resume. In 2.1.197 that sum was the bill. In 2.1.332 the second run repeats the cost of the first, the third that of
# both, and a fork starts with the cost of its origin, although it is another session. The usage and num_turns beside it
# still speak of the run alone, so one object has two scopes, and modelUsage goes with the sum. Three runs and one fork
# that cost 0.1359 USD add up to 0.34 USD.
#
# Seen on 2026-11-29, Linux on x64, four equal answers of claude-opus-4-8 that cost 0.033975 USD each:
#   2.1.197 first: total_cost_usd 0.033975, usage.output_tokens 7, modelUsage output 7
#   2.1.197 resumed: total_cost_usd 0.033975, usage.output_tokens 7, modelUsage output 7
#   2.1.197 resumed again: total_cost_usd 0.033975, usage.output_tokens 7, modelUsage output 7
#   2.1.197 forked: total_cost_usd 0.033975, usage.output_tokens 7, modelUsage output 7
#   2.1.332 first: total_cost_usd 0.033975, usage.output_tokens 7, modelUsage output 7
#   2.1.332 resumed: total_cost_usd 0.06795, usage.output_tokens 7, modelUsage output 14
#   2.1.332 resumed again: total_cost_usd 0.101925, usage.output_tokens 7, modelUsage output 21
#   2.1.332 forked: total_cost_usd 0.1359, usage.output_tokens 7, modelUsage output 28
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'kill "$upstream" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
python3 "$here/upstream.py" >url &
upstream=$!
mkdir 2.1.197 2.1.332
npm install --silent --no-audit --no-fund --force --prefix 2.1.197 @anthropic-ai/claude-code@2.1.197
npm install --silent --no-audit --no-fund --force --prefix 2.1.332 @anthropic-ai/claude-code@2.1.332 \
  @anthropic-ai/claude-code-linux-x64@2.1.332
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME ANTHROPIC_AUTH_TOKEN
export ANTHROPIC_BASE_URL=$(cat url) ANTHROPIC_API_KEY=sk-ant-made-up
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1
cat >observe.py <<'PY'
import json
import os
import pathlib
import subprocess
import sys


def run(version, *options):
    home = pathlib.Path(version, "home").absolute()
    home.mkdir(exist_ok=True)
    command = ["../node_modules/.bin/claude", "-p", "Hi", "--model", "claude-opus-4-8", "--output-format", "json"]
    environment = {**os.environ, "HOME": str(home), "CLAUDE_CONFIG_DIR": str(home / ".claude")}
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    done = subprocess.run([*command, *options], cwd=home, env=environment, timeout=300, **streams)
    return json.loads(done.stdout)


seen = []
for version in ("2.1.197", "2.1.332"):
    first = run(version)
    resume = ("--resume", first["session_id"])
    runs = {"first": first, "resumed": run(version, *resume), "resumed again": run(version, *resume)}
    runs["forked"] = run(version, *resume, "--fork-session")
    for label, result in runs.items():
        cost, [model] = round(result["total_cost_usd"], 6), result["modelUsage"].values()
        print(f"{version} {label}: total_cost_usd {cost:g}, usage.output_tokens {result['usage']['output_tokens']}, "
              f"modelUsage output {model['outputTokens']}")
        seen.append(cost)
sys.exit(seen != [0.033975] * 4 + [0.033975, 0.06795, 0.101925, 0.1359])
PY
python3 observe.py
