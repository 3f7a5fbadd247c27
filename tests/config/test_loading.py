"""
Every source of options, their order, and the errors.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.config import OPTIONS, Settings, load
from savemode_cli.config.options.output import LOG_FORMATS
from savemode_cli.config.sources import ConfigFile
from savemode_cli.config.trust import FILE_NAME
from tests.support.configured import loaded, refused, toml


def test_defaults() -> None:
    """
    Without any source the settings are the documented defaults: loopback, the real API, no surprise.
    """
    assert loaded() == Settings()
    assert (Settings().host, Settings().port, Settings().upstream) == ("127.0.0.1", 8787, "https://api.anthropic.com")


def test_order_of_sources() -> None:
    """
    Flags, `--config`, environment, the working directory, the user's directory, defaults: each beats those behind it.
    """
    user = toml("port = 1\n", "user/savemode.toml").parent
    sources: list[dict[str, Any]] = [
        {"user_folder": user},
        {"folder": toml("port = 2\n", "here/savemode.toml").parent},
        {"environ": {"SAVEMODE_PORT": "3"}},
        {"config": toml("port = 4\n", "given.toml")},
        {"flags": {"port": 5}},
    ]

    given: dict[str, Any] = {}
    found = []
    for source in sources:
        given |= source
        found.append(loaded(**given).port)

    assert found == [1, 2, 3, 4, 5]


def test_users_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The user's file is found where the platform keeps such files.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "config" / "savemode").mkdir(parents=True)
    (tmp_path / "config" / "savemode" / FILE_NAME).write_text("quiet = true\n")

    assert loaded().quiet


def test_flag_that_is_none_was_not_given() -> None:
    """
    None leaves the word to the other sources; False does not.
    """
    toml("debug = true\nquiet = true\n")

    settings = loaded({"debug": None, "quiet": False})

    assert (settings.debug, settings.quiet) == (True, False)


@pytest.mark.parametrize(
    ("flags", "environ", "place"),
    [
        ({"ttl_polcy": "off"}, {}, "--ttl-polcy"),
        ({}, {"SAVEMODE_TTL_POLCY": "off"}, "SAVEMODE_TTL_POLCY"),
    ],
)
def test_near_miss(flags: dict[str, str], environ: dict[str, str], place: str) -> None:
    """
    An option that does not exist is named as it was spelled, with the one that was probably meant.
    """
    assert refused(flags, environ) == (f"{place}: there is no such option", "did you mean ttl_policy?")


def test_unknown_option_in_a_file() -> None:
    """
    In a file the file is named; without a near miss the hint lists what there is.
    """
    message, hint = refused(config=toml("zzz = 1\n", "mine.toml"))

    assert message == "mine.toml: zzz: there is no such option"
    assert hint == f"options: {', '.join(sorted(OPTIONS))}"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("port", "abc", "give a number from 0 to 65535"),
        ("port", "65536", "give a number from 0 to 65535"),
        ("port", "-1", "give a number from 0 to 65535"),
        ("port", "1.5", "give a number from 0 to 65535"),
        ("grace_s", "abc", "give a number of seconds above 0"),
        ("grace_s", "0", "give a number of seconds above 0"),
        ("grace_s", "nan", "give a number of seconds above 0"),
        ("grace_s", "inf", "give a number of seconds above 0"),
        ("debug", "perhaps", "give true or false"),
        ("ttl_policy", "sometimes", "give off | product | main | always | auto"),
        ("compat", "downstream", "give none | upstream"),
        ("refusal", "403", "give auto | 429 | 402"),
        ("log_format", "xml", f"give {' | '.join(LOG_FORMATS)}"),
        ("host", " ", "give a text"),
        ("upstream", "host", "give an http:// or https:// address"),
        ("upstream", "http://[::1", "give an http:// or https:// address"),
        ("upstream", "http://host:x", "give an address whose port is a number up to 65535"),
        ("products", "x", "give a table"),
        ("keep", "7", "give hours or days, like 12h or 7d, or forever"),
        ("keep", "0d", "give hours or days"),
        ("keep", "7w", "give hours or days"),
    ],
)
def test_wrong_value(name: str, value: str, wanted: str) -> None:
    """
    A value that cannot be used is named with its source, and what would be right is said in words.
    """
    message, hint = refused(environ={f"SAVEMODE_{name.upper()}": value})

    assert message == f"SAVEMODE_{name.upper()} is {value!r}"
    assert hint.startswith(wanted)


@pytest.mark.parametrize(
    "line",
    [
        "port = true",
        "port = 1.5",
        'port = "x"',
        "grace_s = true",
        "grace_s = []",
        "debug = 1",
        'debug = "maybe"',
        "ttl_policy = 1",
        "host = 5",
        "upstream = 5",
        "allow_host = [1]",
        "allow_host = 5",
        "products = 5",
        "aliases = []",
        "product = {}",
        "capture = 5",
        "keep = 7",
    ],
)
def test_wrong_type_in_a_file(line: str) -> None:
    """
    TOML has types, and a wrong one is an error with file and option, never a traceback.
    """
    toml(f"{line}\n")

    message, hint = refused()

    assert message.startswith(f"{FILE_NAME}: {line.partition(' ')[0]} is ")
    assert hint.startswith("give ")


def test_toml_that_is_none() -> None:
    """
    A broken file is named with the place of the break.
    """
    message, _ = refused(config=toml("port = 1\nquiet = = true\n", "mine.toml"))

    assert message.startswith("mine.toml is not TOML: ")
    assert "line 2, column 9" in message


@pytest.mark.parametrize("content", [b"\xff", b'host = "\xff"'])
def test_file_that_is_not_text(content: bytes) -> None:
    """
    Bytes that are no UTF-8 are an error, not a traceback.
    """
    Path(FILE_NAME).write_bytes(content)

    assert refused()[0].startswith(f"{FILE_NAME} is not TOML: ")


def test_file_that_cannot_be_read() -> None:
    """
    A given file must be there; a folder in its place is said to be one.
    """
    Path("folder").mkdir()

    assert refused(config=Path("nowhere.toml"))[0] == "no such config file: nowhere.toml"
    assert refused(config=Path("folder"))[0] == "cannot read folder: is a directory"


@pytest.mark.parametrize(
    "upstream",
    [
        "https://user:hunter2@host",
        "https://host/?key=hunter2",
        "https://host/#token=hunter2",
        "sk-hunter2",
        "https://user:hunter2@host:port",
    ],
)
def test_credential_is_not_echoed(upstream: str) -> None:
    """
    A value that looks as if it held a credential is refused without being repeated.
    """
    message, hint = refused(environ={"SAVEMODE_UPSTREAM": upstream})

    assert "hunter2" not in message + hint
    assert message == "SAVEMODE_UPSTREAM is not usable"


def test_files_that_decided_are_named(tmp_path: Path) -> None:
    """
    The nearest first, each with what it decided; none that is not there, says nothing, or was overruled.
    """
    (tmp_path / "savemode.toml").write_text('quiet = true\nproduct = "wizard"\nupstream = "https://evil.example"\n')
    user = tmp_path / "user"
    user.mkdir()
    (user / "savemode.toml").write_text("quiet = false")
    given = tmp_path / "given.toml"
    given.write_text("verbose = true")
    here = ConfigFile(str(tmp_path / "savemode.toml"), ("quiet", "product"), trusted=False)

    assert load({}, {}, folder=tmp_path, user_folder=user).files == (here,)
    both = load({"quiet": True}, {}, config=given, folder=tmp_path, user_folder=user)
    assert both.files == (ConfigFile(str(given), ("verbose",)), replace(here, options=("product",)))
    assert str(here) == f"{tmp_path}/savemode.toml (not trusted): quiet, product"


def test_variables_are_no_config_files() -> None:
    """
    Neither ours nor PostHog's: the banner names files that had a say, and nothing else.
    """
    assert loaded({}, {"POSTHOG_HOST": "http://127.0.0.1:1", "SAVEMODE_PORT": "0"}).files == ()


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"flags": {"save": True}}, (True, "auto")),
        ({"environ": {"SAVEMODE_SAVE": "true"}}, (True, "auto")),
        ({"flags": {"save": True, "ttl_policy": "always"}}, (True, "always")),
        ({"flags": {"save": True}, "environ": {"SAVEMODE_TTL_POLICY": "off"}}, (True, "auto")),
        ({"flags": {"ttl_policy": "off"}, "environ": {"SAVEMODE_SAVE": "true"}}, (True, "off")),
        ({"flags": {"save": True}, "environ": {"SAVEMODE_DEBUG": "false"}}, (True, "auto")),
        ({"flags": {"save": False}, "environ": {"SAVEMODE_SAVE": "true"}}, (False, "product")),
        ({"environ": {"SAVEMODE_SAVE": "false"}}, (False, "product")),
    ],
)
def test_what_save_stands_for(sources: dict[str, Any], expected: tuple[bool, str]) -> None:
    """
    Debug mode and its policy, unless a source that is as near gives another.
    """
    found = loaded(**sources)

    assert (found.debug, found.ttl_policy) == expected


def test_save_in_the_persons_own_file() -> None:
    """
    It counts there and in the file of `--config`, and never in a file of the folder.
    """
    user = toml("save = true\n", "user/savemode.toml").parent
    named = toml("save = true\n", "given.toml")
    toml("save = true\nport = 7\n")

    here = loaded()
    assert (here.save, here.debug, here.ttl_policy, here.port) == (False, False, "product", 7)
    assert here.untrusted is not None
    assert (
        str(here.untrusted) == f"no folder's file can set these options, so {Path(FILE_NAME).resolve()} does not: save"
    )
    assert "savemode init" in here.untrusted.advice
    assert loaded(user_folder=user).save
    assert loaded(config=named).save
    assert (loaded(user_folder=user).files[-1].options, loaded(user_folder=user).debug) == (("save",), True)
