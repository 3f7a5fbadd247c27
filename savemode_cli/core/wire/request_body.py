"""
The typed decode of a request body, and the copy in which its `cache_control` keys are numbered.

Rule of this file: it says which fields of a body are read. It judges none of them.

How the place of a breakpoint in the bytes is found. In valid JSON the bytes `"cache_control"`, not preceded by a backslash
and followed by a colon, are always a key: inside a string every quote is escaped. So a search finds *that* a key stands at
an offset, and only a parser knows *whose* key it is. `number_keys` therefore makes a copy of the body in which each such
key reads `"I~...":7,"C~...":`. One typed decode of that copy skips every field that is not declared here, and gives each
block with the number of its key. Nothing is guessed from order or count. A key that the decode does not return is user
data, or a duplicate key hides it; then the body is left alone.
"""

import re
from secrets import token_hex
from typing import Any, Union

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from savemode_cli.core.wire.messages import CONTROL

MAX_KEYS = 16_384
"""The most `cache_control` keys in a body that is judged; those in the user's own data count too."""

NEEDLE = b'"cache_control"'
"""With its closing quote: inside a string the quote is escaped, so a decoy there does not match."""

_COLON = re.compile(rb"[ \t\r\n]*:")

# The author of a body must not be able to write the two names in it, so they contain a number that nobody can guess. Only
# this file and `breakpoints` use them, and they are never sent or logged.
_NONCE = token_hex(8)
NUMBER = f"I~{_NONCE}"
RENAMED = f"C~{_NONCE}"
_TAG = b'"' + NUMBER.encode() + b'":%d,"' + RENAMED.encode() + b'"'


class RequestBlock(Struct, gc=False):
    """
    A tool, a system block, a message or a content block: the fields that breakpoints and repeated calls depend on.
    """

    number: int | UnsetType = field(default=UNSET, name=NUMBER)
    control: Any = field(default=UNSET, name=RENAMED)
    escaped: Any = field(default=UNSET, name=CONTROL)  # every plainly spelled key was renamed
    type: Any = None
    text: Raw | UnsetType = UNSET
    content: Union["RequestBlock", list["_Item"], str, int, float, bool, None] = None
    source: Union["RequestBlock", list[Any], str, int, float, bool, None] = None
    file_id: Raw | UnsetType = UNSET
    name: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET


class RequestMessage(RequestBlock, gc=False):
    """
    A message.
    """

    role: Any = None


_Item = RequestBlock | list[Any] | str | int | float | bool | None
_Items = RequestBlock | list[_Item] | str | int | float | bool | None
_Messages = (
    RequestMessage
    | list[RequestMessage | list[Any] | str | int | float | bool | None]
    | str
    | int
    | float
    | bool
    | None
)


class RequestBody(Struct, gc=False):
    """
    A whole body. A field whose type differs from the documentation is decoded anyway, and counts as missing.
    """

    number: int | UnsetType = field(default=UNSET, name=NUMBER)
    control: Any = field(default=UNSET, name=RENAMED)
    escaped: Any = field(default=UNSET, name=CONTROL)
    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    speed: Any = None
    metadata: Raw | UnsetType = UNSET
    thread: Raw | UnsetType = UNSET
    container: Raw | UnsetType = UNSET
    fallbacks: Raw | UnsetType = UNSET
    compaction: Raw | UnsetType = UNSET
    context_management: Raw | UnsetType = UNSET
    tools: _Items = None
    system: _Items = None
    messages: _Messages = None


class RequestHead(Struct, gc=False):
    """
    The fields of a body that do not grow with the conversation.
    """

    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    speed: Any = None
    metadata: Raw | UnsetType = UNSET


decode_body = msgspec.json.Decoder(RequestBody).decode
decode_head = msgspec.json.Decoder(RequestHead).decode
decode_json = msgspec.json.Decoder().decode


def number_keys(body: bytes) -> tuple[bytes, list[int]] | None:
    """
    Number the `cache_control` keys.

    Returns:
        The copy with numbered keys, and for each number the offset of the byte after the key. None if there are too many keys.
    """
    offsets: list[int] = []
    view = memoryview(body)
    out: list[bytes | memoryview] = []
    position = 0
    start = body.find(NEEDLE)
    while start >= 0:
        end = start + len(NEEDLE)
        if body[start - 1 : start] != b"\\" and (body[end : end + 1] == b":" or _COLON.match(body, end)):
            if len(offsets) == MAX_KEYS:
                return None
            out += (view[position:start], _TAG % len(offsets))
            offsets.append(end)
            position = end
        start = body.find(NEEDLE, end)
    if not offsets:
        return body, offsets
    out.append(view[position:])
    return b"".join(out), offsets


def list_items(value: object) -> list[Any]:
    """
    The items of a list; nothing for a value of another type.
    """
    return value if isinstance(value, list) else []
