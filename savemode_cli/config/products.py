"""
The products and their aliases: those that savemode knows, and those of config files.

Rule of this file: it reads the tables of all sources, and checks each row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.wire.products import ALIASES, KNOWN_PRODUCTS, PRODUCTS, Products


def merged_products(product: str | None, tables: Sequence[Mapping[str, Any]]) -> Products:
    """
    The products and aliases of all sources, with the product of requests that name none.

    Args:
        product: the value of the option `product`; None where nobody gave it.
        tables: what each source says, the nearest last.

    Raises:
        ConfigError: a row is not of the right form, or a name is not that of a product.
    """
    idle_prone = dict(KNOWN_PRODUCTS)
    aliases = dict(ALIASES)
    for table in tables:
        for name, row in table.get("products", {}).items():
            if not isinstance(row, dict) or not isinstance(row.get("idle_prone"), bool):
                raise ConfigError(f"product {name} needs idle_prone", hint=f"{name} = {{ idle_prone = true }}")
            idle_prone[name] = row["idle_prone"]
        aliases |= {name: str(target) for name, target in table.get("aliases", {}).items()}
    products = Products(idle_prone, aliases, PRODUCTS.default)
    for name, target in aliases.items():
        if target not in idle_prone:
            raise ConfigError(f"alias {name} names no known product: {target}", hint=_known(products))
    default = products.resolve(PRODUCTS.default if product is None else product)
    if default is None:
        raise ConfigError(f"unknown product {product!r}", hint=_known(products))
    return Products(idle_prone, aliases, default)


def _known(products: Products) -> str:
    return f"known products: {', '.join(sorted({*products.idle_prone, *products.aliases}))}"
