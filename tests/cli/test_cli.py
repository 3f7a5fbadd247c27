"""
The command as a whole: help, version, misuse, and what it costs to start.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import SAVEMODE, environment, python, savemode, savemode_here
from tests.support.waiting import LONG_S

COMMANDS = ("demo", "serve", "run", "diff-request")
HEAVY = (
    *(
        "aiohttp",
        "anyio",
        "asyncio",
        "genai_prices",
        "httptools",
        "httpx",
        "msgspec",
        "platformdirs",
    ),
    *("posthog", "redis", "rich", "starlette", "tomllib", "uvicorn", "uvloop"),
)
LOADED = """
import contextlib, io, sys
sys.argv = ["savemode", *{arguments!r}]
from savemode_cli.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
print(*[name for name in {heavy!r} if name in sys.modules])
"""


@pytest.mark.parametrize("arguments", [[], ["--help"], *([command, "--help"] for command in COMMANDS)], ids=str)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """
    Asking for help costs the start of Typer and nothing else (ARCHITECTURE 2.7): the list of modules, not milliseconds.
    """
    assert python(LOADED.format(arguments=arguments, heavy=HEAVY)).split() == []


def test_help_names_every_command() -> None:
    """
    The first screen has each command with its sentence, and fits a terminal.
    """
    done = savemode("--help")

    said = done.stdout.decode()
    assert done.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} +[A-Z]", said, re.MULTILINE)
    assert max(len(line) for line in said.splitlines()) <= 80


def test_no_arguments_is_help() -> None:
    """
    The bare command explains itself.
    """
    done = savemode()

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == savemode("-h").stdout


def test_version() -> None:
    """
    `--version` is the name and the number.
    """
    assert re.fullmatch(r"savemode \d+\.\d+\.\d+\S*\n", savemode("--version").stdout.decode())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "No such command 'nope'"),
        (["--nope"], "No such option: --nope"),
        (["serve", "--portt", "1"], "No such option: --portt"),
        (["serve", "--port", "abc"], "--port is 'abc'"),
        (["serve", "--port"], "Option '--port' requires an argument"),
        (["serve", "more"], "Got unexpected extra argument"),
        (["run"], "Missing argument"),
        (["diff-request"], "Missing argument"),
        (["serve", "--port", "70000"], "--port is '70000'"),
        (["serve", "--config", "nowhere.toml"], "no such config file: nowhere.toml"),
    ],
    ids=" ".join,
)
def test_misuse(arguments: list[str], said: str) -> None:
    """
    Misuse is one `error:` line with a code and a hint below it, exit code 2, nothing on stdout, no traceback.
    """
    done = savemode_here(*arguments)

    first, hint = done.stderr.decode().splitlines()
    assert first.startswith(f"error: {said}")
    assert re.search(r" \[(usage|config_error)\]$", first)
    assert hint.startswith("  ")
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_long_error_is_cut_short() -> None:
    """
    A file may hold a name of a megabyte; its place and what is wrong are said all the same.
    """
    Path("prices.json").write_text(json.dumps({"price": [{"model": "m" * 900_000, "input": "x", "output": 1}]}))
    said = savemode_here("prices", "--price-file", "prices.json").stderr.decode()

    assert len(said) < 2500
    assert said.startswith("error: prices.json: price 1 (mmm")
    assert "input is 'x', not a number" in said


def test_misuse_of_the_process() -> None:
    """
    The same from a real process.
    """
    done = savemode("nope")

    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: No such command 'nope' [usage]\n  see ")


@pytest.mark.parametrize("arguments", [["demo"], ["--help"]], ids=str)
def test_reader_that_leaves_is_no_failure(arguments: list[str]) -> None:
    """
    `| head` is not a negative answer: exit code 0, no traceback.
    """
    process = subprocess.Popen(
        [*SAVEMODE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None

    _, said = process.communicate(timeout=LONG_S)

    assert (process.returncode, said) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["prices"], ["prices", "--json"], ["--help"]], ids=" ".join)
def test_answer_that_cannot_be_written(arguments: list[str]) -> None:
    """
    On a full disk `> FILE` is one `error:` line and exit code 2: an answer cut short is not taken for a whole one.
    """
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*SAVEMODE, *arguments], stdout=full, stderr=subprocess.PIPE, env=environment(), check=False
        )

    first, hint = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert first == "error: cannot write the answer: no space left on device [bad_output]"
    assert hint.startswith("  ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    """
    What a shell needs to complete commands and options; asked for, it is printed and nothing is installed.
    """
    done = savemode("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"_SAVEMODE_COMPLETE=complete_" + shell.encode() in done.stdout


@pytest.mark.parametrize(
    ("typed", "place", "offered"),
    [
        ("savemode bud", "1", ["budget"]),
        ("savemode budget al", "2", ["allow"]),
        ("savemode serve --bu", "2", ["--budget", "--budget-window"]),
    ],
)
def test_completion(typed: str, place: str, offered: list[str]) -> None:
    """
    Commands, their subcommands and their options.
    """
    done = savemode(_SAVEMODE_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=place)

    assert done.stdout.decode().split() == offered
