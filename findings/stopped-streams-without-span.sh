#!/usr/bin/env bash
# opentelemetry-instrumentation-anthropic 0.62.4 makes no span for a stream that the program stops reading.
#
# An answer that is no longer wanted is closed: a chat's stop button, a length limit, the first tool call. The prompt and
# what was generated are billed. The instrumentation ends its span only with the last event that its own wrapper passes
# on, so such a call leaves no span, no tokens and no time. Neither does a stream that is read to its end inside "with",
# which goes round the wrapper. opentelemetry-instrumentation-genai-anthropic 1.3b0 has a span for all three.
#
# Seen on 2026-11-29, anthropic 2.14.0, input tokens in the span of a stream:
#   traceloop: read 18010, closed after one event no span, read inside with no span
#   genai: read 18010, closed after one event 18010, read inside with 18010
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q anthropic==2.14.0 opentelemetry-sdk==1.45.1 \
  opentelemetry-instrumentation-anthropic==0.62.4 opentelemetry-instrumentation-genai-anthropic==1.3b0
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export TRACELOOP_TELEMETRY=false
cat >"$folder/observe.py" <<'PY'
import gc
import importlib
import sys

import anthropic
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from upstream import serve

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
name, module, expected = sys.argv[1:]
importlib.import_module(module).AnthropicInstrumentor().instrument(tracer_provider=provider)
client = anthropic.Anthropic(api_key="sk-ant-made-up", base_url=serve().url)
call = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


def read():
    list(client.messages.create(**call, stream=True))


def close():
    stream = client.messages.create(**call, stream=True)
    next(iter(stream))
    stream.close()


def read_inside_with():
    with client.messages.create(**call, stream=True) as stream:
        list(stream)


def tokens(ask):
    spans.clear()
    ask()
    gc.collect()
    found = [span.attributes["gen_ai.usage.input_tokens"] for span in spans.get_finished_spans()]
    return str(found[0]) if found else "no span"


seen = [tokens(ask) for ask in (read, close, read_inside_with)]
print("{}: read {}, closed after one event {}, read inside with {}".format(name, *seen))
sys.exit(", ".join(seen) != expected)
PY
observe() { "$folder/venv/bin/python" "$folder/observe.py" "$@"; }
observe traceloop opentelemetry.instrumentation.anthropic "18010, no span, no span"
observe genai opentelemetry.instrumentation.genai.anthropic "18010, 18010, 18010"
