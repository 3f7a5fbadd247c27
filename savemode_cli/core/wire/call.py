"""
What a client requested: the first part of an exchange.

Rule of this file: it contains no header, no credential and no content.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from savemode_cli.core.wire.messages import BATCHES_PATH, MESSAGES_PATH
from savemode_cli.core.wire.route import endpoint, may_cost

_LONGEST_PATH = 500


class Call(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    What a client requested.
    """

    method: str
    path: str
    """The path as the client wrote it, without the query."""
    product: str = ""
    """The product of the request; empty if it was refused before the product was known."""
    model: str | None = None
    """The model that the body names; None for a request without a model."""
    stream: bool = False
    """Whether the client requested a stream."""
    request_bytes: int = 0
    """The size of the body, as the client sent it."""
    session: str | None = None
    """The key of the session; None if it is unknown."""
    trace_id: str | None = None
    opens_turn: bool = True
    """Whether a person's message precedes it; False after a tool's result."""
    keep_warm: bool = False
    """Whether savemode sent it itself, to keep the cache of a conversation warm."""

    @property
    def is_model_call(self) -> bool:
        """
        Whether it is a model call, under any product. Counting tokens and batches are not model calls.
        """
        return self.method == "POST" and endpoint(self.path) == MESSAGES_PATH

    @property
    def starts_batch(self) -> bool:
        """
        Whether it starts a message batch, under any product.
        """
        return self.method == "POST" and endpoint(self.path) == BATCHES_PATH

    @property
    def is_uncounted(self) -> bool:
        """
        Whether it may have cost money that savemode cannot count: `/v1/complete` and similar paths, under any product.
        """
        return may_cost(self.method, endpoint(self.path))

    def to_json(self) -> dict[str, Any]:
        """
        The fields for machines.
        """
        return {
            "method": self.method,
            "path": self.path,
            "product": self.product,
            "model": self.model,
            "stream": self.stream,
            "request_bytes": self.request_bytes,
            "session": self.session,
            "trace_id": self.trace_id,
            **({} if self.opens_turn else {"opens_turn": False}),
            **({"keep_warm": True} if self.keep_warm else {}),
        }

    def shortened(self) -> "Call":
        """
        The call with a path of bounded length, for a list that keeps many.
        """
        return self if len(self.path) <= _LONGEST_PATH else replace(self, path=f"{self.path[:_LONGEST_PATH]}...")
