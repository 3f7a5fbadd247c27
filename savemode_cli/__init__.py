"""
savemode: see, upgrade and cap what Anthropic Messages API calls cost.

Rule of this file: importing it loads no third-party module.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - costs 65 ms, and --help does not need it

        return version("savemode-cli")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
