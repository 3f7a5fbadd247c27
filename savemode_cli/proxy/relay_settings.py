"""
The settings of a relay.

Rule of this file: it only defines values. They do not change while the proxy runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from savemode_cli.core.budget.choices import NO_GUARD, GuardLimits, RefusalChoice
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.wire.access_tokens import NO_TOKENS, AccessTokens
from savemode_cli.core.wire.products import PRODUCTS, Products


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """
    What a user has chosen for all requests.
    """

    policy: Policy
    upstream_path: bytes = b""
    """The path of the upstream's URL, without a slash at the end."""
    products: Products = PRODUCTS
    debug: bool = False
    save: bool = False
    """Whether the process runs with `--save`, which opens the gate in debug mode."""
    observe: bool = False
    beta_header: bool = True
    hold_out: float = 0
    """The share of the sessions that is not upgraded, for comparison."""
    forward_posthog_headers: bool = False
    allow_uncounted: bool = False
    """Whether requests that may cost money and are not counted are always allowed."""
    tokens: AccessTokens = NO_TOKENS
    """The personal access tokens, which identify the person who sends a request."""
    ledger_options: str | None = ""
    """The options with which a command reaches the ledger, for the hints of refusals; see `refusal`."""
    guard: GuardLimits = NO_GUARD
    """From where on a conversation seems to have run away, and what happens then."""
    refusal: RefusalChoice = "auto"
    refusal_statuses: Mapping[str, int] = field(default_factory=dict)
    """The status that ends each client; see `refused_status`."""
