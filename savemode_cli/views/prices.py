"""
Prices as a table.

Rule of this file: a price is printed as the price page prints it; sources are named once, below.
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.core.money.rates import Price, Rates
from savemode_cli.views.printable import printable

Row = tuple[Price, int | None]
"""A price, and how many days ago it was checked; None if nobody says."""

_COLUMNS = (
    ("in", "input_usd_per_mtok"),
    ("out", "output_usd_per_mtok"),
    ("5m write", "cache_write_5m_usd_per_mtok"),
    ("1h write", "cache_write_1h_usd_per_mtok"),
    ("read", "cache_read_usd_per_mtok"),
)


def to_json(rows: Sequence[Row], at: datetime) -> dict[str, Any]:
    """
    The prices for machines; prices are strings, for they are exact.
    """
    return {"schema_version": SCHEMA_VERSION, "at": at.isoformat(), "prices": [_row_json(*row) for row in rows]}


def _row_json(price: Price, age_days: int | None) -> dict[str, Any]:
    long = price.long
    return {
        "model": price.model,
        **_rates_json(price.standard),
        "web_search_usd_per_1k": plain(price.web_search_usd_per_1k),
        "us_multiplier": plain(price.us_multiplier),
        "regional_multiplier": plain(price.regional_multiplier),
        "fast": None if price.fast is None else _rates_json(price.fast),
        "long": None if long is None else {"above_tokens": long.above_tokens, **_rates_json(long.rates)},
        "effective": None if price.effective == date.min else price.effective.isoformat(),
        "checked": None if price.checked is None else price.checked.isoformat(),
        "age_days": age_days,
        "source": price.source,
    }


def _rates_json(rates: Rates) -> dict[str, str]:
    return {name: plain(getattr(rates, name)) for _, name in _COLUMNS}


def plain(value: Decimal) -> str:
    """
    All the digits that count, never an exponent.
    """
    return f"{value.normalize():f}"


def page(value: Decimal) -> str:
    """
    As the price page prints it: two decimals or more, never fewer than it has.
    """
    text = plain(value)
    return text if len(text.partition(".")[2]) > 2 else f"{value:.2f}"


def show(rows: Sequence[Row], console: Console, asked: str | None = None) -> None:
    """
    Print the table and its sources. `asked`: how the only model was spelled.
    """
    sources = list(dict.fromkeys((price.source, age_days) for price, age_days in rows))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("model", overflow="fold")
    for name, _ in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for price, age_days in rows:
        cells = [page(getattr(price.standard, name)) for _, name in _COLUMNS]
        mark = f"[{sources.index((price.source, age_days)) + 1}]"
        table.add_row(printable(price.model), *cells, _age(age_days), mark)
        _add_special(table, price)
    console.print(Text("US dollars per million tokens", style="bold"))
    console.print(table)
    console.print()
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for number, (source, age_days) in enumerate(sources, 1):
        when = "last checked: unknown" if age_days is None else f"checked {_days(age_days)} ago"
        grid.add_row(f"[{number}]", f"{printable(source)}, {when}")
    console.print(grid)
    _show_surcharges(rows, console, asked)


def _add_special(table: Table, price: Price) -> None:
    special = [("fast mode", price.fast)]
    if price.long is not None:
        special.append((f"above {price.long.above_tokens:,} tokens", price.long.rates))
    for name, rates in special:
        if rates is not None:
            table.add_row(f"  {name}", *(page(getattr(rates, column)) for _, column in _COLUMNS), "", "", style="dim")


def _show_surcharges(rows: Sequence[Row], console: Console, asked: str | None) -> None:
    """
    What else a price may be multiplied with; of one model only, for it differs between them.
    """
    if asked is None:
        console.print("one model with its surcharges: savemode prices MODEL; your own: --price-file", style="dim")
        return
    price = rows[0][0]
    if price.model != asked:
        console.print(f"{printable(asked)} is priced as {printable(price.model)}")
    facts = [f"batches x 0.5, web search ${page(price.web_search_usd_per_1k)} per 1,000"]
    if price.us_multiplier != 1:
        facts.append(f"US inference x {plain(price.us_multiplier)}")
    if price.effective != date.min:
        facts.append(f"since {price.effective}")
    console.print(", ".join(facts))


def _age(age_days: int | None) -> str:
    return "-" if age_days is None else f"{age_days} d"


def _days(age_days: int) -> str:
    return "1 day" if age_days == 1 else f"{age_days} days"
