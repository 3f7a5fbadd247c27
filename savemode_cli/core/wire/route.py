"""
What a request asks for, read from its path.

Rule of this file: what is counted does not depend on how the upstream reads a path. A different spelling of a counted
path is refused.
"""

import re
from typing import Literal

from msgspec import Struct

from savemode_cli.core.errors import BadHeader
from savemode_cli.core.remembered import remembered
from savemode_cli.core.wire.messages import BATCHES_PATH, COUNT_TOKENS_PATH, MESSAGES_PATH
from savemode_cli.core.wire.products import PRODUCTS, Products

RouteKind = Literal["messages", "count_tokens", "batches", "other"]

_PREFIXED_PATH = re.compile(r"/(?!v1/)([^/]+)(/(?:v1/.*|messages(?:/.*)?|models(?:/.*)?))")
_VERSIONS = re.compile(r"^(?:/v1){2,}(?=/)")
_WITHOUT_VERSION = re.compile(r"/(?:messages|models)(?:/.*)?")
_COUNTED = (MESSAGES_PATH, BATCHES_PATH)
_MODEL_PATHS = (*_COUNTED, COUNT_TOKENS_PATH)
_ENDPOINT_TWICE = re.compile(r"/v1/messages(?:/v1)?(?P<path>/messages(?:/batches|/count_tokens)?)")
_BELOW_ANTHROPIC = re.compile(r"(?:/[^/]+)+/anthropic(?:/v1)*(?P<path>/messages(?:/batches|/count_tokens)?)")
_STARTING = ("POST", "PUT", "PATCH")
_FREE = re.compile(
    r"/v1/(?:files|skills|models|organizations|oauth)(?:/.*)?"
    r"|/api/(?:claude_cli|claude_code|event_logging|eval|hello|oauth)(?:/.*)?"
)
"""
The paths that are free although their requests have a body: endpoints of the API
(https://platform.claude.com/docs/en/api/overview, checked 2026-11-29), and what Claude Code sends in addition to its
model calls.
"""
_DECODINGS = 3  # each server on the way to the model may decode once
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_NO_TEXT = re.compile(r"[\x00-\x20\x7f]")
_MOST_SHOWN = 64  # characters of somebody else's text in an error


class Route(Struct, frozen=True, gc=False):
    """
    What the path of a request asks for.
    """

    product: str
    path: str
    """The path to forward: without the product, and with one `/v1`."""
    kind: RouteKind
    base_url: Literal["", "without /v1", "with /v1"] = ""
    """
    What is wrong with the client's base URL, if the path shows it: it lacks the `/v1` that this client expects in it,
    or the client adds a second one.
    """


def read_route(path: str, products: Products = PRODUCTS) -> Route:
    """
    Read the path of a request. `/v1/messages` belongs to the default product, and `/{product}/v1/messages` to that
    product.

    Some clients add `/v1/messages` to their base URL, and others `/messages`. Whatever base URL they have, `/messages`
    and `/v1/v1/messages` are read as `/v1/messages`.

    Raises:
        BadHeader: a model call, its batches or its count_tokens follow a segment that is not a known product.
    """
    product = products.default
    match = _PREFIXED_PATH.fullmatch(path)
    if match is not None:
        known = products.resolve(match[1])
        if known is not None:
            product, path = known, match[2]
        elif _with_one_version(match[2]) in _MODEL_PATHS:
            raise _unknown_product(match[1], products)
    one = _with_one_version(path)
    base_url: Literal["", "without /v1", "with /v1"] = ""
    if one != path:
        base_url = "with /v1" if path.startswith("/v1/") else "without /v1"
    return Route(product, one, _kind(one), base_url)


def _with_one_version(path: str) -> str:
    return f"/v1{path}" if _WITHOUT_VERSION.fullmatch(path) else _VERSIONS.sub("/v1", path)


def _unknown_product(name: str, products: Products) -> BadHeader:
    names = ", ".join(sorted({*products.idle_prone, *products.aliases}))
    shown = name[:_MOST_SHOWN]
    return BadHeader(
        f"unknown product {shown!r} in the path",
        hint=f"take /{shown} off the client's base URL, or replace it by one of the known products: {names}",
    )


def check_spelling(route: Route, target: str) -> None:
    """
    Refuse a POST whose path a server behind savemode may read as one that costs money, and which is not spelled as one.

    What is counted must not depend on how that server reads a path. So there is one spelling, and the others are not
    forwarded: `//v1/messages`, `/v1/./messages/`, `/v1/%6dessages`, `/V1/messages;x`. The same applies to paths that
    the API does not have: `/v1/messages/messages`, `/api/anthropic/messages`.

    Args:
        route: the route.
        target: the route's path below the path of the upstream.

    Raises:
        BadHeader: it is such a path.
    """
    if route.path in _COUNTED:
        return
    meant = next((one for one in _COUNTED if _loosely(target).endswith(one)), None)
    wrong = _ENDPOINT_TWICE.fullmatch(route.path) or _BELOW_ANTHROPIC.fullmatch(route.path)
    if meant is None and wrong is not None:
        raise BadHeader(
            f"there is no {route.path[:_MOST_SHOWN]}: the client's base URL has a path too much",
            hint=f"give it the base URL that savemode printed, so that it asks for /v1{wrong['path']}",
        )
    if meant is not None:
        raise BadHeader(
            f"the path may be taken for {meant}, and is not spelled like it: it would be neither counted nor capped",
            hint=f"send it to {meant}, or to /PRODUCT{meant}",
        )


@remembered
def endpoint(path: str) -> str:
    """
    What a path asks for, whatever product it names: without a first segment that is not the API's, and with one `/v1`.
    It serves recorded traffic, whose products may no longer be known.
    """
    match = _PREFIXED_PATH.fullmatch(path)
    return _with_one_version(path if match is None else match[2])


def may_cost(method: str, path: str) -> bool:
    """
    Whether a request that is not counted may cost money: it starts something, it is not a model call or a batch, and
    the API is not known to do it for free.

    A free path must be spelled as the API spells it. Otherwise `/v1/files/../complete` would be free.

    Args:
        method: the method of the request.
        path: the path of a route: without the product, and with one `/v1`.
    """
    kind = _kind(path)
    if method not in _STARTING or kind in ("count_tokens", "batches") or (kind == "messages" and method == "POST"):
        return False
    return _FREE.fullmatch(path) is None or _loosely(path) != path


def _kind(path: str) -> RouteKind:
    if path == MESSAGES_PATH:
        return "messages"
    if path == COUNT_TOKENS_PATH:
        return "count_tokens"
    if path == BATCHES_PATH or path.startswith(f"{BATCHES_PATH}/"):
        return "batches"
    return "other"


def _loosely(path: str) -> str:
    """
    A path as the most lenient server reads it.
    """
    for _ in range(_DECODINGS):
        path = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), path)
    path = _NO_TEXT.sub("", path).replace("\\", "/").casefold()
    segments: list[str] = []
    for segment in re.split(r"[?#]", path)[0].split("/"):
        name = segment.partition(";")[0]  # the rest are parameters to some
        if name == "..":
            segments[-1:] = []
        elif name not in ("", "."):
            segments.append(name)
    return "/" + "/".join(segments)
