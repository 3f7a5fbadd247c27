"""
The folders in which savemode keeps files of the user.

Rule of this file: such a folder has an absolute path. If the home folder is not known, `~/.config` would be a folder in the
working directory, where another person may have written files.
"""

from pathlib import Path

from savemode_cli.core.errors import ConfigError

CAPTURES_NAME = "captures"


def user_config() -> Path | None:
    """
    The user's config folder; None if it is not known.
    """
    import platformdirs  # noqa: PLC0415 - takes time, and help does not need it

    path = Path(platformdirs.user_config_dir("savemode", appauthor=False))
    return path if path.is_absolute() else None


def user_data() -> Path:
    """
    The user's data folder, with the ledger, captures and events that wait.

    Raises:
        ConfigError: it is not known.
    """
    import platformdirs  # noqa: PLC0415 - see above

    return _absolute(platformdirs.user_data_dir("savemode", appauthor=False))


def user_captures() -> Path:
    """
    The folder of captures if no other is named.

    Raises:
        ConfigError: it is not known.
    """
    return user_data() / CAPTURES_NAME


def user_state() -> Path:
    """
    The user's state folder, with the records of trusted files.

    Raises:
        ConfigError: it is not known.
    """
    import platformdirs  # noqa: PLC0415 - see above

    return _absolute(platformdirs.user_state_dir("savemode", appauthor=False))


def _absolute(folder: str) -> Path:
    if not Path(folder).is_absolute():
        raise ConfigError(f"{folder} is not an absolute path", hint="set HOME, or the XDG variable of this folder")
    return Path(folder)
