"""
What the service runs.
"""

from pathlib import Path

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.service.definition import Service, service, service_environment


def test_words() -> None:
    """
    The interpreter does not look for modules in the working directory; options stand last, paths are whole.
    """
    made = service("/venv/python", ["--port", "9"], Path("/etc/../etc/a b.toml"), {}, 29.6)

    assert made.words[:5] == ("/venv/python", "-P", "-m", "savemode_cli", "serve")
    assert made.words[5:] == ("--config", "/etc/../etc/a b.toml", "--port", "9")
    assert made.stop_s == 45
    assert service("/venv/python", [], Path("x.toml"), {}, 30).words[6] == str(Path.cwd() / "x.toml")


def test_variables() -> None:
    """
    Folders, and nothing else: no option and no key.
    """
    environ = {
        "XDG_DATA_HOME": "/d",
        "XDG_CONFIG_HOME": "",
        "XDG_STATE_HOME": "not/absolute",
        "SAVEMODE_ACCESS_TOKEN": "t",
    }

    assert service_environment(environ) == {"XDG_DATA_HOME": "/d"}


@pytest.mark.parametrize("word", ["\udcff", "a\nb", "\0", "\x7f"])
def test_words_that_no_file_can_contain(word: str) -> None:
    """
    Bytes that are not UTF-8, and control characters: a line break could begin a setting of its own.
    """
    with pytest.raises(ConfigError, match="cannot contain"):
        Service((word,))
    with pytest.raises(ConfigError, match="cannot contain"):
        Service(("x",), {"A": word})
