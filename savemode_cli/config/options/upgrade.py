"""
Options: which requests are edited, and how.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from savemode_cli.config import values
from savemode_cli.config.option import Option, option
from savemode_cli.core.money.amounts import NUSD_PER_USD
from savemode_cli.core.upgrade.gate import DEBUG_ENV
from savemode_cli.core.upgrade.policy import TTL_POLICIES, TtlPolicy
from savemode_cli.core.upgrade.rules import Rule
from savemode_cli.core.wire.products import ALIASES, KNOWN_PRODUCTS, PRODUCTS, Products

COMPATS = ("none", "upstream")


@dataclass(frozen=True, kw_only=True)
class UpgradeOptions:
    """
    What may be changed in requests.
    """

    product: str = option(
        PRODUCTS.default,
        values.text,
        metavar="NAME",
        suggestions=tuple(sorted({*KNOWN_PRODUCTS, *ALIASES})),
        help="Product of requests whose path names none; only idle-prone products are upgraded.",
        commands=("serve", "run", "diff-request", "replay"),
        risk="edits",
        harmless=True,
        effect="the product of requests that name none",
    )
    save: bool = option(
        default=False,
        decl="--save/--no-save",
        help="Upgrade your own conversations where 1 hour costs less: opens the gate of this process, with --debug and "
        "--ttl-policy auto. "
        "Loopback only.",
        commands=("serve", "run", "doctor"),
        risk="edits",
        only_own=True,
        effect="nothing: it counts on the command line and in your own config file only",
    )
    ttl_policy: TtlPolicy = option(
        "product",
        choices=TTL_POLICIES,
        metavar="POLICY",
        help="Which requests to upgrade: off, product (those of idle-prone products), main (all but those of sub-agents), "
        "always, or auto (by money).",
        commands=("serve", "run", "diff-request", "replay", "captures show"),
        risk="edits",
        harmless=True,
        effect="which requests are edited",
    )
    hold_out: float = option(
        0.0,
        values.share,
        metavar="SHARE",
        help="Keep this share of the sessions at 5m, to compare the others with (savemode report --trial).",
        doc="The share of the sessions that is not upgraded, from 0 to 1: `savemode report --trial` compares the others with "
        "it.",
        commands=("serve", "run"),
        risk="edits",
        effect="which share of the sessions is not upgraded",
    )
    keep_warm: int = option(
        0,
        values.pings,
        metavar="N",
        help="Keep a 5m cache warm with up to N requests in a row, where they are expected to save more than they cost.",
        doc="How many requests in a row savemode may send to keep the 5-minute cache of a waiting conversation warm, where "
        "they are expected to save more than they cost; 0 for none.",
        commands=("serve", "run"),
        risk="spends",
        effect="savemode sends requests of its own, with your key",
    )
    keep_warm_hourly: int = option(
        check=values.usd,
        default_factory=lambda: NUSD_PER_USD,
        metavar="USD",
        help="What keep-warm requests may cost in any hour.",
        commands=("serve", "run"),
        shown_default="1.00",
        risk="spends",
        effect="how much savemode may spend on requests of its own",
    )
    debug: bool = option(
        default=False,
        help="Let COST_CONTROLS_ENABLED=true open the gate. Loopback only.",
        commands=("serve", "run", "diff-request", "doctor"),
        other_variables=(DEBUG_ENV,),
        risk="edits",
        effect="COST_CONTROLS_ENABLED may open the gate",
    )
    observe: bool = option(
        default=False,
        help="Show what would be edited, and send the original bytes.",
        commands=("serve", "run"),
        risk="edits",
        effect="whether edits are only shown",
    )
    compat: str = option(
        "none",
        choices=COMPATS,
        help="'upstream' reproduces PostHog's gateway, faults included.",
        commands=("serve", "run", "diff-request", "replay"),
        risk="edits",
        effect="whether edits are as PostHog's gateway made them",
    )
    beta_header: bool = option(
        default=True,
        help="Do not name the extended cache TTL in anthropic-beta.",
        doc="Whether upgraded requests name the extended cache TTL in `anthropic-beta`.",
        commands=("serve", "run", "diff-request"),
        risk="edits",
        effect="whether edited requests name the beta of the extended TTL",
    )
    allow_bedrock: bool = option(
        default=False,
        help="Upgrade Bedrock and Vertex models too (4.5 and later).",
        commands=("serve", "run", "diff-request", "replay"),
        risk="edits",
        effect="requests for Bedrock and Vertex models are edited too",
    )
    allow_oauth_edits: bool = option(
        default=False,
        help="Edit requests of a subscription (OAuth) too.",
        commands=("serve", "run", "diff-request", "replay"),
        risk="edits",
        effect="requests of a subscription are edited too",
    )
    products: Products = option(
        PRODUCTS,
        values.table,
        help="Further products: `NAME = { idle_prone = true }`. At the other end of an idle-prone product a person "
        "sits and pauses.",
        risk="edits",
        effect="which products there are, and which of them are edited",
    )
    aliases: Mapping[str, str] = option(
        check=values.table,
        default_factory=lambda: ALIASES,
        help='Further names of products: `NAME = "PRODUCT"`.',
        risk="edits",
        effect="further names of products",
    )


def switch_of(rule: Rule) -> Option:
    """
    The option that turns on a rule which is off by default.

    Args:
        rule: a rule that has no other option, see `savemode_cli.core.upgrade.rules`.
    """
    return Option(
        name=rule.switch,
        check=values.boolean,
        default=False,
        help=rule.description,
        section="Upgrades",
        commands=rule.commands,
        risk="edits",
        effect=f"requests are edited by the rule {rule.name}: {rule.description.rstrip('.')}",
    )
