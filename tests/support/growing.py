"""
Conversations that grow, byte by byte as odd as clients and strangers write them: for properties of what is remembered.

Rule of this file: what is drawn follows from one source of chance, so that an example can be repeated.
"""

import json
import random

MARKERS = (
    "",
    "",
    '"cache_control":{"type":"ephemeral"},',
    '"cache_control":{"type":"ephemeral","ttl":"1h"},',
    '"cache_control" : { "type":"ephemeral" , "ttl":"5m" },',
    '"cache_control":null,',
    '"cache_control":false,',
    '"cache_control":{"type":"a long name of a type, which is somebody\'s words and not to be kept at all, as nobody asked "},',
    '"cache\\u005fcontrol":{"type":"ephemeral"},',
    '"cache_control":{"type":"ephemeral"},"cache_control":null,',
)
TEXTS = (
    "",
    "x",
    'a "quoted" text',
    "tab\there \\ back",
    "é 😀 “”",
    "\x1b[0m",
    '"cache_control":{"type":"ephemeral"}',
    "y" * 70,
)
BLOCKS = (
    '{%m"type":"text","text":%t}',
    '{"text":%t,%m"type":"text"}',
    '{%m"type":"tool_use","id":"i","name":"n","input":{"path":"same"}}',
    '{%m"type":"tool_use","id":"i","name":"n","input":{"cache_control":{"type":"ephemeral"},"messages":[%t]}}',
    '{"type":"tool_result","tool_use_id":"i",%m"content":%t}',
    '{"type":"tool_result","tool_use_id":"i","content":[{"type":"text",%m"text":%t},{"type":"text","text":"z"}],%m"is_error":false}',
    '{%m"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}',
    '{%m"type":"document","source":{"type":"file","file_id":%t}}',
    '{"type":"document","source":{"type":"content","content":[{%m"type":"text","text":%t}]},"citations":{"enabled":true}}',
    '{%m"type":"thinking","thinking":%t,"signature":"AAAA"}',
    '{"type":"text","text":%t,"extra":{%m"a":1}}',
    '{"type":"container_upload","file_id":%t}',
    "null",
    "[1]",
)
FIELDS = (
    '"model":"claude-opus-5-5"',
    '"model":"claude-opus-4-1"',
    '"stream":true',
    '"max_tokens":100',
    '"max_tokens":1e400',
    '"cache_control":{"type":"ephemeral"}',
    '"system":"You help."',
    '"system":[{"type":"text","text":"You are","cache_control":{"type":"ephemeral"}},{"type":"text","text":"it"}]',
    '"tools":[{"name":"n","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}]',
    '"tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"n","input_schema":{}}]',
    '"metadata":{"user_id":"u"}',
    '"thinking":{"type":"enabled","budget_tokens":2000}',
    '"tool_choice":{"type":"any"}',
    '"messages":[]',
    '"messages":null',
    '"messages":[{"role":"user","content":"x"}]',
)
SNIPPETS = (
    b'"messages":[',
    b'"cache_control":{"type":"ephemeral"},',
    b'"',
    b"\\",
    b"\\u00e9",
    b"]",
    b"[",
    b"}",
    b",",
    b"1",
    b" ",
    b"\xff",
    b"\xc3\xa9",
    b"null",
    b',{"role":"user","content":"again"}',
)


class Growing:
    """
    A conversation.
    """

    def __init__(self, chance: random.Random) -> None:
        """
        Args:
            chance: decides everything.
        """
        self._chance = chance
        plain = chance.random() < 0.7
        known = FIELDS[:1] + FIELDS[2:4] + FIELDS[6:10] if plain else FIELDS
        fields = chance.sample(known, chance.randrange(len(known) + 1))
        if plain and FIELDS[0] not in fields:
            fields.insert(chance.randrange(len(fields) + 1), FIELDS[0])
        self._before = fields[: chance.randrange(len(fields) + 1)]
        self._behind = fields[len(self._before) :]
        self._space = chance.choice(("", "", " ", "\n\t"))
        self._messages: list[str] = []
        self._odd = not plain

    def next(self) -> bytes:
        """
        The next body: it has grown, or was edited, or is broken.
        """
        chance = self._chance
        for _ in range(chance.randrange(4)):
            self._messages.append(self._message())
        if self._messages and chance.random() < 0.3:
            self._messages[chance.randrange(len(self._messages))] = self._message()
        if self._messages and chance.random() < 0.2:
            del self._messages[chance.randrange(len(self._messages)) :]
        if self._behind and chance.random() < 0.2:
            chance.shuffle(self._behind)
        body = self._written().encode("utf-8", "surrogatepass")
        return self._harmed(body) if chance.random() < 0.3 else body

    def _written(self) -> str:
        comma = f",{self._space}"
        messages = f'"messages"{self._space}:[{self._space}{comma.join(self._messages)}{self._space}]'
        return f"{{{comma.join((*self._before, messages, *self._behind))}}}"

    def _message(self) -> str:
        chance = self._chance
        role = chance.choice(("user", "assistant", "user", "assistant", "system"))
        if chance.random() < 0.2:
            content = json.dumps(chance.choice(TEXTS))
        else:
            content = f"[{','.join(self._block() for _ in range(chance.randrange(4)))}]"
        if self._odd and chance.random() < 0.1:
            return chance.choice(("null", "1", "[]", '{"role":"user"}', '{"content":"x"}', '{"role":1,"content":1}'))
        return f'{{"role":"{role}","content":{content}}}'

    def _block(self) -> str:
        chance = self._chance
        form = chance.choice(BLOCKS if self._odd else BLOCKS[:10])
        while "%m" in form:
            marker = chance.choice(MARKERS if self._odd else MARKERS[:4]) if chance.random() < 0.4 else ""
            form = form.replace("%m", marker, 1)
        return form.replace("%t", json.dumps(chance.choice(TEXTS), ensure_ascii=chance.random() < 0.5))

    def _harmed(self, body: bytes) -> bytes:
        chance = self._chance
        place = chance.randrange(len(body) + 1)
        match chance.randrange(4):
            case 0:
                return body[:place]
            case 1:
                return body[:place] + body[place + chance.randrange(9) :]
            case _:
                return body[:place] + chance.choice(SNIPPETS) + body[place:]


def growing_bodies(seed: int, count: int, sessions: int = 3) -> list[bytes]:
    """
    The bodies of several conversations in random order. Some begin alike.
    """
    chance = random.Random(seed)
    seeds = [chance.randrange(2) if chance.random() < 0.3 else chance.random() for _ in range(sessions)]
    talks = [Growing(random.Random(one)) for one in seeds]
    return [chance.choice(talks).next() for _ in range(count)]
