"""
`savemode prices`: what each model costs, and how old that knowledge is.

Rule of this file: it judges nothing; the table is the one that requests are priced with.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli import options

if TYPE_CHECKING:
    from savemode_cli.core.pricing import PriceTable
    from savemode_cli.prices import PriceLine


def prices(
    model: Annotated[
        str | None, typer.Argument(help="Only this model, in any spelling the API or a cloud has.")
    ] = None,
    price_file: Annotated[
        Path | None, typer.Option("--price-file", help="A TOML or JSON file whose prices win over all others.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the prices for machines.")] = False,
    config: options.Config = None,
) -> None:
    """
    Show current prices in US dollars per million tokens, where each is from and how old it is.
    """
    from savemode_cli.config import load
    from savemode_cli.prices import load_prices
    from savemode_cli.views.prices import show, to_json

    now = datetime.now(UTC)
    lines = _chosen(load_prices(load({"price_file": price_file}, config=config).price_file), model, now)
    rows = [(line.price, line.age_days) for line in lines]
    if as_json:
        typer.echo(json.dumps(to_json(rows, now), indent=2))
        return
    from savemode_cli.cli.screen import console

    show(rows, console(), asked=model)


def _chosen(table: "PriceTable", model: str | None, now: datetime) -> "list[PriceLine]":
    from savemode_cli.prices import PriceLine, age_days, price_lines

    if model is None:
        return price_lines(table, now)
    price = table.at(model, now)
    return [PriceLine(price, age_days(price, now))]
