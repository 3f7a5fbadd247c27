"""
Config files of a folder, trusted as `savemode trust` trusts them.
"""

from datetime import UTC, datetime
from pathlib import Path

from savemode_cli.config.sources import parse_toml, trust_store
from savemode_cli.config.trust import folder_file


def trust(folder: Path | str = ".") -> None:
    """
    Trust the `savemode.toml` of a folder with its present content.
    """
    file = folder_file(Path(folder))
    assert file is not None
    trust_store().add(file.path, file.digest(parse_toml(file.content, str(file.path))), datetime.now(UTC))


def trusted_config(text: str, folder: Path | str = ".") -> Path:
    """
    Write a folder's `savemode.toml`, and trust it.
    """
    path = Path(folder) / "savemode.toml"
    path.write_text(text)
    trust(folder)
    return path
