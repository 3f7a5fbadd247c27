"""
Reads VCR cassettes as YAML or JSON: those of vcrpy (Python), VCR (Ruby) and go-vcr.

Rule of this file: a cassette is an untrusted file. Only plain YAML is read, no tag creates an object, and the size after
the expansion of aliases is limited.

A cassette has no exact times. The time of sending is the answer's `date` header, to the second; without that header it is
Ruby's `recorded_at`. Bodies are text, `!!binary`, or Base64. Some serializers store a parsed body (`parsed_body`); it is
encoded as JSON again, so it may differ from the bytes that were sent.
Source: files that vcrpy 9.4.2, VCR 5.0.0 and pydantic-ai's serializer wrote (checked 2026-11-29), and go-vcr's `cassette`
package, version 4.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from savemode_cli.core.replay.recording import Call
from savemode_cli.readers.calls import call_of, header_pairs, metered
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Sample
from savemode_cli.readers.times import utc

_MAX_EXPANDED_BYTES = 256 * 1024 * 1024
_NOT_RECORDED = "its body was not recorded"
_YAML_START = re.compile(rb"(?:[ \t]*(?:#[^\n]*)?\r?\n|---[^\n]*\n|version:[^\n]*\n)*(?:http_)?interactions:\s")
"""The beginning of a cassette of vcrpy, VCR or go-vcr as YAML."""


def is_cassette(sample: Sample) -> bool:
    """
    Whether a sample is from a cassette, as YAML or as JSON.
    """
    return not sample.names.isdisjoint({"interactions", "http_interactions"}) or bool(_YAML_START.match(sample.start))


def cassette_calls(file: BinaryIO, path: Path, problems: Problems) -> Iterator[Call]:
    """
    The calls in a cassette, in its order. See `CallReader`.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        interactions = _interactions(_parsed(file.read()))
    except ValueError as error:
        problems.add(path.name, None, str(error))
        return
    for number, interaction in enumerate(interactions, 1):
        place = f"{path.name}: interaction {number}"
        yield from problems.taken(_call(interaction, place), place)


def _parsed(text: bytes) -> Any:
    """
    The document of a cassette.

    Raises:
        ValueError: the text is neither JSON nor plain YAML, or the document is too large.
    """
    try:
        document = msgspec.json.decode(text) if text.lstrip().startswith(b"{") else _yaml(text)
        size = _expanded_bytes(document, {})
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("not JSON") from None
    if size > _MAX_EXPANDED_BYTES:
        raise ValueError(f"its aliases make it larger than {_MAX_EXPANDED_BYTES:,} bytes")
    return document


def _yaml(text: bytes) -> Any:
    import yaml  # noqa: PLC0415 - loaded only for a cassette

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """
        Plain YAML, with Ruby's tag for binary data.
        """

    Loader.add_constructor("!binary", yaml.SafeLoader.construct_yaml_binary)
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a loader of plain YAML
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f": line {mark.line + 1}, column {mark.column + 1}"
        raise ValueError(f"not plain YAML{place}") from None
    except (yaml.YAMLError, ValueError, UnicodeDecodeError):
        raise ValueError("not plain YAML") from None


def _expanded_bytes(value: Any, known: dict[int, int]) -> int:
    """
    The approximate length of a value as text, with all aliases expanded.

    Raises:
        ValueError: the value contains itself.
    """
    if isinstance(value, str | bytes):
        return len(value) + 2
    if not isinstance(value, dict | list):
        return 8
    size = known.get(id(value), -1)
    if size == 0:
        raise ValueError("a part of it contains itself")
    if size < 0:
        known[id(value)] = 0
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        size = known[id(value)] = 2 + sum(_expanded_bytes(part, known) + 1 for part in inner)
    return size


def _interactions(document: Any) -> list[Any]:
    fields = _dict(document)
    interactions = fields.get("interactions") or fields.get("http_interactions") or []
    if not isinstance(interactions, list):
        raise ValueError("its interactions are not a list")
    return interactions


def _call(interaction: Any, place: str) -> Call | str | None:
    """
    The call of an interaction, what is wrong with it, or None if it is not a model call.
    """
    request, response = _dict(_dict(interaction).get("request")), _dict(_dict(interaction).get("response"))
    headers = header_pairs(response.get("headers"))
    try:
        started = _moment(_header(headers, "date") or _dict(interaction).get("recorded_at"))
        body = _body(request)
        call = call_of(
            place,
            body or b"",
            method=str(request.get("method") or "POST"),
            target=str(request.get("uri") or request.get("url") or ""),
            headers=header_pairs(request.get("headers")),
            started_at=started,
            usage=metered(_body(response) or b"", _header(headers, "content-encoding")),
            status=_status(response),
        )
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError):
        return "a field in an unknown form"
    return _NOT_RECORDED if call is not None and body is None else call


def _dict(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _header(headers: list[tuple[str, str]], wanted: str) -> str:
    return ", ".join(value for name, value in headers if name.lower() == wanted)


def _moment(value: Any) -> datetime | None:
    """
    A time as HTTP writes it (RFC 9110, section 5.6.7) or as YAML parsed it; None if there is no time.
    """
    if isinstance(value, datetime):
        return utc(value)
    if not isinstance(value, str) or not value:
        return None
    try:
        return utc(parsedate_to_datetime(value))
    except ValueError:
        return utc(datetime.fromisoformat(value))


def _status(response: Mapping[Any, Any]) -> int | None:
    status = response.get("status")
    code = status.get("code") if isinstance(status, dict) else response.get("code", status)
    return code if isinstance(code, int) else None


def _body(message: Mapping[Any, Any]) -> bytes | None:
    """
    The body of a request or an answer; None if there is none.
    """
    body = message.get("body")
    if isinstance(body, dict):
        encoded = body.get("base64_string")
        body = _from_base64(encoded) if isinstance(encoded, str) else body.get("string")
    if not body and message.get("parsed_body") is not None:
        return msgspec.json.encode(message["parsed_body"])
    return body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body if isinstance(body, bytes) else None


def _from_base64(text: str) -> bytes | None:
    try:
        return b64decode("".join(text.split()), validate=True)
    except (Base64Error, ValueError):
        return None
