#!/usr/bin/env bash
# @langchain/anthropic 1.5.11 counts the first event of a stream as output on top of the final count.
#
# The last event of a stream carries the final number of output tokens, which includes what the first event said.
# Adding up the chunks, as LangChain does, counts the first number twice. The lifetimes of the cache writes are in
# response_metadata only; usage_metadata, which tracers price, does not have them.
#
# Seen on 2026-11-29, two equal answers of 7 output tokens; the stream starts with 1:
#   invoke 7, stream 8; usage_metadata of both: {"cache_creation":3000,"cache_read":15000}
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'kill "$upstream" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund @langchain/anthropic@1.5.11 @langchain/core@1.4.0
export HOME=$folder
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
python3 "$here/upstream.py" >url &
upstream=$!
until [ -s url ]; do sleep 0.1; done
cat >observe.mjs <<'JS'
import { ChatAnthropic } from "@langchain/anthropic";

const model = new ChatAnthropic({
  model: "claude-opus-5-5",
  maxTokens: 9,
  apiKey: "sk-ant-made-up",
  anthropicApiUrl: process.argv[2],
});
const plain = (await model.invoke("Hi")).usage_metadata;
let whole;
for await (const chunk of await model.stream("Hi")) whole = whole ? whole.concat(chunk) : chunk;
const streamed = whole.usage_metadata;
const { cache_creation, cache_read } = streamed.input_token_details;
const details = JSON.stringify({ cache_creation, cache_read });
console.log(`invoke ${plain.output_tokens}, stream ${streamed.output_tokens}; usage_metadata of both: ${details}`);
process.exit(plain.output_tokens === 7 && streamed.output_tokens === 8 ? 0 : 1);
JS
node observe.mjs "$(cat url)"
