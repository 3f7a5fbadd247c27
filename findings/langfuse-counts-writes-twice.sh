#!/usr/bin/env bash
# langfuse 5.0.4 with langchain-anthropic 1.7.10: cache writes stand twice in the usage details of a plain call.
#
# The handler takes the API's own usage when the call is not streamed. It passes on the total of the cache writes and
# also its two parts, by lifetime, as separate kinds of tokens; Langfuse prices and adds up every kind. The same call,
# streamed, comes with other names and without the parts, so no price definition fits both.
#
# Seen on 2026-11-29, an answer of 18,017 tokens:
#   plain: {'cache_creation_input_tokens': 3000, 'cache_read_input_tokens': 15000, 'input': 10, 'output': 7,
#     'cache_creation_ephemeral_1h_input_tokens': 2000, 'cache_creation_ephemeral_5m_input_tokens': 1000}, sum 21017
#   streamed: {'input': 10, 'output': 7, 'input_cache_creation': 3000, 'input_cache_read': 15000}, sum 18017
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q langfuse==5.0.4 langchain==1.5.2 langchain-anthropic==1.7.10 opentelemetry-sdk==1.45.2
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export LANGSMITH_TRACING=false
"$folder/venv/bin/python" - <<'PY'
import json
import os
import sys

from langchain_anthropic import ChatAnthropic
from langfuse import Langfuse
from langfuse.langchain import CallbackHandler
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from upstream import serve

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
Langfuse(tracer_provider=provider, public_key="pk-made-up", secret_key="sk-made-up", host="http://127.0.0.1:9")
model = ChatAnthropic(model="claude-opus-5-5", max_tokens=9, base_url=serve().url, api_key="sk-ant-made-up")
config = {"callbacks": [CallbackHandler()]}


def observe(label):
    for span in spans.get_finished_spans():
        if "langfuse.observation.usage_details" in span.attributes:
            details = json.loads(span.attributes["langfuse.observation.usage_details"])
    details.pop("total", None)
    print(f"{label}: {details}, sum {sum(details.values())}", flush=True)
    spans.clear()
    return sum(details.values())


model.invoke("Hi", config=config)
plain = observe("plain")
list(model.stream("Hi", config=config))
streamed = observe("streamed")
os._exit((plain, streamed) != (21017, 18017))  # without waiting for an exporter that reaches nothing
PY
