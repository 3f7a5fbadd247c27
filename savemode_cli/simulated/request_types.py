"""
The fields of a request and of its content blocks, and the JSON type of each.

Rule of this file: it only lists names and types. `validation` has rules of its own for `tools`, `system` and
`cache_control`. Values of an enumeration are not listed, because the API adds new ones often.

Source: the request types of the `anthropic` SDK 2.14.0, including beta types; a test reads the installed ones.
"""

KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "list": (list,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "dictionary": (dict,),
    "string or dictionary": (str, dict),
    "string or list": (str, list),
    "list or dictionary": (list, dict),
}

FIELDS: dict[str, str] = {
    "model": "string",
    "messages": "list",
    "max_tokens": "integer",
    "stream": "boolean",
    "tool_choice": "dictionary",
    "thinking": "dictionary",
    "metadata": "dictionary",
    "output_config": "dictionary",
    "speed": "string",
    "stop_sequences": "list",
    "temperature": "number",
    "top_k": "integer",
    "top_p": "number",
    "service_tier": "string",
    "inference_geo": "string",
    "container": "string or dictionary",
    "diagnostics": "dictionary",
    "user_profile_id": "string",
    "workspace_id": "string",
    "billing_policy": "dictionary",
    "compaction": "dictionary",
    "context_management": "dictionary",
    "fallback_credit_token": "string or dictionary",
    "fallbacks": "string or list",
    "mcp_servers": "list",
    "thread": "dictionary",
}
"""
The fields of a request and their JSON types, except `tools`, `system` and `cache_control`, which `validation` checks.

`temperature`, `top_k` and `top_p` are in older versions of the SDK, and older models accept them.
"""


_RESULT = (("tool_use_id", "string"), ("content", "dictionary"))
PARTS: dict[str, tuple[tuple[str, str], ...]] = {
    "text": (("text", "string"),),
    "image": (("source", "dictionary"),),
    "document": (("source", "dictionary"),),
    "search_result": (("content", "list"), ("source", "string"), ("title", "string")),
    "thinking": (("signature", "string"), ("thinking", "string")),
    "redacted_thinking": (("data", "string"),),
    "tool_use": (("id", "string"), ("name", "string"), ("input", "dictionary")),
    "tool_result": (("tool_use_id", "string"),),
    "tool_reference": (("tool_name", "string"),),
    "browser_state": (("tabs", "list"),),
    "server_tool_use": (("id", "string"), ("name", "string"), ("input", "dictionary")),
    "web_search_tool_result": (("tool_use_id", "string"), ("content", "list or dictionary")),
    "web_fetch_tool_result": _RESULT,
    "code_execution_tool_result": _RESULT,
    "bash_code_execution_tool_result": _RESULT,
    "text_editor_code_execution_tool_result": _RESULT,
    "tool_search_tool_result": _RESULT,
    "advisor_tool_result": _RESULT,
    "container_upload": (("file_id", "string"),),
    "mcp_tool_use": (("id", "string"), ("name", "string"), ("server_name", "string"), ("input", "dictionary")),
    "mcp_tool_result": (("tool_use_id", "string"),),
    "mcp_tool_listing": (("mcp_server_name", "string"), ("tools", "list")),
    "tool_addition": (("tool", "dictionary"),),
    "tool_removal": (("tool", "dictionary"),),
    "fallback": (("from", "dictionary"), ("to", "dictionary")),
}
"""The required fields of each type of content block."""


def is_kind(value: object, kind: str) -> bool:
    """
    Whether a value has this JSON type. In Python, `True` is a number; in JSON, true is not.
    """
    kinds = KINDS[kind]
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
