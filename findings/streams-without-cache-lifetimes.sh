#!/usr/bin/env bash
# langchain-anthropic 1.7.10 and mirascope 2.8.2 lose the lifetimes of cache writes in streams.
#
# In calls that are not streamed both have how many tokens were written for 5 minutes and for 1 hour, which cost 1.25 and 2
# times the input price. In streams they have only the sum, although the API sends the split in the first event. LangChain
# also spells the same writes in two ways: with the split the sum is 0. Whoever prices both calls by the same field gets two
# costs for two equal answers, one of them without the writes.
#
# Seen on 2026-11-29, two equal answers with 1,000 tokens written for 5 minutes and 2,000 for 1 hour:
#   langchain-anthropic invoke: cache_creation 0, 5m 1000, 1h 2000
#   langchain-anthropic stream: cache_creation 3000, 5m None, 1h None
#   mirascope call: cache_write_tokens 3000, 5m 1000, 1h 2000
#   mirascope stream: cache_write_tokens 3000, 5m None, 1h None
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q langchain-anthropic==1.7.10 'mirascope[anthropic]==2.8.2'
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 ANTHROPIC_API_KEY=sk-ant-made-up
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME ANTHROPIC_AUTH_TOKEN
"$folder/venv/bin/python" - <<'PY'
import os
import sys

from upstream import serve

os.environ["ANTHROPIC_BASE_URL"] = url = serve().url

from langchain_anthropic import ChatAnthropic
from mirascope import llm

seen = []


def report(name, written, five, hour):
    print(f"{name} {written}, 5m {five}, 1h {hour}")
    seen.append((written, five, hour))


def by_langchain(name, message):
    details = message.usage_metadata["input_token_details"]
    lifetimes = (details.get(f"ephemeral_{lifetime}_input_tokens") for lifetime in ("5m", "1h"))
    report(f"langchain-anthropic {name}: cache_creation", details["cache_creation"], *lifetimes)


def by_mirascope(name, usage):
    split = getattr(usage.raw, "cache_creation", None)
    lifetimes = (getattr(split, f"ephemeral_{lifetime}_input_tokens", None) for lifetime in ("5m", "1h"))
    report(f"mirascope {name}: cache_write_tokens", usage.cache_write_tokens, *lifetimes)


model = ChatAnthropic(model="claude-opus-5-5", max_tokens=9, base_url=url)
by_langchain("invoke", model.invoke("Hi"))
whole = None
for chunk in model.stream("Hi"):
    whole = chunk if whole is None else whole + chunk
by_langchain("stream", whole)


@llm.call("anthropic/claude-opus-5-5", max_tokens=9)
def greet():
    return "Hi"


by_mirascope("call", greet().usage)
stream = greet.stream()
for _ in stream.text_stream():
    pass
by_mirascope("stream", stream.usage)
sys.exit(seen != [(0, 1000, 2000), (3000, None, None), (3000, 1000, 2000), (3000, None, None)])
PY
