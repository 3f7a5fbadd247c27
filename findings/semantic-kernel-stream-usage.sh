#!/usr/bin/env bash
# semantic-kernel 1.45.0 keeps the cached tokens of a plain answer and drops those of a streamed one.
#
# The metadata of a plain answer has the API's whole usage. The metadata of a stream has input and output tokens only,
# so of a prompt of 18,010 tokens it shows 10. A chat that streams seems to cost almost nothing.
#
# Seen on 2026-11-29:
#   plain: input_tokens 10, read 15000, written 3000
#   streamed: {'input_tokens': 10, 'output_tokens': 7}
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q semantic-kernel==1.45.0 anthropic==2.14.0
export HOME=$folder PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"$folder/venv/bin/python" - <<'PY'
import asyncio
import sys

import anthropic
from semantic_kernel.connectors.ai.anthropic import AnthropicChatCompletion, AnthropicChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory
from upstream import serve


async def observe():
    client = anthropic.AsyncAnthropic(api_key="sk-ant-made-up", base_url=serve().url)
    service = AnthropicChatCompletion(ai_model_id="claude-opus-5-5", api_key="sk-ant-made-up", async_client=client)
    settings, history = AnthropicChatPromptExecutionSettings(max_tokens=9), ChatHistory()
    history.add_user_message("Hi")
    plain = (await service.get_chat_message_content(history, settings)).metadata["usage"]
    print(f"plain: input_tokens {plain.input_tokens}, read {plain.cache_read_input_tokens}, "
          f"written {plain.cache_creation_input_tokens}")
    async for chunk in service.get_streaming_chat_message_content(history, settings):
        streamed = chunk.metadata.get("usage") or streamed
    streamed = {name: value for name, value in dict(streamed).items() if value}
    print(f"streamed: {streamed}")
    return plain.cache_read_input_tokens == 15000 and streamed == {"input_tokens": 10, "output_tokens": 7}


sys.exit(not asyncio.run(observe()))
PY
