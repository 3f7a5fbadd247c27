"""
`savemode prices`: what each model costs, and how old that knowledge is.

Rule of this file: it judges nothing; the table is the one that requests are priced with.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.screen import console, echo_json

if TYPE_CHECKING:
    from savemode_cli.core.money.pricing import PriceTable
    from savemode_cli.prices import PriceLine


def prices(
    flags: Flags,
    model: Annotated[
        str | None, typer.Argument(help="Only this model, in any spelling the API or a cloud has.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
) -> None:
    """
    Show current prices in US dollars per million tokens, where each is from and how old it is.
    """
    from savemode_cli.prices import load_prices
    from savemode_cli.views.prices import show, to_json

    now = datetime.now(UTC)
    lines = _chosen(load_prices(flags.settings().price_file), model, now)
    rows = [(line.price, line.age_days) for line in lines]
    if as_json:
        echo_json(to_json(rows, now))
        return
    show(rows, console(), asked=model)


def _chosen(table: "PriceTable", model: str | None, now: datetime) -> "list[PriceLine]":
    from savemode_cli.prices import PriceLine, age_days, price_lines

    if model is None:
        return price_lines(table, now)
    price = table.at(model, now)
    return [PriceLine(price, age_days(price, now))]
