"""
The path of a request: its product, its endpoint, the base URL of the client, and the spellings that are refused.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.errors import BadHeader
from savemode_cli.core.wire.route import check_spelling, endpoint, may_cost, read_route


@pytest.mark.parametrize(
    ("path", "product", "forwarded", "kind"),
    [
        ("/v1/messages", "llm_gateway", "/v1/messages", "messages"),
        ("/posthog_code/v1/messages", "posthog_code", "/v1/messages", "messages"),
        ("/array/v1/messages", "posthog_code", "/v1/messages", "messages"),
        ("/twig/v1/messages", "posthog_code", "/v1/messages", "messages"),
        ("/slack-twig/v1/messages", "slack-posthog-code", "/v1/messages", "messages"),
        ("/wizard/v1/messages/count_tokens", "wizard", "/v1/messages/count_tokens", "count_tokens"),
        ("/v1/messages/batches", "llm_gateway", "/v1/messages/batches", "batches"),
        ("/v1/messages/batches/b_1/results", "llm_gateway", "/v1/messages/batches/b_1/results", "batches"),
        ("/v1/models", "llm_gateway", "/v1/models", "other"),
        ("/wizard/v1/models", "wizard", "/v1/models", "other"),
        ("/api/hello", "llm_gateway", "/api/hello", "other"),
        ("/unknown/v1/models", "llm_gateway", "/unknown/v1/models", "other"),
        ("/messages", "llm_gateway", "/v1/messages", "messages"),
        ("/messages/count_tokens", "llm_gateway", "/v1/messages/count_tokens", "count_tokens"),
        ("/messages/batches/b_1", "llm_gateway", "/v1/messages/batches/b_1", "batches"),
        ("/models/claude-opus-5-5", "llm_gateway", "/v1/models/claude-opus-5-5", "other"),
        ("/wizard/messages", "wizard", "/v1/messages", "messages"),
        ("/v1/v1/messages", "llm_gateway", "/v1/messages", "messages"),
        ("/v1/v1/v1/models", "llm_gateway", "/v1/models", "other"),
        ("/wizard/v1/v1/messages/batches", "wizard", "/v1/messages/batches", "batches"),
        ("/v1/files/v1/v1/messages_of_mine", "llm_gateway", "/v1/files/v1/v1/messages_of_mine", "other"),
        ("/v1/v1", "llm_gateway", "/v1/v1", "other"),
        ("/messages_of_mine", "llm_gateway", "/messages_of_mine", "other"),
        ("/files", "llm_gateway", "/files", "other"),
        ("/unknown/models", "llm_gateway", "/unknown/models", "other"),
        ("/v1/messages/", "llm_gateway", "/v1/messages/", "other"),
        ("//v1/messages", "llm_gateway", "//v1/messages", "other"),
        ("/", "llm_gateway", "/", "other"),
        ("", "llm_gateway", "", "other"),
    ],
)
def test_route(path: str, product: str, forwarded: str, kind: str) -> None:
    """
    A known product is taken off the path, and a base URL with too little or too much is set right; everything else stays
    as it came.
    """
    route = read_route(path)

    assert (product, forwarded, kind) == (route.product, route.path, route.kind)


@pytest.mark.parametrize(
    ("path", "base_url"),
    [
        ("/v1/messages", ""),
        ("/wizard/v1/messages", ""),
        ("/messages", "without /v1"),
        ("/wizard/messages/batches", "without /v1"),
        ("/v1/v1/messages", "with /v1"),
        ("/wizard/v1/v1/models", "with /v1"),
        ("/files", ""),
    ],
)
def test_base_url(path: str, base_url: str) -> None:
    """
    What is wrong with the client's base URL is told by the path.
    """
    assert read_route(path).base_url == base_url


@pytest.mark.parametrize(
    "path",
    [
        "/anthropic/v1/messages",
        "/anthropic/messages",
        "/anthropic/v1/v1/messages",
        "/anthropic/messages/count_tokens",
        "/anthropic/v1/messages/batches",
        "/api/v1/messages/count_tokens",
    ],
)
def test_unknown_prefix(path: str) -> None:
    """
    It is answered with what to take off the base URL, and with the products that may stand there.
    """
    prefix = path.split("/")[1]
    with pytest.raises(BadHeader, match=f"unknown product '{prefix}'") as caught:
        read_route(path)

    assert caught.value.hint.startswith(f"take /{prefix} off the client's base URL, ")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/messages/messages", "/v1/messages"),
        ("/v1/messages/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/api/anthropic/messages", "/v1/messages"),
        ("/llm/api/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/v1/threads/t_1/messages", None),
        ("/chat/threads/messages", None),
    ],
)
def test_base_url_that_the_api_does_not_have(path: str, meant: str | None) -> None:
    """
    Where the base URL is an endpoint, or has a gateway's path, the spelling to use is said; others' paths pass.
    """
    route = read_route(path)
    if meant is None:
        check_spelling(route, route.path)
        return

    with pytest.raises(BadHeader) as caught:
        check_spelling(route, route.path)

    assert caught.value.hint.endswith(f"so that it asks for {meant}")


def test_unknown_product_names_the_known_ones() -> None:
    """
    A misspelled product must not be billed to the default one in silence.
    """
    with pytest.raises(BadHeader) as caught:
        read_route("/posthog-code/v1/messages")

    assert "posthog_code" in caught.value.hint
    assert "twig" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/messages/", "/v1/messages"),
        ("//v1/messages", "/v1/messages"),
        ("/v1/./messages", "/v1/messages"),
        ("/x/y/../../v1/messages", "/v1/messages"),
        ("/v1/x/../messages", "/v1/messages"),
        ("/v1/%6dessages", "/v1/messages"),
        ("/v1/%25256dessages", "/v1/messages"),
        ("/v1/messages%0d%0a", "/v1/messages"),
        ("/V1\\Messages;a=b", "/v1/messages"),
        ("/a/b/v1/messages", "/v1/messages"),
        ("/v1/messages%3Fx%23y", "/v1/messages"),
        ("/v1/messages/batches/", "/v1/messages/batches"),
        ("/v1/messages/%62atches", "/v1/messages/batches"),
        ("/v1/messages", None),
        ("/wizard/v1/messages", None),
        ("/v1/messages/batches", None),
        ("/v1/messages/batches/b_1/cancel", None),
        ("/v1/messages/count_tokens", None),
        ("/v1/messages/../models", None),
        ("/v1/messages%", None),
        ("/v1/files/%zz", None),
        ("/", None),
        ("", None),
    ],
)
def test_spelling(path: str, meant: str | None) -> None:
    """
    A path that some server may read as a model call is one, or is refused with the spelling that is wanted.
    """
    route = read_route(path)
    if meant is None:
        check_spelling(route, route.path)
        return

    with pytest.raises(BadHeader) as caught:
        check_spelling(route, route.path)

    assert f"send it to {meant}, " in caught.value.hint


def test_spelling_below_an_upstream() -> None:
    """
    What counts is the path as the upstream sees it.
    """
    with pytest.raises(BadHeader):
        check_spelling(read_route("/x"), "/v1/messages")
    check_spelling(read_route("/v1/messages"), "/gateway/v1/messages")


@given(st.text("/.;%v1mesag25fFe\\", max_size=30))
def test_spelling_of_anything(path: str) -> None:
    """
    Any path is judged: it passes or is refused, and a path that passes as no model call never ends like one.
    """
    try:
        route = read_route(f"/{path}")
        check_spelling(route, route.path)
    except BadHeader:
        return
    assert route.kind in ("messages", "batches") or not route.path.endswith("/v1/messages")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/messages", "/v1/messages"),
        ("/messages", "/v1/messages"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/wizard/v1/messages", "/v1/messages"),
        ("/ours/v1/messages/batches", "/v1/messages/batches"),
        ("/wizard/v1/complete", "/v1/complete"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/api/hello", "/api/hello"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_endpoint(path: str, asked: str) -> None:
    """
    Whichever product it is asked under, known or not.
    """
    assert endpoint(path) == asked


COSTLY = [
    "/v1/chat/completions",
    "/v1/complete",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/sessions",
    "/v1/agents/agent_1/run",
    "/model/anthropic.claude-opus-5-5/invoke",
    "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
    "/v1/files/../complete",
    "/v1/files/%2e%2e/complete",
    "/v1/files//../complete",
    "/V1/FILES",
    "/v1/filesx",
    "/api/generate",
    "/api/v1/chat/completions",
    "/",
    "",
]


@pytest.mark.parametrize("path", COSTLY)
def test_what_may_cost_money_uncounted(path: str) -> None:
    """
    Whatever starts something and is not known to be free, spelled as the API spells it.
    """
    assert [may_cost(method, path) for method in ("POST", "PUT", "PATCH")] == [True] * 3
    assert [may_cost(method, path) for method in ("GET", "HEAD", "OPTIONS", "DELETE")] == [False] * 4


@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/messages/batches",
        "/v1/messages/batches/msgbatch_1/cancel",
        "/v1/files",
        "/v1/files/file_1",
        "/v1/skills",
        "/v1/organizations/invites",
        "/api/event_logging/batch",
        "/api/claude_cli/bootstrap",
        "/api/oauth/token",
    ],
)
def test_what_is_counted_or_free(path: str) -> None:
    """
    A model call and a batch are judged elsewhere; the rest the API does for nothing.
    """
    assert not may_cost("POST", path)
