"""
Options: what is printed.
"""

from dataclasses import dataclass

from savemode_cli.config.option import option

LOG_FORMATS = ("text", "logfmt", "json")


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """
    How requests are printed.
    """

    log_format: str = option(
        "text",
        choices=LOG_FORMATS,
        help="How each request is printed; text is a row on a terminal and logfmt elsewhere.",
        commands=("serve", "run"),
        harmless=True,
        effect="how requests are printed",
    )
    quiet: bool = option(
        default=False,
        short="-q",
        help="Print no line for each request.",
        commands=("serve",),
        harmless=True,
        effect="how much is printed",
    )
    verbose: bool = option(
        default=False,
        short="-v",
        help="Print each edit, each skip, and IDs too.",
        other_help={"run": "Print each request to stderr."},
        commands=("serve", "run"),
        harmless=True,
        effect="how much is printed",
    )
