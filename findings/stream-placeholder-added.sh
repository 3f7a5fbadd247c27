#!/usr/bin/env bash
# opentelemetry-instrumentation-anthropic 0.62.4 counts the placeholder of a stream as output.
#
# The first event of a stream carries a small number of output tokens, and the last event the final count, which
# includes it. The instrumentation adds the two. On short answers, which a router or classifier makes by the thousand,
# that is a large share: recorded answers of the API start with 7 and end with 8.
#
# Seen on 2026-11-29, an answer of 7 output tokens whose stream starts with 1:
#   plain 7, streamed 8
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
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from upstream import serve

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
AnthropicInstrumentor().instrument(tracer_provider=provider)
client = anthropic.Anthropic(api_key="sk-ant-made-up", base_url=serve().url)
call = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
client.messages.create(**call)
list(client.messages.create(**call, stream=True))
plain, streamed = [span.attributes["gen_ai.usage.output_tokens"] for span in spans.get_finished_spans()]
print(f"plain {plain}, streamed {streamed}")
sys.exit((plain, streamed) != (7, 8))
PY
