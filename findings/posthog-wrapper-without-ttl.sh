#!/usr/bin/env bash
# posthog 7.91.1: its Anthropic wrapper does not send how long cached tokens live; its LangChain handler does.
#
# PostHog prices a generation from the properties of the event, and a one-hour cache write costs 60 % more than a
# five-minute one. The two integrations of one package describe the same answer differently: only the handler sends
# $ai_cache_creation_5m_input_tokens and $ai_cache_creation_1h_input_tokens, and only when the call was not streamed.
#
# Seen on 2026-11-29:
#   Anthropic wrapper: written 3000, 5m None, 1h None
#   LangChain handler: written 3000, 5m 1000, 1h 2000
#   LangChain handler, streamed: written 3000, 5m None, 1h None
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q posthog==7.91.1 anthropic==2.14.0 langchain-anthropic==1.7.10
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
export LANGSMITH_TRACING=false
"$folder/venv/bin/python" - <<'PY'
import sys

from langchain_anthropic import ChatAnthropic
from posthog.ai.anthropic import Anthropic
from posthog.ai.langchain import CallbackHandler
from upstream import serve


class Recorder:
    """Takes the place of the PostHog client and keeps the last event."""

    privacy_mode = False

    def capture(self, *_, properties, **__):
        self.last = properties


client, upstream, seen = Recorder(), serve(), []


def observe(label):
    names = ("", "_5m", "_1h")
    tokens = [client.last.get(f"$ai_cache_creation{name}_input_tokens") for name in names]
    print(f"{label}: written {tokens[0]}, 5m {tokens[1]}, 1h {tokens[2]}")
    seen.append(tokens)


wrapped = Anthropic(posthog_client=client, api_key="sk-ant-made-up", base_url=upstream.url)
wrapped.messages.create(model="claude-opus-5-5", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
observe("Anthropic wrapper")
handler = {"callbacks": [CallbackHandler(client=client)]}
model = ChatAnthropic(model="claude-opus-5-5", max_tokens=9, base_url=upstream.url, api_key="sk-ant-made-up")
model.invoke("Hi", config=handler)
observe("LangChain handler")
list(model.stream("Hi", config=handler))
observe("LangChain handler, streamed")
sys.exit(seen != [[3000, None, None], [3000, 1000, 2000], [3000, None, None]])
PY
