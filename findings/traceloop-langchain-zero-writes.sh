#!/usr/bin/env bash
# opentelemetry-instrumentation-langchain 0.62.4 reports zero cache writes for a plain call that wrote 3,000 tokens.
#
# langchain-anthropic 1.7.10 moves the writes to two entries by lifetime and sets cache_creation to 0, so that nobody
# counts them twice. The instrumentation reads cache_creation alone. A streamed call has no lifetimes, so there the same
# attribute is right: whether the writes are seen depends on how the answer was delivered.
#
# Seen on 2026-11-29, gen_ai.usage.cache_creation.input_tokens of two equal answers:
#   plain 0, streamed 3000
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opentelemetry-instrumentation-langchain==0.62.4 langchain-anthropic==1.7.10 \
  langchain==1.5.2 opentelemetry-sdk==1.45.2
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export LANGSMITH_TRACING=false TRACELOOP_TELEMETRY=false
"$folder/venv/bin/python" - <<'PY'
import sys

from langchain_anthropic import ChatAnthropic
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from upstream import serve

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
LangchainInstrumentor().instrument(tracer_provider=provider)
model = ChatAnthropic(model="claude-opus-5-5", max_tokens=9, base_url=serve().url, api_key="sk-ant-made-up")
model.invoke("Hi")
list(model.stream("Hi"))
name = "gen_ai.usage.cache_creation.input_tokens"
plain, streamed = [span.attributes[name] for span in spans.get_finished_spans() if name in span.attributes]
print(f"plain {plain}, streamed {streamed}")
sys.exit((plain, streamed) != (0, 3000))
PY
