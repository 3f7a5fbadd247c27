#!/usr/bin/env bash
# @traceloop/instrumentation-anthropic 0.27.0 lets no program start that uses @anthropic-ai/sdk 1.14.0.
#
# The instrumentation says that it supports the SDK from 0.9.1 on, without an upper end, and changes a class that 1.14.0
# no longer has (Completions). The error is raised inside require() of the SDK, so it is not the trace that is missing:
# the program ends with a TypeError that names neither package. With SDK 0.137.0 the call is traced.
#
# Seen on 2026-11-29:
#   @anthropic-ai/sdk 0.137.0: 1 span
#   @anthropic-ai/sdk 1.14.0: TypeError: Cannot read properties of undefined (reading 'prototype')
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'kill "$upstream" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
python3 "$here/upstream.py" >url &
upstream=$!
cat >observe.cjs <<'JS'
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { AnthropicInstrumentation } = require("@traceloop/instrumentation-anthropic");

const [url, version, expected] = process.argv.slice(2);
const spans = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
registerInstrumentations({ instrumentations: [new AnthropicInstrumentation()], tracerProvider });

async function observe() {
  const { Anthropic } = require("@anthropic-ai/sdk");
  const client = new Anthropic({ apiKey: "sk-ant-made-up", baseURL: url });
  const messages = [{ role: "user", content: "Hi" }];
  await client.messages.create({ model: "claude-opus-4-8", max_tokens: 9, messages });
  return `${spans.getFinishedSpans().length} span`;
}

observe().catch((error) => `${error.name}: ${error.message}`).then((outcome) => {
  console.log(`@anthropic-ai/sdk ${version}: ${outcome}`);
  process.exit(outcome.startsWith(expected) ? 0 : 1);
});
JS
observe() {
  npm install --silent --no-audit --no-fund --legacy-peer-deps "@anthropic-ai/sdk@$1" \
    @traceloop/instrumentation-anthropic@0.27.0 @opentelemetry/api@1.9.0 @opentelemetry/instrumentation@0.203.0 \
    @opentelemetry/sdk-trace-base@2.12.1
  HOME=$folder node observe.cjs "$(cat url)" "$@"
}
observe 0.137.0 "1 span"
observe 1.14.0 TypeError
