"""
Every request is refused or answered: no body that passes the validation breaks a later step.
"""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.cache.prompt import prompt_of
from savemode_cli.core.errors import BadInput
from savemode_cli.simulated.answers import Billed, events, message
from savemode_cli.simulated.script import answer_to, parse_script
from savemode_cli.simulated.validation import validation_error
from tests.support.examples import examples

SCRIPT = parse_script([{"text": "x"}, {"tool_use": {"name": "sh"}}, {"thinking": "y", "text": "z", "output_tokens": 9}])

odd = st.one_of(st.none(), st.booleans(), st.integers(-1, 3), st.text(max_size=2), st.just([]), st.just({}))
anything = st.recursive(odd, lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=2), max_leaves=4)
words = st.text(min_size=1, max_size=3)
control = st.sampled_from([None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
marked = {"cache_control": control}


def one(kind: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """
    A block of any type, with or without a breakpoint, and with or without an unknown field.
    """
    return st.fixed_dictionaries({"type": st.just(kind), **parts}, optional={**marked, "odd": anything})


text = one("text", text=words)
inner = st.one_of(words, st.lists(text, max_size=2), odd)
spoken = st.lists(
    st.one_of(text, one("image", source=anything), one("document", source=st.fixed_dictionaries({"content": inner}))),
    min_size=1,
    max_size=3,
)
thought = st.fixed_dictionaries({"type": st.just("thinking"), "thinking": st.one_of(words, odd)})
call = one("tool_use", id=st.just("a"), name=st.sampled_from(["sh", "x"]), input=st.dictionaries(words, anything))
result = one("tool_result", tool_use_id=st.just("a"), content=inner)
step = st.tuples(st.lists(thought, max_size=1), spoken, call, result, spoken).map(
    lambda parts: [
        {"role": "assistant", "content": [*parts[0], *parts[1], parts[2]]},
        {"role": "user", "content": [parts[3], *parts[4]]},
    ]
)
user = st.fixed_dictionaries({"role": st.just("user"), "content": st.one_of(words, spoken)})
messages = st.tuples(user, st.lists(step, max_size=2)).map(lambda parts: [parts[0], *(m for s in parts[1] for m in s)])
schema = st.one_of(
    st.fixed_dictionaries({}, optional={"required": anything, "properties": anything, "type": anything}),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["object", None, ["object"]]),
            "properties": st.dictionaries(st.sampled_from("ab"), anything),
            "required": st.lists(st.sampled_from(["a", "b", 5]), max_size=2),
        }
    ),
)
tool = st.one_of(
    st.fixed_dictionaries({"name": st.just("sh"), "input_schema": schema}, optional=marked),
    st.fixed_dictionaries({"name": odd, "type": st.just("web_search_20260209")}),
)
bodies = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["claude-opus-5-5", "claude-haiku-4-5", "claude"]),
        "max_tokens": st.sampled_from([0, 1, 5, 4096]),
        "messages": messages,
    },
    optional={
        "tools": st.lists(tool, max_size=1),
        "system": st.one_of(words, st.lists(text, max_size=2)),
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 2000}]),
        "tool_choice": st.sampled_from([{"type": "any"}, {"type": "tool", "name": "sh"}, {}, {"type": {}}]),
        **marked,
    },
)
FIELDS = ["tools", "system", "stream", "thinking", "tool_choice", "output_config", "metadata", "speed", "cache_control"]
FIELDS += ["max_tokens", "messages"]
nearly = st.tuples(bodies, st.sampled_from(FIELDS), anything).map(lambda parts: {**parts[0], parts[1]: parts[2]})


@examples(200)
@given(asked=st.one_of(bodies, nearly, anything))
def test_it_is_refused_or_answered(asked: Any) -> None:
    """
    The answer is a validation error, or a message that exists as JSON and as a stream.
    """
    if validation_error(asked) is not None:
        return
    try:
        prompt = prompt_of(json.dumps(asked).encode())
    except BadInput:
        return  # the API answers with 400 here too
    answer = answer_to(asked, SCRIPT, len, "sim_1")

    assert prompt.total_tokens > 0
    assert 0 <= answer.output_tokens <= asked["max_tokens"]
    assert message(answer, Billed(), "msg_1", prompt.model)["stop_reason"] == answer.stop_reason
    assert [event.data for event in events(answer, Billed(), "msg_1", prompt.model)]
