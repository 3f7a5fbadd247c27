"""
The spellings of a model: of the API, with a date, of Claude Code, Amazon, Google and routers.

Rule of this file: an ID is recognised as a whole. No ID is found by how it begins.
Source: https://platform.claude.com/docs/en/about-claude/models/overview and the clouds' pages (checked 2026-11-23);
https://docs.litellm.ai/docs/providers and https://openrouter.ai/docs/guides/routing/model-variants (checked
2026-11-29).
"""

import re
from collections.abc import Iterator

from savemode_cli.core.remembered import remembered

_CLOUD_MODEL = re.compile(
    r"(^|[./])anthropic\.|(^|/)arn:aws|^amazon\.|@|-v\d+(:\d+)?$|^(bedrock|sagemaker|vertex|vertex_ai)/|publishers/anthropic/"
)


def is_cloud_model(model: str) -> bool:
    """
    Whether an id is spelled as on Bedrock or Google Cloud: `us.anthropic.claude-...-v1:0`, an ARN, `claude-...@date`,
    `vertex_ai/claude-...`.
    """
    return _CLOUD_MODEL.search(model) is not None


LONGEST_ID = 200
"""A longer text is not an ID: an ARN has about 150 characters. The bound limits the time for a hostile one."""

_ONE_MILLION = re.compile(r"\[1m\]$", re.IGNORECASE)  # Claude Code's name for the long context; not meant for the wire
_ENDING = re.compile(r"(?:(?:-v\d)?[-@]20\d{6}|@default|-latest)?(?:-thinking)?$")
_BEDROCK = re.compile(
    r"(?:arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d*:(?:inference-profile|foundation-model)/)?"
    r"(?:(?P<region>[a-z]+(?:-[a-z]+)*)\.)?anthropic\.(?P<name>claude-[a-z0-9-]+?)(?:-v\d+(?::[0-9a-z]+)*)?"
)
_GOOGLE = re.compile(r"(?:[^ ]*/)?publishers/anthropic/models/(?P<name>[a-z0-9@-]+)")
_ROUTE = re.compile(r"(?:[A-Za-z0-9~_.-]+/)+")  # `bedrock/converse/`, `openrouter/anthropic/`
_VARIANT = re.compile(r":[a-z-]+$")  # `:thinking`, `:beta`: how a router serves a model, not another model
_DOT = re.compile(r"(?<=\d)\.(?=\d)")
_NUMBER_FIRST = re.compile(r"claude-(?P<number>\d+(?:-\d+)?)-(?P<family>[a-z]+)")


def other_spellings(model: str) -> Iterator[tuple[str, bool]]:
    """
    The known IDs of which `model` may be another form, in the order to try them, and whether it names a region.

    Google IDs do not show the region; only the host of the request does. An opaque ARN is not resolved.
    """
    if len(model) > LONGEST_ID:
        return
    name, regional = _without_cloud(_ONE_MILLION.sub("", model))
    plain = _ENDING.sub("", name)
    # Routers write claude-sonnet-4-5 as claude-4.5-sonnet, which is the API's own order up to Claude 3.
    turned = _NUMBER_FIRST.sub(r"claude-\g<family>-\g<number>", plain) if _NUMBER_FIRST.fullmatch(plain) else plain
    for spelling in dict.fromkeys((name, plain, turned)):
        yield spelling, regional


def _without_cloud(name: str) -> tuple[str, bool]:
    """
    The ID inside the ID of a cloud or a router, and whether that names a region.
    """
    for spelling in (name, _ROUTE.sub("", name, count=1)):
        cloud = _BEDROCK.fullmatch(spelling)
        if cloud is not None:
            return cloud["name"], cloud["region"] != "global"
    google = _GOOGLE.fullmatch(name)
    if google is not None:
        return google["name"], False
    inner = _VARIANT.sub("", _ROUTE.sub("", name, count=1))
    return _DOT.sub("-", inner).removeprefix("databricks-"), False


RECOMMENDED_FALLBACKS = ("claude-opus-5", "claude-opus-4-8")
"""
The models that the API may choose if a request leaves the fallback to it, by the category of the refusal.
Source: https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback (checked 2026-11-30).
"""

_LARGEST_CONTEXT_TOKENS = 1_000_000
_SMALL_CONTEXT_TOKENS = 200_000
_SMALL_CONTEXTS = frozenset(
    {
        "claude-3-haiku",
        "claude-3-opus",
        "claude-3-5-haiku",
        "claude-3-5-sonnet",
        "claude-3-7-sonnet",
        "claude-opus-4",
        "claude-opus-4-0",
        "claude-opus-4-1",
        "claude-opus-4-5",
        "claude-sonnet-4",
        "claude-sonnet-4-0",
        "claude-sonnet-4-5",
        "claude-haiku-4-5",
    }
)


def context_tokens(model: str | None) -> int:
    """
    The size of a model's context window in tokens: 1,000,000 for the 4.6 models and newer ones, and for an unknown
    model.

    Source: https://platform.claude.com/docs/en/build-with-claude/context-windows (checked 2026-11-30).
    """
    return _context_tokens(model or "")


@remembered
def _context_tokens(model: str) -> int:
    spellings = {spelling for spelling, _ in other_spellings(model)}
    return _SMALL_CONTEXT_TOKENS if spellings & _SMALL_CONTEXTS else _LARGEST_CONTEXT_TOKENS
