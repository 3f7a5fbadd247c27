"""
Each change of a request that loses the cache, with the cause, the place and the kind that a verdict must name.

The request is the third one of `conversation`.
"""

from savemode_cli.core.diagnosis.causes import Cause
from tests.support.mutations import (
    DOCUMENT,
    IMAGE,
    LONG,
    SEARCH,
    Mutation,
    backwards,
    insert,
    remove,
    replaced,
    set_,
    swap,
)
from tests.support.prompts import MARK, assistant, text, tool, user

CONTENT = ("messages", 0, "content")


CHANGES: list[tuple[str, Mutation, Cause, str, str | None]] = [
    # What WIRE 1.8 lists: tool definitions.
    ("tool-name", set_("tools", 0, "name", value="reader"), "tools_changed", "tools[0]", "edited"),
    ("tool-description", set_("tools", 1, "description", value="?"), "tools_changed", "tools[1]", "edited"),
    (
        "tool-schema",
        set_("tools", 2, "input_schema", "properties", value={"a": {}}),
        "tools_changed",
        "tools[2]",
        "edited",
    ),
    ("tool-schema-order", backwards("tools", 0, "input_schema"), "tools_changed", "tools[0]", "re-rendered"),
    ("tools-reordered", swap("tools", 0, 2), "tools_changed", "tools[0]", "reordered"),
    (
        "tools-rotated",
        lambda body: body["tools"].append(body["tools"].pop(0)),
        "tools_changed",
        "tools[0]",
        "reordered",
    ),
    ("tool-in-front", insert("tools", 0, value=tool("new")), "tools_changed", "tools[0]", "inserted"),
    ("tool-in-between", insert("tools", 2, value=tool("new")), "tools_changed", "tools[2]", "inserted"),
    ("tool-appended", insert("tools", 3, value=tool("new")), "tools_changed", "tools[3]", "inserted"),
    ("first-tool-removed", remove("tools", 0), "tools_changed", "tools[0]", "removed"),
    ("last-tool-removed", remove("tools", 2), "tools_changed", "tools[2]", "removed"),
    ("all-tools-removed", set_("tools", value=[]), "tools_changed", "tools[0]", "removed"),
    # The model.
    ("model", set_("model", value="claude-opus-4-8"), "model_changed", "model", None),
    # Web search, citations, speed.
    ("web-search", insert("tools", 3, value=SEARCH), "parameters_changed", "tools", None),
    ("speed", set_("speed", value="fast"), "parameters_changed", "speed", None),
    (
        "citations",
        lambda body: body["messages"].append(user({**DOCUMENT, "citations": {"enabled": True}})),
        "parameters_changed",
        "messages[7].content[0]",
        None,
    ),
    # The system prompt.
    ("system-text", replaced("good", "bad", "system", 0, "text"), "system_changed", "system[0].text", "edited"),
    ("system-date", replaced("11-24", "11-25", "system", 1, "text"), "system_changed", "system[1].text", "edited"),
    ("system-inserted", insert("system", 0, value=text("Be brief.")), "system_changed", "system[0]", "inserted"),
    ("system-removed", remove("system", 0), "system_changed", "system[0]", "removed"),
    ("system-reordered", swap("system", 0, 1), "system_changed", "system[0]", "reordered"),
    # Tool choice, parallel calls, images.
    ("tool-choice", set_("tool_choice", value={"type": "any"}), "parameters_changed", "tool_choice", None),
    (
        "parallel-calls",
        set_("tool_choice", value={"type": "auto", "disable_parallel_tool_use": True}),
        "parameters_changed",
        "tool_choice",
        None,
    ),
    (
        "first-image",
        lambda body: body["messages"][-1]["content"].insert(1, IMAGE),
        "parameters_changed",
        "messages[6].content[1]",
        None,
    ),
    # Thinking, effort, format.
    ("thinking", set_("thinking", value={"type": "disabled"}), "parameters_changed", "thinking", None),
    ("effort", set_("output_config", value={"effort": "low"}), "parameters_changed", "output_config.effort", None),
    (
        "format",
        set_("output_config", value={"format": {"type": "json_schema", "schema": {"type": "object"}}}),
        "parameters_changed",
        "output_config.format",
        None,
    ),
    # Messages.
    (
        "first-message",
        replaced("do it", "undo it", *CONTENT, 0, "text"),
        "messages_changed",
        "messages[0].content[0].text",
        "edited",
    ),
    (
        "answer",
        set_("messages", 1, "content", 1, "text", value="I saw it."),
        "messages_changed",
        "messages[1].content[1].text",
        "edited",
    ),
    (
        "call-order",
        backwards("messages", 1, "content", 2, "input"),
        "messages_changed",
        "messages[1].content[2]",
        "re-rendered",
    ),
    (
        "result-spaces",
        replaced('": ', '":', "messages", 2, "content", 0, "content"),
        "messages_changed",
        "messages[2].content[0]",
        "re-rendered",
    ),
    (
        "result-as-blocks",
        lambda body: body["messages"][2]["content"][0].update(
            content=[text(body["messages"][2]["content"][0]["content"])]
        ),
        "messages_changed",
        "messages[2].content[0]",
        "re-rendered",
    ),
    (
        "result-text",
        replaced("Read", "Write", "messages", 4, "content", 0, "content"),
        "messages_changed",
        "messages[4].content[0]",
        "edited",
    ),
    ("thinking-dropped", remove("messages", 1, "content", 0), "messages_changed", "messages[1].content[0]", "removed"),
    ("reminder-dropped", remove("messages", 4, "content", 1), "messages_changed", "messages[4].content[1]", "removed"),
    (
        "reminder-inserted",
        insert("messages", 0, "content", 0, value=text("Note well.")),
        "messages_changed",
        "messages[0].content[0]",
        "inserted",
    ),
    (
        "turn-inserted",
        lambda body: body["messages"].__setitem__(slice(1, 1), [assistant(text("Yes?")), user(text("Go."))]),
        "messages_changed",
        "messages[1].content[0]",
        "inserted",
    ),
    (
        "window-slides",
        lambda body: body["messages"].__delitem__(slice(1, 3)),
        "messages_changed",
        "messages[1].content[1]",
        "removed",
    ),
    # Breakpoints.
    (
        "last-breakpoint-dropped",
        lambda body: body["messages"][-1]["content"][-1].pop("cache_control"),
        "no_breakpoint",
        "messages[4].content[1]",
        None,
    ),
    (
        "breakpoint-far-away",
        lambda body: body["messages"][-1].update(
            content=[body["messages"][-1]["content"][0], *(text(f"{at} {LONG}") for at in range(20)), text("!", **MARK)]
        ),
        "out_of_reach",
        "messages[6].content[21]",
        None,
    ),
]
