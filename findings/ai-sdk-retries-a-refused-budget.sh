#!/usr/bin/env bash
# ai 7.0.173 with @ai-sdk/anthropic 4.0.105 repeats a 429 that says "x-should-retry: false"; it obeys a 402.
#
# The vendor's own SDKs stop at that header. The AI SDK looks at the status alone: a gateway that refuses a spent budget
# with 429 is asked three times, over six seconds, by each call of each user. With 402 and the same body it is asked
# once. Neither is wrong HTTP, but a gateway can only stop such a client by the choice of its status.
#
# Seen on 2026-11-29:
#   429: 3 requests, AI_RetryError
#   402: 1 request, AI_APICallError
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'kill "$upstream" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund ai@7.0.173 @ai-sdk/anthropic@4.0.105
export HOME=$folder
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
python3 "$here/upstream.py" >url &
upstream=$!
until [ -s url ]; do sleep 0.1; done
cat >observe.mjs <<'JS'
import { createServer } from "node:http";
import { createAnthropic } from "@ai-sdk/anthropic";
import { generateText } from "ai";

let status, requests;
const server = createServer((request, response) => {
  requests += 1;
  request.resume();
  response.writeHead(status, { "content-type": "application/json", "x-should-retry": "false" });
  response.end(JSON.stringify({ type: "error", error: { type: "billing_error", message: "budget is spent" } }));
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.on("listening", resolve));
const baseURL = `http://127.0.0.1:${server.address().port}/v1`;
const model = createAnthropic({ apiKey: "sk-ant-made-up", baseURL })("claude-opus-5-5");
const seen = [];
for (status of [429, 402]) {
  requests = 0;
  const error = await generateText({ model, prompt: "Hi" }).catch((reason) => reason);
  console.log(`${status}: ${requests} request${requests === 1 ? "" : "s"}, ${error.name}`);
  seen.push(requests);
}
server.close();
process.exit(seen.join() === "3,1" ? 0 : 1);
JS
node observe.mjs "$(cat url)"
