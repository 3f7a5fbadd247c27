"""
Configuration: every option from every source, their order, and what is said about mistakes.
"""

import tomllib
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.config import (
    DEFAULT_UPSTREAM,
    FILE_NAME,
    LOG_FORMATS,
    OPTIONS,
    Settings,
    load,
    override_value,
    proxy_for,
    user_captures,
    with_base_url,
)
from savemode_cli.core.budget import Window
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.transform import Policy

# As text, as TOML writes it, and as it is read.
EVERY: dict[str, tuple[str, str, Any]] = {
    "host": ("::1", '"::1"', "::1"),
    "port": ("0", "0", 0),
    "upstream": ("https://host:8/a/", '"https://host:8/a/"', "https://host:8/a"),
    "product": ("wizard", '"wizard"', "wizard"),
    "ttl_policy": (" Always ", '"always"', "always"),
    "compat": ("upstream", '"upstream"', "upstream"),
    "debug": ("true", "true", True),
    "observe": ("1", "true", True),
    "beta_header": ("no", "false", False),
    "allow_bedrock": ("yes", "true", True),
    "allow_oauth_edits": ("on", "true", True),
    "allow_remote": ("TRUE", "true", True),
    "access_token": ("0123456789abcdef", '"0123456789abcdef"', "0123456789abcdef"),
    "allow_host": ("a.example, B.example", '["a.example", "B.example"]', ("a.example", "b.example")),
    "forward_posthog_headers": ("true", "true", True),
    "connect_timeout_s": ("1.5", "1.5", 1.5),
    "read_timeout_s": ("7", "7", 7.0),
    "grace_s": ("3", "3", 3.0),
    "log_format": ("json", '"json"', "json"),
    "quiet": ("true", "true", True),
    "verbose": ("true", "true", True),
    "budget": ("5.40", '"5.40"', 5_400_000_000),
    "budget_window": ("month:15", '"month:15"', Window("month", 15)),
    "budget_zone": ("Europe/Berlin", '"Europe/Berlin"', "Europe/Berlin"),
    "budget_scope": ("user", '"user"', "user"),
    "strict": ("true", "true", True),
    "warn_at": ("0.5", "0.5", Decimal("0.5")),
    "engage_at": ("0.9", "0.9", Decimal("0.9")),
    "fail": ("closed", '"closed"', "closed"),
    "ledger": ("sqlite:///l.db", '"sqlite:///l.db"', "sqlite:///l.db"),
    "price_file": ("prices.toml", '"prices.toml"', Path("prices.toml")),
    "telemetry": ("off", "false", False),
    "telemetry_content": ("true", "true", True),
    "events_file": ("events.jsonl", '"events.jsonl"', Path("events.jsonl")),
    "print_events": ("true", "true", True),
    "posthog_api_key": ("phc_012345", '"phc_012345"', "phc_012345"),
    "posthog_personal_api_key": ("phx_012345", '"phx_012345"', "phx_012345"),
    "posthog_host": ("https://eu.i.posthog.com/", '"https://eu.i.posthog.com"', "https://eu.i.posthog.com"),
    "posthog_distinct_id": ("me@example.com", '"me@example.com"', "me@example.com"),
    "posthog_project": ("p", '"p"', "p"),
    "team_id": ("7", "7", 7),
    "capture": ("some/folder", '"some/folder"', Path("some/folder")),
    "keep": (" 2D ", '"48h"', timedelta(days=2)),
}
FIELDS = {"budget": "budget_nusd", "budgets": "further_budgets"}
"""The settings that are not called what their options are: an option is in the unit in which people write it."""


def loaded(flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, **more: Any) -> Settings:
    """
    Load with nothing but what the test gives.
    """
    return load(flags or {}, environ or {}, **more)


def toml(text: str, name: str = FILE_NAME) -> Path:
    """
    A file in the working directory.
    """
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def refused(flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, **more: Any) -> tuple[str, str]:
    """
    The message and the hint of the error.
    """
    with pytest.raises(ConfigError) as raised:
        loaded(flags, environ, **more)
    return raised.value.message, raised.value.hint


def test_defaults() -> None:
    """
    Without any source the settings are the documented defaults: loopback, the real API, no surprise.
    """
    assert loaded() == Settings()
    assert (Settings().host, Settings().port, Settings().upstream) == ("127.0.0.1", 8787, "https://api.anthropic.com")


def test_table_is_complete() -> None:
    """
    The tests below run over every option there is.
    """
    assert set(EVERY) | {"products", "aliases", "budgets"} == set(OPTIONS)
    assert {FIELDS.get(name, name) for name in OPTIONS} == {one.name for one in fields(Settings) if one.compare} | {
        "aliases"
    }


@pytest.mark.parametrize("name", EVERY)
def test_from_environment(name: str) -> None:
    """
    Every option is read from its variable, text as people write it.
    """
    text, _, expected = EVERY[name]

    assert getattr(loaded(environ={f"SAVEMODE_{name.upper()}": text}), FIELDS.get(name, name)) == expected


@pytest.mark.parametrize("name", EVERY)
def test_from_file(name: str) -> None:
    """
    Every option is read from `./savemode.toml`, typed.
    """
    _, text, expected = EVERY[name]
    toml(f"{name} = {text}\n")

    assert getattr(loaded(), FIELDS.get(name, name)) == expected


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


@pytest.mark.parametrize(("value", "expected"), [("true", True), (" TRUE ", True), ("1", False), ("", False)])
def test_debug_of_the_gateway(value: str, expected: bool) -> None:
    """
    The original's own variable switches debug on, with its own strictness; ours wins over it.
    """
    assert loaded(environ={"LLM_GATEWAY_DEBUG": value}).debug is expected
    assert not loaded(environ={"LLM_GATEWAY_DEBUG": value, "SAVEMODE_DEBUG": "false"}).debug


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
    assert hint == f"options: {', '.join(OPTIONS)}"


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
        ("ttl_policy", "sometimes", "give off | product | always"),
        ("compat", "downstream", "give none | upstream"),
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


def test_products_and_aliases() -> None:
    """
    Tables add to the built-in ones, from several files at once, and may name each other.
    """
    user = toml('[products]\nide = { idle_prone = true }\n[aliases]\neditor = "ide"\n', "user/savemode.toml").parent
    toml('product = "editor"\n[products]\nwizard = { idle_prone = true }\n')

    settings = loaded(user_folder=user)

    assert settings.product == "ide"
    assert settings.products.default == "ide"
    assert settings.products.resolve("twig") == "posthog_code"
    assert settings.products.idle_prone["wizard"]
    assert not settings.products.idle_prone["signals"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[products]\nide = true\n", "product ide needs idle_prone"),
        ('[products]\nide = { idle_prone = "yes" }\n', "product ide needs idle_prone"),
        ("[products]\nide = {}\n", "product ide needs idle_prone"),
        ('[aliases]\neditor = "ide"\n', "alias editor names no known product: ide"),
        ("[aliases]\neditor = 5\n", "alias editor names no known product: 5"),
        ('product = "ide"\n', "unknown product 'ide'"),
    ],
)
def test_bad_table(text: str, message: str) -> None:
    """
    A row that says too little, and a name that leads nowhere, are errors with the way out.
    """
    toml(text)

    found, hint = refused()

    assert found == message
    assert hint


def test_override_is_read_anew() -> None:
    """
    `COST_CONTROLS_ENABLED` is read as it stands at each call; unset is None, and it is no option of ours.
    """
    assert override_value({"COST_CONTROLS_ENABLED": " True "}) == " True "
    assert override_value({}) is None
    assert override_value() is None


@pytest.mark.parametrize(
    ("upstream", "environ", "expected"),
    [
        ("https://api.example", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("http://api.example", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://api.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example"}, None),
        ("http://127.0.0.1:8", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://localhost:8", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[::1]:8", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://api.example", {}, None),
    ],
)
def test_proxy(upstream: str, environ: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The environment's proxy is used for the upstream it is meant for, and never for loopback.
    """
    for name in ("http_proxy", "https_proxy", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(upstream) == expected


@pytest.mark.parametrize(("value", "on"), [("true", True), ("1", True), ("", False), ("off", False)])
def test_captures_are_on_or_off_or_somewhere(value: str, on: bool) -> None:
    """
    A word for yes is the user's own folder, one for no is off; anything else is a folder.
    """
    own = user_captures()

    assert loaded(environ={"SAVEMODE_CAPTURE": value}).capture == (own if on else None)
    assert own.name == "captures"
    assert loaded({"capture": "~/x"}).capture == Path("~/x").expanduser()
    assert loaded({"capture": Path("x")}).capture == Path("x")


def test_captures_may_be_kept_for_ever() -> None:
    """
    A month unless somebody says otherwise: they hold prompts.
    """
    assert loaded({"keep": "forever"}).keep is None
    assert loaded().keep == timedelta(days=30)


def test_policy() -> None:
    """
    The settings that concern the transform reach it.
    """
    settings = loaded({"ttl_policy": "always", "compat": "upstream", "allow_bedrock": True, "allow_oauth_edits": True})

    assert settings.policy == Policy(ttl="always", compat=True, allow_bedrock=True, allow_oauth=True)
    assert loaded().policy == Policy(ttl="product")


def test_example_of_the_docstring_is_valid() -> None:
    """
    What the module shows as a config file is one.
    """
    text = 'ttl_policy = "always"\n[products]\nide = { idle_prone = true }\n[aliases]\neditor = "ide"\n'
    toml(text)

    assert loaded().products.resolve("editor") == "ide"
    assert tomllib.loads(text)["ttl_policy"] == loaded().ttl_policy


def test_simulated_upstream_has_a_ledger_of_its_own() -> None:
    """
    What it bills is no money: unless a ledger is named, it is kept in memory, and the user's own is not opened.
    """
    settings = loaded({"upstream": " Simulated "})

    assert (settings.upstream, settings.is_simulated, settings.ledger_url) == ("simulated", True, "memory:")
    assert loaded({"upstream": "simulated", "ledger": "sqlite:////a/b"}).ledger_url == "sqlite:////a/b"
    assert not Settings().is_simulated
    assert with_base_url(settings, {"ANTHROPIC_BASE_URL": "https://gateway.example"}).is_simulated


def test_base_url_is_the_upstream_unless_one_was_configured() -> None:
    """
    `run` goes on to where the command would have gone, and an option says otherwise.
    """
    environ = {"ANTHROPIC_BASE_URL": "https://gateway.example/anthropic/"}

    assert with_base_url(Settings(), environ).upstream == "https://gateway.example/anthropic"
    assert with_base_url(Settings(upstream="http://127.0.0.1:1"), environ).upstream == "http://127.0.0.1:1"
    assert with_base_url(Settings(), {}).upstream == DEFAULT_UPSTREAM
    with pytest.raises(ConfigError) as caught:
        with_base_url(Settings(), {"ANTHROPIC_BASE_URL": "user:secret@x"})
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("token", ["", "short", "with a blank in it", "\u00e9" * 16, "x" * 257])
def test_a_poor_token_is_not_repeated(token: str) -> None:
    """
    It may be half of a good one.
    """
    with pytest.raises(ConfigError) as raised:
        load({}, {"SAVEMODE_ACCESS_TOKEN": token})

    assert "SAVEMODE_ACCESS_TOKEN is not usable" in raised.value.message
    assert not token or token not in raised.value.message


def test_settings_do_not_show_the_token() -> None:
    """
    Neither in a log nor in a traceback.
    """
    assert "0123456789abcdef" not in repr(load({}, {"SAVEMODE_ACCESS_TOKEN": "0123456789abcdef"}))


def test_posthogs_own_variables_are_read_and_ours_win() -> None:
    """
    Who has set up PostHog has set it up for us; an empty variable is none.
    """
    theirs = {"POSTHOG_API_KEY": "phc_theirs", "POSTHOG_HOST": "https://eu.i.posthog.com"}

    read = loaded({}, theirs)
    assert (read.posthog_api_key, read.posthog_host) == ("phc_theirs", "https://eu.i.posthog.com")
    assert loaded({}, {**theirs, "SAVEMODE_POSTHOG_API_KEY": "phc_ours00"}).posthog_api_key == "phc_ours00"
    assert loaded({}, {"POSTHOG_API_KEY": " "}).posthog_api_key is None


def test_posthog_hears_nothing_without_a_key_or_against_a_no() -> None:
    """
    A person to ask flags for is no key, `telemetry = false` is a no to both, and what is simulated is nobody's cost.
    """
    full = {"POSTHOG_API_KEY": "phc_012345", "SAVEMODE_POSTHOG_DISTINCT_ID": "me"}

    assert (loaded({}, full).sends_events, loaded({}, full).asks_flags) == (True, True)
    assert not loaded({}, {"SAVEMODE_POSTHOG_DISTINCT_ID": "me"}).asks_flags
    assert not loaded({}, {"POSTHOG_API_KEY": "phc_012345"}).asks_flags
    for flags in ({"telemetry": False}, {"upstream": "simulated"}):
        no = loaded(flags, full)
        assert (no.sends_events, no.asks_flags) == (False, False)


@pytest.mark.parametrize("name", ["POSTHOG_API_KEY", "SAVEMODE_POSTHOG_PERSONAL_API_KEY"])
def test_a_key_is_never_shown(name: str) -> None:
    """
    Neither a good one in the settings nor a bad one in an error.
    """
    with pytest.raises(ConfigError) as raised:
        load({}, {name: "phc bad one"})

    assert "bad" not in raised.value.message + raised.value.hint
    assert "phc_012345" not in repr(load({}, {name: "phc_012345"}))


@pytest.mark.parametrize("team", ["-1", "x", "1.5", "9" * 19, "9" * 5000])
def test_a_team_is_a_number(team: str) -> None:
    """
    Of those that PostHog gives out.
    """
    message, hint = refused({}, {"SAVEMODE_TEAM_ID": team})

    assert "SAVEMODE_TEAM_ID" in message
    assert hint == "give a team's number"


def test_files_that_had_a_say_are_named(tmp_path: Path) -> None:
    """
    The nearest first, and none that is not there or says nothing.
    """
    (tmp_path / "savemode.toml").write_text("quiet = true")
    user = tmp_path / "user"
    user.mkdir()
    (user / "savemode.toml").write_text("")
    given = tmp_path / "given.toml"
    given.write_text("verbose = true")

    assert load({}, {}, folder=tmp_path, user_folder=user).files == (str(tmp_path / "savemode.toml"),)
    both = load({}, {}, config=given, folder=tmp_path, user_folder=user)
    assert both.files == (str(given), str(tmp_path / "savemode.toml"))


@pytest.mark.parametrize("name", ["POSTHOG_HOST", "SAVEMODE_POSTHOG_HOST"])
def test_posthogs_address_is_refused_under_the_name_it_was_given(name: str) -> None:
    """
    Whoever set PostHog's own variable finds it in the error; and no PostHog is simulated.
    """
    message, hint = refused({}, {name: "nope"})

    assert message == f"{name} is 'nope'"
    assert "simulated" not in hint
    assert "https://us.i.posthog.com" in hint


def test_variables_are_no_config_files() -> None:
    """
    Neither ours nor PostHog's: the banner names files that had a say, and nothing else.
    """
    assert loaded({}, {"POSTHOG_HOST": "http://127.0.0.1:1", "SAVEMODE_PORT": "0"}).files == ()
