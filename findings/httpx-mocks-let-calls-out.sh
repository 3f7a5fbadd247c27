#!/usr/bin/env bash
# respx 0.23.1, pytest-httpx 0.36.2 and pook 2.1.6 do not stop the calls of anthropic 2.14.0.
#
# anthropic 0.125.0 sent its requests with httpx; 2.14.0 uses httpx2, a package of its own. The mocks replace parts of
# httpx, so they no longer see the requests. A test suite that was offline sends them to the API with the key that it
# finds in the environment, and pays. pook says nothing; the other two complain only afterwards that a mock was not
# used. opentelemetry-instrumentation-httpx 0.66b2 makes no span for such a call, for the same reason.
#
# Seen on 2026-11-29, a call inside each mock:
#   respx: the upstream answered
#   pytest-httpx: the upstream answered
#   pook: the upstream answered
#   spans of opentelemetry-instrumentation-httpx: 0 for anthropic, 1 for httpx
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q anthropic==2.14.0 httpx==0.28.1 respx==0.23.1 pytest-httpx==0.36.2 pook==2.1.6 \
  opentelemetry-instrumentation-httpx==0.66b2 opentelemetry-sdk==1.45.2
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
cat >"$folder/test_observe.py" <<'PY'
import anthropic
import httpx
import pook
import pytest
import respx
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from upstream import serve

MOCKED = {"id": "msg_mocked", "type": "message", "role": "assistant", "content": [], "model": "claude-opus-5-5"}


@pytest.fixture
def upstream():
    return serve()


def call(upstream):
    client = anthropic.Anthropic(api_key="sk-ant-made-up", base_url=upstream.url)
    return client.messages.create(model="claude-opus-5-5", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])


def report(name, answer, upstream):
    who = "the upstream" if answer.id == "msg_1" and len(upstream.requests) == 1 else "the mock"
    print(f"{name}: {who} answered")
    assert who == "the upstream"


def test_respx(upstream):
    with respx.mock(assert_all_called=False) as router:
        router.route().mock(return_value=httpx.Response(200, json=MOCKED))
        report("respx", call(upstream), upstream)


@pytest.mark.httpx_mock(assert_all_responses_were_requested=False)
def test_pytest_httpx(upstream, httpx_mock):
    httpx_mock.add_response(json=MOCKED)
    report("pytest-httpx", call(upstream), upstream)


def test_pook(upstream):
    with pook.use():
        pook.post(f"{upstream.url}/v1/messages", reply=200, response_json=MOCKED)
        report("pook", call(upstream), upstream)


def test_spans(upstream):
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    call(upstream)
    of_anthropic = len(spans.get_finished_spans())
    httpx.post(f"{upstream.url}/v1/messages", json={"model": "claude-opus-5-5"})
    of_httpx = len(spans.get_finished_spans()) - of_anthropic
    print(f"spans of opentelemetry-instrumentation-httpx: {of_anthropic} for anthropic, {of_httpx} for httpx")
    assert (of_anthropic, of_httpx) == (0, 1)
PY
"$folder/venv/bin/python" -m pytest -p no:cacheprovider -p no:randomly -qs "$folder/test_observe.py" 2>&1 |
  tee "$folder/output" | sed -n 's/^\.*\(respx\|pytest-httpx\|pook\|spans of\)/\1/p'
grep -q '^\.*4 passed\|^4 passed' "$folder/output"
