"""
Access tokens of persons: the token in a request proves who sends it.

Rule of this file: no token is stored, only its SHA-256. A token is 256 random bits and cannot be guessed, so its digest
needs no salt and no slow hash.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

from savemode_cli.core.errors import ConfigError

TOKEN_HEADER = b"x-savemode-token"
"""The header for savemode's own access policy. It is not forwarded."""

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def digest_of(token: str) -> str:
    """
    The digest of a token, as a config file contains it.
    """
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


class AccessTokens:
    """
    The persons who have a token.
    """

    __slots__ = ("_names", "names")

    def __init__(self, digests: Mapping[str, str] | None = None) -> None:
        """
        Create the table.

        Args:
            digests: for each name, the `digest_of` the person's token.

        Raises:
            ConfigError: a digest has the wrong form, or two persons have the same token. The error does not repeat it,
                because it may be a token that somebody pasted.
        """
        self._names: dict[str, str] = {}
        for name, digest in (digests or {}).items():
            match = _DIGEST.fullmatch(digest)
            if match is None:
                raise ConfigError(
                    f"the token of {name} is not a digest",
                    hint=f"sha256: and 64 digits; `savemode tokens add {name}` makes one",
                )
            if match[1] in self._names:
                raise ConfigError(
                    f"{self._names[match[1]]} and {name} have the same token", hint="each person needs one of their own"
                )
            self._names[match[1]] = name
        self.names = tuple(sorted(self._names.values()))
        """The names of the persons who have a token."""

    def __bool__(self) -> bool:
        """
        Whether anybody has a token.
        """
        return bool(self._names)

    def __eq__(self, other: object) -> bool:
        """
        Whether the same persons have the same tokens.
        """
        return isinstance(other, AccessTokens) and self._names == other._names

    def __hash__(self) -> int:
        """
        As `__eq__` compares.
        """
        return hash(self.names)

    def whose(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """
        The person whose token a request shows; None if it shows no token, several tokens, or an unknown one.

        The digest of the token is looked up, so the time that this takes reveals nothing about the existing tokens.
        """
        shown = [value for name, value in headers if name == TOKEN_HEADER]
        if len(shown) != 1:
            return None
        return self._names.get(hashlib.sha256(shown[0]).hexdigest())


NO_TOKENS = AccessTokens()
