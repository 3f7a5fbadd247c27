#!/usr/bin/env bash
# aisuite 0.2.0 and @tanstack/ai-anthropic 0.18.11 report more cached tokens than prompt tokens for a Messages API answer.
#
# Both use the form of OpenAI, where the cached tokens are a part of the prompt tokens, and fill it with the numbers of
# the Messages API, where the two exclude each other. A cost formula for that form gets a negative number of uncached
# tokens, and a hit rate of 150,000 %; the total of the call lacks the cached prompt. aisuite drops what was written.
#
# Seen on 2026-11-29, a prompt of 18,010 tokens (10 uncached, 15,000 read, 3,000 written):
#   aisuite: prompt 10, cached 15000, total 17
#   @tanstack/ai-anthropic: prompt 10, cached 15000, total 17
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'kill "$upstream" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
python3 "$here/upstream.py" >url &
upstream=$!
python3 -m venv venv
venv/bin/pip install -q aisuite==0.2.0 anthropic==0.125.0
npm install --silent --no-audit --no-fund --legacy-peer-deps @tanstack/ai-anthropic@0.18.11 @tanstack/ai@0.58.0
export HOME=$folder ANTHROPIC_API_KEY=sk-ant-made-up
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
cat >observe.py <<'PY'
import os
import sys

os.environ["ANTHROPIC_BASE_URL"] = sys.argv[1]
import aisuite

call = {"model": "anthropic:claude-opus-4-8", "messages": [{"role": "user", "content": "Hi"}]}
usage = aisuite.Client().chat.completions.create(**call).usage
seen = [usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.total_tokens]
print("aisuite: prompt {}, cached {}, total {}".format(*seen))
sys.exit(seen != [10, 15000, 17])
PY
cat >observe.mjs <<'JS'
import { chat } from "@tanstack/ai";
import { createAnthropicChat } from "@tanstack/ai-anthropic";

const adapter = createAnthropicChat("claude-opus-4-8", "sk-ant-made-up", { baseURL: process.argv[2] });
let usage;
for await (const chunk of chat({ adapter, messages: [{ role: "user", content: "Hi" }] })) usage = chunk.usage ?? usage;
const seen = [usage.promptTokens, usage.promptTokensDetails.cachedTokens, usage.totalTokens];
console.log(`@tanstack/ai-anthropic: prompt ${seen[0]}, cached ${seen[1]}, total ${seen[2]}`);
process.exit(seen.join() === "10,15000,17" ? 0 : 1);
JS
venv/bin/python observe.py "$(cat url)"
node observe.mjs "$(cat url)"
