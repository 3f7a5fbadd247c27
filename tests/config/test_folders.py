"""
The user's own folders: absolute, or none.
"""

from pathlib import Path

import platformdirs
import pytest

from savemode_cli.config import load
from savemode_cli.config.folders import user_config, user_data, user_state
from savemode_cli.config.sources import trust_store
from savemode_cli.core.errors import ConfigError
from tests.support.trusting import trusted_config


def test_where_the_platform_keeps_them(tmp_path: Path) -> None:
    """
    Below the folders that the environment names.
    """
    assert user_config() == tmp_path / "xdg_config_home" / "savemode"
    assert user_data() == tmp_path / "xdg_data_home" / "savemode"
    assert user_state() == tmp_path / "xdg_state_home" / "savemode"


def test_a_home_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `~/.config` of a working directory is not the user's: nothing is read there, nothing is kept there, nothing is trusted.
    """
    trusted_config("port = 2\n")
    for name in ("user_config_dir", "user_data_dir", "user_state_dir"):
        monkeypatch.setattr(platformdirs, name, lambda *_, **__: "~/.config/savemode")
    folder = Path("~/.config/savemode")
    folder.mkdir(parents=True)
    (folder / "savemode.toml").write_text("port = 1\n")

    assert (load({}, {}).port, user_config()) == (8787, None)
    for ask in (user_data, user_state, trust_store):
        with pytest.raises(ConfigError, match=r"^~/\.config/savemode is not an absolute path$"):
            ask()
