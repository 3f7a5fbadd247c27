"""
The person's own config file: its text can be loaded, and it is written whole, privately, and over nothing.
"""

import itertools
import stat
import tomllib
from pathlib import Path

import pytest

from savemode_cli.config import load
from savemode_cli.config.own_file import own_text, write_own_file
from savemode_cli.config.trust import FILE_NAME
from savemode_cli.core.errors import BadInput, ConfigError

CHOSEN = {"budget": '"12.50"', "warn_at": "0.6", "save": "true"}


@pytest.mark.parametrize(
    "names", [names for count in range(4) for names in itertools.combinations(CHOSEN, count)], ids=",".join
)
def test_text(names: tuple[str, ...]) -> None:
    """
    What was chosen is set; everything else is a comment, and can be switched on.
    """
    text = own_text({name: CHOSEN[name] for name in names})

    assert set(tomllib.loads(text)) == set(names)
    switched = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())
    Path("user").mkdir()
    Path("user", FILE_NAME).write_text(switched)
    found = load({}, {}, user_folder=Path("user"))
    assert (found.budget_nusd is not None, found.save, found.debug) == (True, True, True)


def test_private() -> None:
    """
    Nobody else can read it, nor look into the folder that was made for it.
    """
    path = write_own_file(Path("new/folder"), "x", force=False)

    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("x", 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("kind", ["file", "link to nothing"])
def test_nothing_is_overwritten(kind: str) -> None:
    """
    A file that is there stays, also one that is a link; with `force` it is kept beside the new one.
    """
    path = Path(FILE_NAME)
    if kind == "file":
        path.write_text("old")
    else:
        path.symlink_to("nowhere")

    with pytest.raises(BadInput, match="exists already"):
        write_own_file(Path(), "new", force=False)
    assert path.is_symlink() or path.read_text() == "old"
    assert write_own_file(Path(), "new", force=True).read_text() == "new"
    assert not Path("nowhere").exists()
    assert sorted(one.name for one in Path().iterdir()) == [FILE_NAME, f"{FILE_NAME}.old"]


def test_folder_that_is_a_file() -> None:
    """
    One error that says why.
    """
    Path("folder").write_text("")

    with pytest.raises(ConfigError, match=r"cannot write folder/savemode\.toml"):
        write_own_file(Path("folder"), "x", force=False)
