#!/usr/bin/env bash
# Three tracers lose the tokens of a call whose answer's headers are read; which form is lost differs.
#
# The SDK gives access to headers, where rate limits and a gateway's budget stand, through with_raw_response and
# with_streaming_response. A program that begins to watch its limits this way disappears from the token statistics:
# opentelemetry-instrumentation-anthropic 0.62.4 even reports zero for a streamed raw response, openinference 3.1.0 and
# logfire 5.4.0 report nothing. opentelemetry-instrumentation-genai-anthropic 1.3b0 reports all of them.
#
# Seen on 2026-11-29, anthropic 2.14.0, input tokens of a prompt of 18,010 tokens, per tracer:
#   traceloop: raw 18010, raw stream 0, streaming response 18010
#   openinference: raw 18010, raw stream None, streaming response None
#   logfire: raw None, raw stream 18010, streaming response None
#   genai: raw 18010, raw stream 18010, streaming response 18010
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q anthropic==2.14.0 opentelemetry-sdk==1.45.1 logfire==5.4.0 \
  opentelemetry-instrumentation-anthropic==0.62.4 openinference-instrumentation-anthropic==3.1.0 \
  opentelemetry-instrumentation-genai-anthropic==1.3b0
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export TRACELOOP_TELEMETRY=false
cat >"$folder/observe.py" <<'PY'
import sys

import anthropic
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from upstream import serve

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
client = anthropic.Anthropic(api_key="sk-ant-made-up", base_url=serve().url)
call = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


def instrument(tracer):
    if tracer == "logfire":
        import logfire

        processors = [SimpleSpanProcessor(spans)]
        logfire.configure(send_to_logfire=False, console=False, additional_span_processors=processors)
        logfire.instrument_anthropic(client)
        return
    if tracer == "traceloop":
        from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
    elif tracer == "openinference":
        from openinference.instrumentation.anthropic import AnthropicInstrumentor
    else:
        from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
    AnthropicInstrumentor().instrument(tracer_provider=provider)


def raw():
    client.messages.with_raw_response.create(**call).parse()


def raw_stream():
    list(client.messages.with_raw_response.create(**call, stream=True).parse())


def streaming_response():
    with client.messages.with_streaming_response.create(**call) as response:
        response.parse()


def tokens(ask):
    spans.clear()
    ask()
    names = ("gen_ai.usage.input_tokens", "llm.token_count.prompt")
    found = [one.attributes[name] for one in spans.get_finished_spans() for name in names if name in one.attributes]
    return found[0] if found else None


tracer, expected = sys.argv[1:]
instrument(tracer)
seen = [tokens(ask) for ask in (raw, raw_stream, streaming_response)]
print("{}: raw {}, raw stream {}, streaming response {}".format(tracer, *seen))
sys.exit(" ".join(map(str, seen)) != expected)
PY
"$folder/venv/bin/python" "$folder/observe.py" traceloop "18010 0 18010"
"$folder/venv/bin/python" "$folder/observe.py" openinference "18010 None None"
"$folder/venv/bin/python" "$folder/observe.py" logfire "None 18010 None"
"$folder/venv/bin/python" "$folder/observe.py" genai "18010 18010 18010"
