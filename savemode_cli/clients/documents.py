"""
Places in a JSON or YAML document: what stands there, and the document with something else there.

Rule of this file: a document is changed as data; nothing that a client wrote into it is lost. A place is keys with dots
between them. `models[provider=anthropic]` means each item of the list `models` whose `provider` is `anthropic`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

_SEGMENT = re.compile(r"([^.\[\]]+)(?:\[([^=\]]+)=([^\]]*)\])?(?:\.|$)")


def parse(text: str, name: str) -> Any:
    """
    The content of a file.

    Raises:
        ValueError: it is not what the ending of its name says.
    """
    try:
        if name.endswith((".yaml", ".yml")):
            import yaml  # noqa: PLC0415 - few clients have YAML

            return yaml.safe_load(text)
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except Exception as error:
        raise ValueError(str(error).splitlines()[0]) from error


def write(document: Any, name: str) -> str:
    """
    The text of a document, in the format that the ending of the file's name says.
    """
    if name.endswith((".yaml", ".yml")):
        import yaml  # noqa: PLC0415 - see above

        # ASCII only: PyYAML writes U+0085 as it is if it may, and reads it as a line break.
        text: str = yaml.safe_dump(document, sort_keys=False)
        return text
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def values_at(document: Any, place: str) -> Iterator[Any]:
    """
    What stands at a place: nothing, one value, or one for each item that is meant.
    """
    found = [document]
    for key, wanted_key, wanted in _segments(place):
        found = [one[key] for one in found if isinstance(one, Mapping) and key in one]
        if wanted_key:
            found = [item for one in found if isinstance(one, list) for item in one if _is(item, wanted_key, wanted)]
    yield from found


def with_value(document: Any, place: str, value: Any, *, only_absent: bool = False) -> Any:
    """
    A copy of the document with a value at a place. Missing tables are made; missing items of lists are not.

    Args:
        document: a table; anything else counts as an empty one.
        place: where.
        value: what stands there afterwards.
        only_absent: whether what stands there stays.
    """
    changed = deepcopy(document) if isinstance(document, dict) else {}
    *tables, (last, _, _) = _segments(place)
    holders: list[dict[str, Any]] = [changed]
    for key, wanted_key, wanted in tables:
        holders = [inner for one in holders for inner in _inside(one, key, wanted_key, wanted)]
    for holder in holders:
        if not (only_absent and last in holder):
            holder[last] = deepcopy(value)
    return changed


def _inside(holder: dict[str, Any], key: str, wanted_key: str, wanted: str) -> Iterator[dict[str, Any]]:
    if wanted_key:
        items = holder.get(key)
        yield from (item for item in items if _is(item, wanted_key, wanted)) if isinstance(items, list) else ()
        return
    if not isinstance(holder.get(key), dict):
        holder[key] = {}
    yield holder[key]


def _is(item: Any, key: str, wanted: str) -> bool:
    return isinstance(item, dict) and item.get(key) == wanted


def _segments(place: str) -> list[tuple[str, str, str]]:
    return [(found[1], found[2] or "", found[3] or "") for found in _SEGMENT.finditer(place)]
