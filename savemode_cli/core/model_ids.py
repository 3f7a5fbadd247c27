"""
How one model is spelled: by the API, with a date, by Claude Code, by Amazon and by Google.

Rule of this file: a whole id is recognised or it is not; no id is found by the way it begins.
Source: https://platform.claude.com/docs/en/about-claude/models/overview and the clouds' pages (checked 2026-11-23).
"""

import re
from collections.abc import Iterator

LONGEST_ID = 200
"""Longer is no id: an ARN is about 150 characters. The bound keeps a hostile one from being searched at length."""

_ONE_MILLION = "[1m]"  # how Claude Code spells a model with the long context; never meant for the wire
_ENDING = re.compile(r"(?:[-@]20\d{6}|@default|-latest)$")
_BEDROCK = re.compile(
    r"(?:arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d*:(?:inference-profile|foundation-model)/)?"
    r"(?:(?P<region>[a-z]+(?:-[a-z]+)*)\.)?anthropic\.(?P<name>claude-[a-z0-9-]+?)(?:-v\d+(?::[0-9a-z]+)*)?"
)
_GOOGLE = re.compile(r"(?:[^ ]*/)?publishers/anthropic/models/(?P<name>[a-z0-9@-]+)")


def other_spellings(model: str) -> Iterator[tuple[str, bool]]:
    """
    The ids of ours that `model` may be another form of, and whether it names a region, in the order to try them.

    Google ids do not tell the region; the request's host would. An opaque ARN is left alone.
    """
    if len(model) > LONGEST_ID:
        return
    name, regional = model.removesuffix(_ONE_MILLION), False
    cloud = _BEDROCK.fullmatch(name)
    if cloud is not None:
        regional = cloud["region"] != "global"
    else:
        cloud = _GOOGLE.fullmatch(name)
    if cloud is not None:
        name = cloud["name"]
    yield name, regional
    yield _ENDING.sub("", name), regional
