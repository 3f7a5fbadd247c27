"""
The banner, as lines of text.
"""

from savemode_cli.views.banner import banner, gate_words
from savemode_cli.views.printable import without_colours
from tests.builders import CLOSED, OPEN
from tests.support.planted import EVIL, UNPRINTED


def test_banner() -> None:
    """
    Labels in a column, a command on a line of its own, the line to copy last.
    """
    rows = [("upstream", "https://up"), ("upgrades", gate_words(CLOSED)), ("hint", "to do this:"), ("", "that")]

    assert without_colours(banner("1.2.3", "http://h:1", rows)) == (
        "savemode 1.2.3\n"
        "  address   http://h:1\n"
        "  upstream  https://up\n"
        "  upgrades  off unless a request switches them on: no flag\n"
        "            llm-gateway-cost-controls\n"
        "  hint      to do this:\n"
        "            that\n"
        "\n"
        "  export ANTHROPIC_BASE_URL=http://h:1\n"
    )


def test_address_for_clients() -> None:
    """
    Where the proxy listens is not always an address that a client can use.
    """
    said = banner("1", "http://0.0.0.0:1", [], base_url="http://10.0.0.7:1")

    assert said.endswith("\n  export ANTHROPIC_BASE_URL=http://10.0.0.7:1\n")


def test_words_of_an_open_gate() -> None:
    """
    Where upgrades are on for all requests, no request decides.
    """
    assert gate_words(OPEN) == "on: flag llm-gateway-cost-controls is true"


def test_banner_cannot_be_painted() -> None:
    """
    A product's name may come from a config file that somebody else wrote: it neither steers the terminal nor adds a line.
    """
    said = without_colours(banner("1", "u", [("policy", EVIL), ("product", EVIL)], width=200))

    assert not UNPRINTED.search(said.replace("\n", ""))
    assert said.count("\n") == banner("1", "u", [("policy", "x"), ("product", "x")]).count("\n")
