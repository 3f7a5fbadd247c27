"""
Products and aliases of config files.
"""

import tomllib

import pytest

from tests.support.configured import loaded, refused, toml


def test_products_and_aliases() -> None:
    """
    Tables add to the built-in ones, from several files at once, and may name each other.
    """
    user = toml('[products]\nide = { idle_prone = true }\n[aliases]\neditor = "ide"\n', "user/savemode.toml").parent
    toml('product = "editor"\n[products]\nwizard = { idle_prone = true }\n')

    settings = loaded(user_folder=user)

    assert settings.product == "ide"
    assert settings.products.default == "ide"
    assert settings.products.resolve("twig") == "posthog_code"
    assert settings.products.idle_prone["wizard"]
    assert not settings.products.idle_prone["signals"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[products]\nide = true\n", "product ide needs idle_prone"),
        ('[products]\nide = { idle_prone = "yes" }\n', "product ide needs idle_prone"),
        ("[products]\nide = {}\n", "product ide needs idle_prone"),
        ('[aliases]\neditor = "ide"\n', "alias editor names no known product: ide"),
        ("[aliases]\neditor = 5\n", "alias editor names no known product: 5"),
        ('product = "ide"\n', "unknown product 'ide'"),
    ],
)
def test_bad_table(text: str, message: str) -> None:
    """
    A row that says too little, and a name that leads nowhere, are errors with the way out.
    """
    toml(text)

    found, hint = refused()

    assert found == message
    assert hint


def test_example_of_the_docstring_is_valid() -> None:
    """
    What the module shows as a config file is one.
    """
    text = 'ttl_policy = "always"\n[products]\nide = { idle_prone = true }\n[aliases]\neditor = "ide"\n'
    toml(text)

    assert loaded().products.resolve("editor") == "ide"
    assert tomllib.loads(text)["ttl_policy"] == loaded().ttl_policy
