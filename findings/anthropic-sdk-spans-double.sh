#!/usr/bin/env bash
# anthropic 2.14.0 makes OpenTelemetry spans of its own; with the usual instrumentation one call becomes two spans.
#
# As soon as a tracer provider is set, the SDK records each call. Whoever already uses
# opentelemetry-instrumentation-anthropic 0.62.4 gets a second span of the same call, and a dashboard that adds up
# tokens or cost doubles. The two name the cache writes differently, and only the SDK tells 5m from 1h.
#
# Seen on 2026-11-29, one call:
#   com.anthropic.sdk.python: {'input_tokens': 18010, 'cache_write.input_tokens': 3000, 'cache_read.input_tokens': 15000,
#     'output_tokens': 7}
#   opentelemetry.instrumentation.anthropic: {'input_tokens': 18010, 'output_tokens': 7, 'total_tokens': 18017,
#     'cache_read.input_tokens': 15000, 'cache_creation.input_tokens': 3000}
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q anthropic==2.14.0 opentelemetry-instrumentation-anthropic==0.62.4 opentelemetry-sdk==1.45.2
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export TRACELOOP_TELEMETRY=false
"$folder/venv/bin/python" - <<'PY'
import sys

import anthropic
from opentelemetry import trace
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from upstream import serve

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
AnthropicInstrumentor().instrument()
client = anthropic.Anthropic(api_key="sk-ant-made-up", base_url=serve().url)
client.messages.create(model="claude-opus-5-5", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
seen = {}
for span in spans.get_finished_spans():
    attributes = span.attributes.items()
    usage = {k.removeprefix("gen_ai.usage."): v for k, v in attributes if k.startswith("gen_ai.usage.")}
    print(f"{span.instrumentation_scope.name}: {usage}")
    seen[span.instrumentation_scope.name] = usage["input_tokens"]
sys.exit(seen != {"com.anthropic.sdk.python": 18010, "opentelemetry.instrumentation.anthropic": 18010})
PY
