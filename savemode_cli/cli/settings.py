"""
The settings of a command, and what the user must know about their sources.

Rule of this file: it loads and prints. `savemode_cli.config` decides what is allowed.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savemode_cli.cli.screen import announcer

if TYPE_CHECKING:
    from savemode_cli.config import Settings


def load_settings(flags: Mapping[str, Any], config: Path | None = None) -> "Settings":
    """
    Load the settings, and warn once if part of the working directory's config file is ignored.

    Args:
        flags: the flags of the command, by the names of options; None means that a flag was not given.
        config: the file of `--config`.

    Raises:
        ConfigError: see `savemode_cli.config.load`.
    """
    from savemode_cli.config import load

    settings = load(flags, config=config)
    if settings.untrusted is not None:
        _warn_once(f"{settings.untrusted}; {settings.untrusted.advice}")
    return settings


@cache
def _warn_once(text: str) -> None:
    announcer(sys.stderr)("untrusted_config", text)


def deciding(settings: "Settings") -> Iterator[tuple[str, str]]:
    """
    What decided, in addition to flags, variables and defaults: each config file, and who named the upstream.

    Yields:
        A name of one word, and a sentence.
    """
    from savemode_cli.config import DEFAULT_UPSTREAM

    for file in settings.files:
        yield "config", str(file)
    if settings.upstream != DEFAULT_UPSTREAM:
        yield "upstream", upstream_words(settings)


def upstream_words(settings: "Settings") -> str:
    """
    The upstream, and its source unless that is the command line.
    """
    origin = settings.upstream_from
    return settings.upstream if origin in ("", "--upstream") else f"{settings.upstream}, from {origin}"
