"""
Trust: what is read of a folder, what a file may say without trust, and the records of trust.
"""

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from savemode_cli.config import load
from savemode_cli.config.sources import trust_store
from savemode_cli.config.trust import MAX_FILE_BYTES, folder_file, restricted
from savemode_cli.core.errors import ConfigError
from tests.support.trusting import trusted_config

FILE = Path("savemode.toml")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_folders_do_not_share_their_budgets(tmp_path: Path) -> None:
    """
    Two folders of one name have two budgets, each with a count of its own.
    """
    names = set()
    for place in ("a/same", "b/same", "a/\u202e \x07", "a/-.-", "a/" + "n" * 200):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "savemode.toml").write_text('budget = 1\n[budgets."' + "b" * 60 + '"]\nlimit_usd = 2\n')
        names |= {one.name for one in load({}, {}, folder=tmp_path / place).budgets()}
    assert len(names - {"default"}) == 10


@pytest.mark.parametrize(
    "record",
    [
        "",
        "nonsense",
        "[]",
        "[" * 100_000,
        "{}",
        '{"path": 1, "digest": 1, "trusted_at": "2026-11-24T00:00:00+00:00"}',
        '{"path": "/elsewhere/savemode.toml", "digest": "DIGEST", "trusted_at": "2026-11-24T00:00:00+00:00"}',
        '{"path": "PATH", "digest": "", "trusted_at": "2026-11-24T00:00:00+00:00"}',
        '{"path": "PATH", "digest": "DIGEST", "trusted_at": "never"}',
    ],
    ids=lambda text: text[:40],
)
def test_a_damaged_record_trusts_nothing(record: str) -> None:
    """
    Nor does one of another path under this one's name.
    """
    trusted_config("port = 1\n")
    (place,) = (Path(os.environ["XDG_STATE_HOME"]) / "savemode" / "trusted").glob("*.json")
    kept = json.loads(place.read_text())
    place.write_text(record.replace("PATH", kept["path"]).replace("DIGEST", kept["digest"]))

    assert load({}, {}).port == 8787


def test_records_are_the_persons_alone() -> None:
    """
    In folders and files that nobody else can read; listed by path; a new one takes the place of the old one.
    """
    store = trust_store()
    for path, digest in (("/b/savemode.toml", "1"), ("/a/savemode.toml", "2"), ("/b/savemode.toml", "3")):
        store.add(Path(path), digest, NOW)
    top = Path(os.environ["XDG_STATE_HOME"]) / "savemode"

    assert [(one.path, one.digest, one.trusted_at) for one in store.records()] == [
        ("/a/savemode.toml", "2", NOW),
        ("/b/savemode.toml", "3", NOW),
    ]
    assert len(list((top / "trusted").iterdir())) == 2
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (top, top / "trusted", *(top / "trusted").iterdir())}
    assert modes == {0o700, 0o600}


def test_records_that_cannot_be_written() -> None:
    """
    An error with its place.
    """
    (Path(os.environ["XDG_STATE_HOME"]) / "savemode").write_text("a file")

    with pytest.raises(ConfigError, match=r"^cannot write to .*/savemode/trusted: "):
        trust_store().add(Path("/a"), "1", NOW)
    assert trust_store().records() == []


def test_what_is_no_config_file() -> None:
    """
    A pipe that nobody writes to, a folder, a device, a huge file, a deep one: an error at once, with its place.
    """
    for make, message in (
        (lambda: os.mkfifo(FILE), "is not a regular file"),
        (FILE.mkdir, "is not a regular file"),
        (lambda: FILE.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda: FILE.write_bytes(b"#" * (MAX_FILE_BYTES + 1)), "is larger than 1,048,576 bytes"),
        (lambda: FILE.write_text(f"a = {'[' * 20_000}"), "is nested too deeply"),
        (lambda: FILE.write_text(f"a = {'9' * 9_000}"), "is not TOML"),
        (lambda: FILE.write_bytes(b"\xff"), "is not TOML"),
    ):
        make()
        with pytest.raises(ConfigError, match=message):
            load({}, {})
        FILE.rmdir() if FILE.is_dir() else FILE.unlink()
    assert folder_file(Path("no/such/folder")) is None


def test_a_table_that_is_none() -> None:
    """
    Whatever stands where tables should, what is restricted is what could be read.
    """
    found = restricted(FILE.resolve(), {"budgets": 3, "budget": [], "product": {}, "x": 1})

    assert (found.table, found.ignored) == ({"product": {}}, ("budgets", "x"))
    assert list(found.budgets.values()) == [{"limit_usd": []}]
    assert list(found.renamed) == list(found.budgets)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('budget = "a lot"', "savemode.toml: budget.limit_usd is 'a lot'"),
        ('budget = 1\nbudget_zone = "Mars"', "savemode.toml: budget.zone is 'Mars'"),
        ("[budgets.team]\n", "savemode.toml: budgets.team has no limit_usd"),
        ("budgets.team = 3\n", "savemode.toml: budgets.team has no limit_usd"),
        ("quiet = 7\n", "savemode.toml: quiet is 7"),
    ],
)
def test_a_mistake_is_found_where_it_was_made(text: str, message: str) -> None:
    """
    Also in a file that is not trusted, by the names that stand in it.
    """
    FILE.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load({}, {})

    assert raised.value.message == message
