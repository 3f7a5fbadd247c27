"""
`savemode ledger copy`: move the counts of one ledger to another, on another engine too.

Rule of this file: it opens two ledgers, makes one call, and shows the result.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.screen import echo
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.budget.ledger import Ledger

_SHOWN_DIFFERENCES = 5


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The ledger to read, for example sqlite:///ledger.db.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The ledger to write, for example redis://HOST:6379/0.")],
) -> None:
    """
    Copy the charges, open holds, budgets, limits and allowances of a ledger, and check that both have the same.

    Stop the proxies first, or run it again after they have stopped: nothing is counted twice.
    """
    from savemode_cli.config import load
    from savemode_cli.core.budget.copying import copy_ledger, strangers
    from savemode_cli.core.money.amounts import dollars

    settings = load({})
    if source == target:
        raise BadInput("FROM and TO are the same ledger", hint="give two addresses")
    read, written = _existing(settings, source), _opened(settings, target)
    try:
        count = strangers(read, written)
        if count:
            raise BadInput(
                f"the ledger TO has {count} charges that FROM does not have, and a copy would add both up",
                hint="give an empty one; a server takes several: add ?name=NAME to its address",
            )
        copied = copy_ledger(read, written, datetime.now(UTC) + written.clock_offset)
    finally:
        read.close()
        written.close()
    words = f"{copied.charges} charges of {dollars(copied.nusd)}, {copied.holds} open holds, {copied.budgets} budgets"
    if copied.differences:
        some = "; ".join(copied.differences[:_SHOWN_DIFFERENCES])
        raise BadInput(
            f"copied {words}, and the two ledgers differ in {len(copied.differences)} places: {some}",
            hint="stop the proxies that use them, then run the same command again",
        )
    echo(f"copied {words}\nboth ledgers have the same {copied.keys} balances, to the nano-dollar")


def _existing(settings: "Settings", url: str) -> "Ledger":
    from savemode_cli.ledgers import file_of

    file = file_of(url)
    if file is not None and not file.exists():
        raise BadInput(f"there is no ledger at {file}", hint="FROM comes first, then TO")
    return _opened(settings, url)


def _opened(settings: "Settings", url: str) -> "Ledger":
    from savemode_cli.ledgers import open_ledger

    if url.startswith("memory:"):
        raise BadInput("a ledger in memory ends with this command", hint="give a file or a server")
    return open_ledger(url, password=settings.password_of_ledger())
