"""
Access tokens of persons: whose one is, and that none is kept.
"""

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.wire.access_tokens import NO_TOKENS, TOKEN_HEADER, AccessTokens, digest_of

ALICE, BOB = "smt_alices-token-of-43-characters", "smt_bobs-token-of-43-characters"
TOKENS = AccessTokens({"bob": digest_of(BOB), "alice": digest_of(ALICE)})


def shown(*tokens: str) -> list[tuple[bytes, bytes]]:
    """
    The headers of a request that shows these.
    """
    return [(b"host", b"localhost"), *((TOKEN_HEADER, token.encode()) for token in tokens)]


@pytest.mark.parametrize(
    ("tokens", "whose"),
    [
        ([ALICE], "alice"),
        ([BOB], "bob"),
        ([], None),
        ([""], None),
        ([ALICE.upper()], None),
        ([f" {ALICE}"], None),
        ([digest_of(ALICE)], None),
        ([ALICE, BOB], None),
        ([ALICE, ALICE], None),
    ],
)
def test_whose(tokens: list[str], whose: str | None) -> None:
    """
    The owner's of the one token that is shown; the digest, which may be known, is not a token.
    """
    assert TOKENS.whose(shown(*tokens)) == whose


def test_names() -> None:
    """
    By name; and nobody's tokens are no tokens.
    """
    assert TOKENS.names == ("alice", "bob")
    assert (bool(TOKENS), bool(NO_TOKENS)) == (True, False)
    assert AccessTokens({"alice": digest_of(ALICE)}) == AccessTokens({"alice": digest_of(ALICE)}) != TOKENS
    assert NO_TOKENS.whose(shown(ALICE)) is None


def test_no_token_is_kept() -> None:
    """
    A digest says nothing about its token.
    """
    assert digest_of("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert ALICE not in repr(TOKENS._names)


@pytest.mark.parametrize("digest", ["", ALICE, "sha256:", "sha256:ABC", "md5:" + "0" * 64, "sha256:" + "g" * 64])
def test_what_is_not_a_digest(digest: str) -> None:
    """
    One error, which does not repeat what may be a token.
    """
    with pytest.raises(ConfigError) as raised:
        AccessTokens({"alice": digest})

    assert raised.value.message == "the token of alice is not a digest"
    assert ALICE not in raised.value.hint


def test_two_persons_with_one_token() -> None:
    """
    A request could not say which of them it is.
    """
    with pytest.raises(ConfigError, match="alice and bob have the same token"):
        AccessTokens({"alice": digest_of(ALICE), "bob": digest_of(ALICE)})
