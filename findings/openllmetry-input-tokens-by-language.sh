#!/usr/bin/env bash
# OpenLLMetry's two editions fill gen_ai.usage.input_tokens differently: Python with the cache, JavaScript without it.
#
# opentelemetry-instrumentation-anthropic 0.62.4 (Python) adds what was read and written to the uncached tokens, as the
# conventions of OpenTelemetry ask; @traceloop/instrumentation-anthropic 0.27.0 (JavaScript) copies the API's field. Both
# have equal attributes for the cache. A team with services in both languages gets spans from one project that no one
# price formula fits: to subtract the cache makes one negative, not to subtract it bills the cache of the other twice.
#
# Seen on 2026-11-29, the same answer (10 uncached, 15,000 read, 3,000 written):
#   Python: input_tokens 18010, read 15000, written 3000
#   JavaScript: input_tokens 10, read 15000, written 3000
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'kill "$upstream" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
python3 "$here/upstream.py" >url &
upstream=$!
python3 -m venv venv
venv/bin/pip install -q anthropic==2.14.0 opentelemetry-instrumentation-anthropic==0.62.4 opentelemetry-sdk==1.45.2
npm install --silent --no-audit --no-fund --legacy-peer-deps @anthropic-ai/sdk@0.137.0 @opentelemetry/api@1.9.0 \
  @opentelemetry/sdk-trace-base@2.12.1 @traceloop/instrumentation-anthropic@0.27.0
export HOME=$folder TRACELOOP_TELEMETRY=false
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
cat >observe.py <<'PY'
import sys

import anthropic
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
AnthropicInstrumentor().instrument(tracer_provider=provider)
client = anthropic.Anthropic(api_key="sk-ant-made-up", base_url=sys.argv[1])
client.messages.create(model="claude-opus-4-8", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
names = ("input_tokens", "cache_read.input_tokens", "cache_creation.input_tokens")
seen = [spans.get_finished_spans()[0].attributes[f"gen_ai.usage.{name}"] for name in names]
print("Python: input_tokens {}, read {}, written {}".format(*seen))
sys.exit(seen != [18010, 15000, 3000])
PY
cat >observe.cjs <<'JS'
const anthropic = require("@anthropic-ai/sdk");
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { AnthropicInstrumentation } = require("@traceloop/instrumentation-anthropic");

const spans = new InMemorySpanExporter();
const instrumentation = new AnthropicInstrumentation();
instrumentation.setTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));
instrumentation.manuallyInstrument(anthropic);
const client = new anthropic.Anthropic({ apiKey: "sk-ant-made-up", baseURL: process.argv[2] });
const call = { model: "claude-opus-4-8", max_tokens: 9, messages: [{ role: "user", content: "Hi" }] };
client.messages.create(call).then(() => {
  const usage = (name) => spans.getFinishedSpans()[0].attributes[`gen_ai.usage.${name}`];
  const seen = ["input_tokens", "cache_read.input_tokens", "cache_creation.input_tokens"].map(usage);
  console.log(`JavaScript: input_tokens ${seen[0]}, read ${seen[1]}, written ${seen[2]}`);
  process.exit(seen.join() === "10,15000,3000" ? 0 : 1);
});
JS
venv/bin/python observe.py "$(cat url)"
node observe.cjs "$(cat url)"
