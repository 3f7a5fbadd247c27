"""
What an upgrade does to one request body, for a person.

Rule of this file: it shows places, never the whole body, and fits 80 columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.core.upgrade.edits import ABSENT, Edit, Transformed, revert, upgrades
from savemode_cli.core.upgrade.gate import GateState
from savemode_cli.core.upgrade.upgrade import edit_json, skip_json
from savemode_cli.core.wire.breakpoints import Breakpoint
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.messages import dotted, order_errors
from savemode_cli.views.printable import printable

_CONTEXT = 24
"""How many bytes around a change are shown, and at most how many characters; less where the line would be too long."""


@dataclass(frozen=True, slots=True)
class Report:
    """
    One body before and after, with everything that is said about it.
    """

    name: str
    original: bytes
    known: Facts
    done: Transformed
    gate: GateState
    product: str
    policy: str
    headers: Sequence[tuple[str, str | None, str | None]]

    @property
    def reverts(self) -> bool:
        """
        Whether taking the edits back gives the original, byte for byte.
        """
        return revert(self.done.body, self.done.edits) == self.original

    @property
    def order_before(self) -> list[str]:
        """
        What the API would say about the order of the TTLs as they came.
        """
        return order_errors([(one.path, one.lifetime) for one in self.known.breakpoints])

    @property
    def order_after(self) -> list[str]:
        """
        What the API would say about the order of the TTLs as they would be sent.
        """
        upgraded = {edit.path[:-2] for edit in upgrades(self.done.edits)}
        return order_errors(
            [(one.path, "1h" if one.path in upgraded else one.lifetime) for one in self.known.breakpoints]
        )


def to_json(report: Report) -> dict[str, Any]:
    """
    The report for machines.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "name": report.name,
        "model": report.known.model,
        "product": report.product,
        "ttl_policy": report.policy,
        "gate": {"on": report.gate.on, "why": report.gate.why},
        "would_change": bool(report.done.edits),
        "problem": report.known.problem,
        "breakpoints": [
            {"path": dotted(one.control_path), "kind": one.kind, "before": one.lifetime, "nested": one.nested}
            for one in report.known.breakpoints
        ],
        "edits": [edit_json(edit) for edit in report.done.edits],
        "skips": [skip_json(skip) for skip in report.done.skips],
        "headers": [{"name": name, "before": before, "after": after} for name, before, after in report.headers],
        "order_errors_before": report.order_before,
        "order_errors_after": report.order_after,
        "bytes_before": len(report.original),
        "bytes_after": len(report.done.body),
        "sha256_before": sha256(report.original).hexdigest(),
        "sha256_after": sha256(report.done.body).hexdigest(),
        "reverts_to_original": report.reverts,
    }


def json_patch(edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """
    The edits as a JSON Patch (RFC 6902).
    """
    return [_operation(edit) for edit in edits]


def _operation(edit: Edit) -> dict[str, Any]:
    path = pointer(edit.path)
    if edit.after is ABSENT:
        return {"op": "remove", "path": path}
    return {"op": "add" if edit.before is ABSENT else "replace", "path": path, "value": edit.after}


def pointer(path: Sequence[str | int]) -> str:
    """
    A path as a JSON Pointer (RFC 6901).
    """
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def show(report: Report, console: Console, *, headers: bool = False) -> None:
    """
    Print the report: markers and why, the changed places, the proofs, and whether the gate would open.
    """
    facts = f"{len(report.original):,} bytes  model {report.known.model or '-'}  product {report.product}"
    console.print(Text(printable(f"{report.name}  {facts}"), style="bold"))
    console.print()
    if report.known.breakpoints:
        console.print(_markers(report))
        if any("*" in _now(one) for one in report.known.breakpoints):
            console.print(Text("* spelled out by the client", style="dim"))
    for skip in report.done.skips:
        if not skip.path:
            nothing = f"{skip.rule} edits nothing" if report.done.edits else "nothing is edited"
            console.print(Text(f"{nothing}: {printable(skip.why)}", style="yellow"))
    for edit in report.done.edits:
        console.print()
        _show_place(report, edit, console)
    if headers and report.headers:
        console.print()
        for name, before, after in report.headers:
            _show_change(console, f"{name}: {before}" if before else None, f"{name}: {after}" if after else None)
    console.print()
    console.print(_proofs(report))


def _markers(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("#", "breakpoint", "now", "then", "why"):
        table.add_column(name, justify="right" if name == "#" else "left", overflow="fold")
    upgraded = {edit.path[:-1]: edit for edit in upgrades(report.done.edits)}
    left = {skip.path: skip for skip in report.done.skips}
    for number, one in enumerate(report.known.breakpoints, 1):
        edit, skip = upgraded.get(one.control_path), left.get(one.control_path)
        then = "1h" if edit is not None else _now(one)
        why = edit.why if edit is not None else skip.why if skip is not None else "see below"
        style = "green" if edit is not None else ""
        table.add_row(str(number), printable(dotted(one.path)), _now(one), then, printable(why), style=style)
    return table


def _now(one: Breakpoint) -> str:
    names = {"bare": "5m", "5m": "5m*", "1h": "1h*", "null": "5m*", "ignored": "-"}
    return names.get(one.kind, "?")


def _show_place(report: Report, edit: Edit, console: Console) -> None:
    """
    The changed object with a little of what stands around it.
    """
    was, becomes = printable(edit.was), printable(edit.becomes)
    start = edit.at - len(edit.was[:-1].rstrip().encode())
    end = start + len(edit.was.encode())
    room = max(0, min(_CONTEXT, (console.width - len("+ ……") - len(becomes)) // 2))
    left = _excerpt(report.original[max(0, start - room) : start])
    right = _excerpt(report.original[end : end + room])
    before = ("…" if start > room else "") + left[max(0, len(left) - room) :]
    after = right[:room] + ("…" if end + room < len(report.original) else "")
    console.print(Text(f"@@ {printable(dotted(edit.path[:-1]))}, byte {edit.at:,}", style="cyan"))
    _show_change(console, before + was + after, before + becomes + after)


def _show_change(console: Console, before: str | None, after: str | None) -> None:
    if before is not None:
        console.print(Text(f"- {before}", style="red"), soft_wrap=True)
    if after is not None:
        console.print(Text(f"+ {after}", style="green"), soft_wrap=True)


def _excerpt(piece: bytes) -> str:
    return printable(piece.decode("utf-8", "ignore"))


def _proofs(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    before, after = report.original, report.done.body
    order = [("legal" if not errors else errors[0]) for errors in (report.order_before, report.order_after)]
    table.add_row("TTL order", order[0] if order[0] == order[1] else f"{order[0]}\nafter: {order[1]}")
    table.add_row("bytes", f"{len(before):,} -> {len(after):,} ({len(after) - len(before):+,})")
    digests = [sha256(body).hexdigest()[:32] for body in (before, after)]
    table.add_row("SHA-256", digests[0] if digests[0] == digests[1] else f"{digests[0]}… ->\n{digests[1]}…")
    verdict = "yes" if report.reverts else "NO"
    table.add_row("proof", f"reverting the edits gives the original bytes: {verdict}")
    if upgrades(report.done.edits):
        table.add_row(
            "price", "a 1h write costs 1.6 times a 5m write; it pays when a pause\nof 5 to 60 minutes follows"
        )
    gate = "open" if report.gate.on else "closed"
    table.add_row("gate", f"shown as if open; in this environment it is {gate}:\n{report.gate.why}")
    return table
