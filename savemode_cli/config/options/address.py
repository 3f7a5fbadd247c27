"""
Options: where the proxy listens, who may use it, and where it sends requests.
"""

from dataclasses import dataclass

from savemode_cli.config import addresses, values
from savemode_cli.config.option import option
from savemode_cli.core.wire.access_tokens import NO_TOKENS, AccessTokens

DEFAULT_UPSTREAM = "https://api.anthropic.com"


@dataclass(frozen=True, kw_only=True)
class AddressOptions:
    """
    Times are seconds.
    """

    host: str = option(
        "127.0.0.1",
        values.host,
        metavar="ADDRESS",
        help="Address to listen on.",
        commands=("serve", "doctor"),
        risk="reveals",
        effect="the proxy listens on this address",
    )
    port: int = option(
        8787,
        values.port,
        metavar="PORT",
        help="Port to listen on; 0 takes a free one.",
        other_help={"run": "Port of the proxy.  [default: a free one]"},
        commands=("serve", "run", "doctor"),
        risk="reveals",
        effect="the proxy listens on this port",
    )
    upstream: str = option(
        DEFAULT_UPSTREAM,
        addresses.upstream,
        metavar="URL",
        suggestions=(addresses.SIMULATED, DEFAULT_UPSTREAM),
        help="Where requests go: an http(s) address, or: simulated.",
        shown_default="the real API",
        commands=("serve", "run", "doctor"),
        risk="sends",
        effect="your API key and every prompt go to this address",
    )
    forward_posthog_headers: bool = option(
        default=False,
        help="Pass x-posthog-* headers on to an upstream that is a gateway itself.",
        commands=("serve", "run"),
        risk="reveals",
        effect="x-posthog-* headers of your clients are passed on to the upstream",
    )
    connect_timeout_s: float = option(
        10.0,
        values.seconds,
        help="How many seconds a connection to the upstream may take. After that the answer is 504.",
        effect="how long a connection to the upstream may take",
    )
    read_timeout_s: float = option(
        900.0,
        values.seconds,
        help="How many seconds the upstream may send nothing. After that the answer is 504.",
        effect="how long the upstream may send nothing",
    )
    incoming_mb: int = option(
        512,
        values.count,
        metavar="MB",
        help="How many megabytes of unfinished request bodies are kept in memory; beyond that the slowest are refused. "
        "0 for no limit.",
        effect="how many megabytes of unfinished request bodies are kept in memory",
    )
    grace_s: float = option(
        30.0,
        values.seconds,
        metavar="SECONDS",
        help="How long running requests may go on when the proxy stops.",
        commands=("serve", "run"),
        effect="how long running requests may go on when the proxy stops",
    )
    allow_remote: bool = option(
        default=False,
        help="Permit an address that other machines can reach.",
        commands=("serve",),
        risk="reveals",
        effect="other machines may reach the proxy",
    )
    allow_host: tuple[str, ...] = option(
        (),
        values.words,
        metavar="NAME",
        help="Serve requests that address the proxy by this name too.",
        doc="Host names by which clients may address the proxy too; in a variable they are separated by commas.",
        commands=("serve",),
        risk="reveals",
        effect="requests that address the proxy by this name are served",
    )
    access_token: str | None = option(
        None,
        values.token,
        secret=True,
        help="The token that all clients must send as `x-savemode-token`, unless each person has a token. "
        "It has no flag, because flags are visible in process lists.",
        risk="reveals",
        effect="clients must send this token, which everybody who can read the file knows",
    )
    tokens: AccessTokens = option(
        NO_TOKENS,
        values.table,
        secret=True,
        help="The digests of the access tokens of people, by name. `savemode tokens add` makes one.",
        risk="reveals",
        effect="whose access tokens the proxy accepts, and so who may use it and whose budget each request uses",
    )
