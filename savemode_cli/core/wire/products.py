"""
The products whose requests pass through the proxy.

Rule of this file: it contains names, and reads no request.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Products:
    """
    The known products, which of them are idle-prone (a person uses them and pauses), and other names of them.
    """

    idle_prone: Mapping[str, bool]
    aliases: Mapping[str, str]
    default: str

    def resolve(self, name: str) -> str | None:
        """
        The product that a path segment names; None if it names none.
        """
        name = self.aliases.get(name, name)
        return name if name in self.idle_prone else None


KNOWN_PRODUCTS: Mapping[str, bool] = {
    "background_agents": False,
    "django": False,
    "growth": False,
    "llm_gateway": False,
    "posthog_code": True,
    "product_analytics": False,
    "signals": False,
    "slack-posthog-code": False,
    "slack_app": True,
    "wizard": False,
}
ALIASES: Mapping[str, str] = {"array": "posthog_code", "twig": "posthog_code", "slack-twig": "slack-posthog-code"}
PRODUCTS = Products(KNOWN_PRODUCTS, ALIASES, default="llm_gateway")
