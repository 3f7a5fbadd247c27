#!/usr/bin/env bash
# tokenlens 1.3.1 and tokentally 0.1.7 price a cached prompt as if nothing of it was cached when ai 7.0.173 counted it.
#
# Both are made for the usage of the AI SDK, whose inputTokens is the whole prompt. Version 7 says what of it was read
# and written in inputTokenDetails only, a field that neither of them reads: a read costs ten times what is billed.
# Version 6 also had cachedInputTokens; then tokenlens charges the whole prompt at the full price and the read tokens
# once more. From the raw usage of the API, which the AI SDK keeps in providerMetadata, tokentally does see the cache, but
# it has one price for the writes of both lifetimes.
#
# Seen on 2026-11-29, claude-opus-4-1, 18,010 tokens of prompt (15,000 read, 3,000 written), list price 0.101925 USD:
#   ai 6: tokenlens 0.293175 USD
#   ai 7: tokenlens 0.270675 USD
#   ai 7: tokentally 0.270675 USD
#   raw usage: tokentally 0.079425 USD
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'kill "$upstream" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund tokenlens@1.3.1 tokentally@0.1.7 ai6@npm:ai@6.0.326 ai7@npm:ai@7.0.173 \
  anthropic6@npm:@ai-sdk/anthropic@3.0.140 anthropic7@npm:@ai-sdk/anthropic@4.0.105
export HOME=$folder
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
python3 "$here/upstream.py" >url &
upstream=$!
until [ -s url ]; do sleep 0.1; done
cat >observe.mjs <<'JS'
import { generateText as generateText6 } from "ai6";
import { generateText as generateText7 } from "ai7";
import { createAnthropic as createAnthropic6 } from "anthropic6";
import { createAnthropic as createAnthropic7 } from "anthropic7";
import { getUsage } from "tokenlens";
import { estimateUsdCost, normalizeTokenUsage, pricingFromUsdPerMillion } from "tokentally";

const options = { apiKey: "sk-ant-made-up", baseURL: `${process.argv[2]}/v1` };
const model = "claude-opus-4-1";
const six = await generateText6({ model: createAnthropic6(options)(model), prompt: "Hi" });
const seven = await generateText7({ model: createAnthropic7(options)(model), prompt: "Hi" });
const pricing = pricingFromUsdPerMillion({
  inputUsdPerMillion: 15,
  outputUsdPerMillion: 75,
  cachedInputUsdPerMillion: 1.5,
  cacheCreationInputUsdPerMillion: 18.75,
});
const tokenlens = (usage) => getUsage({ modelId: `anthropic:${model}`, usage }).costUSD.totalUSD;
const tokentally = (usage) => estimateUsdCost({ usage: normalizeTokenUsage(usage), pricing }).totalUsd;
const seen = {
  "ai 6: tokenlens": tokenlens(six.usage),
  "ai 7: tokenlens": tokenlens(seven.usage),
  "ai 7: tokentally": tokentally(seven.usage),
  "raw usage: tokentally": tokentally(seven.providerMetadata.anthropic.usage),
};
for (const [name, cost] of Object.entries(seen)) console.log(`${name} ${cost.toFixed(6)} USD`);
const costs = Object.values(seen).map((cost) => cost.toFixed(6));
process.exit(costs.join() === "0.293175,0.270675,0.270675,0.079425" ? 0 : 1);
JS
node observe.mjs "$(cat url)"
