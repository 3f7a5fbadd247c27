"""
One request and its answer: the source of every log line, receipt, event and report.

Rule of this file: an exchange contains no header, no credential and no content; of a body it contains only the
breakpoints. The package that knows a part defines it and writes it for machines; this file puts the parts together.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.core.wire.answer import Answer
from savemode_cli.core.wire.call import Call

SCHEMA_VERSION = 1
"""The version of the JSON output for other programs."""

_ORDER = (
    "duration_ms",
    "first_byte_ms",
    "first_token_ms",
    "method",
    "path",
    "product",
    "model",
    "gate",
    "status",
    "outcome",
    "stream",
    "stop_reason",
    "upgraded",
    "observed",
    "resent",
    "edits",
    "skips",
    "edits_left_out",
    "skips_left_out",
    "request_bytes",
    "response_bytes",
    "session",
    "trace_id",
    "upstream_request_id",
    "error",
)
"""The order of the first keys in JSON. Further keys follow part by part."""


class Exchange(Struct, frozen=True, gc=False):
    """
    One request and its answer, in four parts.
    """

    id: str
    """The ID that savemode gives it. IDs sort by time."""
    started_at: datetime
    """When the request arrived, in UTC."""
    call: Call
    upgrade: Upgrade
    bill: Bill
    answer: Answer

    @property
    def difference_nusd(self) -> int | None:
        """
        What it cost in addition to the cost without savemode, in nano-USD, negative if less: of an upgraded request, and
        where a cache was kept warm. None where there is nothing to compare.
        """
        receipt = self.bill.receipt
        if receipt is None or not (self.upgrade.upgraded or receipt.difference_nusd):
            return None
        return receipt.difference_nusd

    def to_json(self) -> dict[str, Any]:
        """
        The exchange for machines, flat: units in the keys, paths with dots.
        """
        fields = {
            **self.call.to_json(),
            **self.upgrade.to_json(),
            **self.answer.to_json(),
            **self.bill.to_json(),
        }
        return {
            "schema_version": SCHEMA_VERSION,
            "event": "request.done",
            "id": self.id,
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            **{name: fields.pop(name) for name in _ORDER},
            **fields,
        }

    def shortened(self) -> "Exchange":
        """
        The exchange without the parts that a client could make very long, for a list that keeps or prints many
        exchanges.
        """
        call, upgrade = self.call.shortened(), self.upgrade.shortened()
        unchanged = call is self.call and upgrade is self.upgrade
        return self if unchanged else replace(self, call=call, upgrade=upgrade)
