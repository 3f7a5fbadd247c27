"""
The names of products.
"""

import pytest

from savemode_cli.core.wire.products import ALIASES, KNOWN_PRODUCTS, PRODUCTS, Products


@pytest.mark.parametrize("name", [*KNOWN_PRODUCTS, *ALIASES])
def test_every_known_name_is_a_product(name: str) -> None:
    """
    An alias is another name of a product that is known.
    """
    assert PRODUCTS.resolve(name) in KNOWN_PRODUCTS


def test_another_name_is_not_a_product() -> None:
    """
    Names are compared as they are written.
    """
    assert PRODUCTS.resolve("Django") is None
    assert Products({"ide": True}, {"editor": "ide"}, "ide").resolve("editor") == "ide"
