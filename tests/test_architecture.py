"""
The shape of the package, as tests: who may import whom, what the core may touch, what start-up may load.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from savemode_cli.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "savemode_cli"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.stat().st_size)

CORE_MAY_IMPORT = {
    "base64",
    "binascii",
    "bisect",
    "brotli",  # decoders of response bodies, loaded when the first such answer comes
    "collections",
    "contextlib",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "importlib",  # loads the function of a rule with its first call: help lists rules without a JSON parser
    "itertools",
    "json",
    "math",
    "msgspec",  # the one JSON parser
    "operator",
    "random",  # `Random` with a seed, which is pure
    "re",
    "secrets",  # for one name that the author of a body cannot guess
    "shlex",  # quotes the words of commands that are advised
    "statistics",
    "struct",  # packs the columns of a fingerprint
    "threading",  # the lock of the ledger that lives in memory
    "typing",
    "uuid",  # for UUID5, which is a hash; uuid4 is not pure and is looked for below
    "zlib",
    "zoneinfo",
    "zstandard",
}
OWN_LIBRARY = {
    "httpx": set(),
    "aiohttp": {"proxy/connector.py", "proxy/transport.py", "proxy/unreachable.py"},
    "multidict": {"proxy/transport.py"},
    "yarl": {"proxy/transport.py"},
    "uvicorn": {"serving/cycle.py", "serving/protocol.py", "serving/server.py"},
    "starlette": {"proxy/gateway.py", "proxy/live_pages.py", "serving/server.py"},
    "textual": {"views/top/app.py"},
    "opentelemetry": {"telemetry/collector.py"},
    "rich": {
        "views/aligned.py",
        "views/auto.py",
        "views/trial.py",
        "views/budget.py",
        "views/captures.py",
        "views/clients.py",
        "views/console.py",
        "views/demo.py",
        "views/diff.py",
        "views/doctor.py",
        "views/people.py",
        "views/prices.py",
        "views/replay.py",
        "views/request_difference.py",
        "views/report.py",
        "views/simulation.py",
        "views/tables.py",
        "views/top/app.py",
        "views/trust.py",
        "views/why.py",
    },
    "posthog": set(),
    "anyio": set(),
    "platformdirs": set(),
    "uvloop": set(),
}
"""The files that are about a library, and so may import it at their top."""

HEAVY = (
    "aiohttp",
    "anyio",
    "asyncio",
    "genai_prices",
    "httpx",
    "msgspec",
    "posthog",
    "rich",
    "starlette",
    "textual",
    "uvicorn",
)


def part_of(path: Path) -> str:
    """
    The part of the package a file belongs to: a folder, or a module at the top.
    """
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.Module, *, everywhere: bool) -> Iterator[tuple[str, int]]:
    """
    The modules imported, with their lines: at the top level, or everywhere. `if TYPE_CHECKING:` does not count.
    """
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree) if everywhere else tree.body:
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def named(path: Path) -> str:
    """
    A file's name in messages and parameters.
    """
    return path.relative_to(PACKAGE).as_posix()


def test_imports_follow_the_layers() -> None:
    """
    The contracts of `pyproject.toml` hold: packages stand on floors, and nothing imports from a higher floor.
    """
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) == "core"], ids=named)
def test_core_is_pure(path: Path) -> None:
    """
    The core imports the pure part of the standard library, the one parser, and itself (the layers contract).
    """
    source = path.read_text()
    for name, line in imports(ast.parse(source), everywhere=True):
        words = name.split(".")
        assert words[0] in {"savemode_cli", *CORE_MAY_IMPORT}, f"{named(path)}:{line} imports {name}"
    called = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {
        func.id if isinstance(func, ast.Name) else func.attr
        for func in called
        if isinstance(func, ast.Name | ast.Attribute)
    }
    assert not names & {"print", "open", "input", "now", "utcnow", "today", "uuid1", "uuid4"}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_libraries_stay_where_they_belong(path: Path) -> None:
    """
    At the top of a file stands only the library that the file is about.
    """
    for name, line in imports(ast.parse(path.read_text()), everywhere=False):
        library = name.split(".")[0]
        assert named(path) in OWN_LIBRARY.get(library, {named(path)}), f"{named(path)}:{line} imports {library}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__main__.py"], ids=named)
def test_every_module_has_its_test_file(path: Path) -> None:
    """
    A module's tests are found by its name.
    """
    if path.name == "__init__.py" and not any(
        isinstance(one, ast.FunctionDef) for one in ast.parse(path.read_text()).body
    ):
        pytest.skip("no code of its own")
    folder = ROOT / "tests" / path.relative_to(PACKAGE).parent
    stem = path.parent.name if path.name == "__init__.py" else path.stem
    names = [f"test_{stem}.py"] if path.parent != PACKAGE or path.name != "__init__.py" else ["test_public_api.py"]
    assert any((folder / name).exists() for name in names), f"no {names[0]} in {folder.relative_to(ROOT)}"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_modules_open_with_their_rule(path: Path) -> None:
    """
    Each file says what it is for and which rule it keeps.
    """
    text = ast.get_docstring(ast.parse(path.read_text()))

    assert text, f"{named(path)} has no docstring"
    assert path.name == "__main__.py" or "Rule of this" in text or len(text.splitlines()) == 1


@pytest.mark.parametrize("word", ["message_delta", "cache_creation", "cache_read_input", "input_schema", "ephemeral"])
def test_wire_words_stand_in_one_place(word: str) -> None:
    """
    Field names of the API are spelled where the API's shape is known, and nowhere else in the package.
    """
    simulated = {f"simulated/{name}.py" for name in ("answers", "script", "validation", "workday")}
    known = {f"core/wire/{name}.py" for name in ("breakpoints", "facts", "messages", "meter", "report", "request_body")}
    known |= simulated
    if word.startswith("cache"):
        # PostHog's and OpenTelemetry's names for the counters are the API's with a prefix.
        known |= {"telemetry/event.py", "telemetry/otel.py"}
    spelled = {named(path) for path in MODULES if word in path.read_text()}

    assert spelled - known - ({"core/upgrade/cache_ttl.py"} if word == "ephemeral" else set()) == set()


@pytest.mark.parametrize("name", ["", *(line.name for line in COMMANDS)])
def test_help_loads_nothing_heavy(name: str) -> None:
    """
    Help is instant because nothing heavy is imported for it: the list of modules is checked, not milliseconds.
    """
    code = (
        "import sys\nfrom savemode_cli.cli import app\n"
        f"try:\n    app({[*name.split(), '--help']!r}, standalone_mode=False)\nfinally:\n"
        f"    print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_library_import_loads_no_third_party_module() -> None:
    """
    `import savemode_cli` costs nothing.
    """
    code = "import sys; before = set(sys.modules); import savemode_cli; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "['savemode_cli']"


def test_everything_is_printed_through_one_place() -> None:
    """
    No module writes to a stream itself, so that what is printable is decided in one place.
    """
    allowed = {
        "cli/screen.py",
        "views/console.py",
        "statusline.py",
    }  # the last starts without the screen, for its speed
    names = {"print", "typer.echo", "click.echo", "sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer.write"}
    names |= {"Console", "sys.stdout.buffer.flush", "typer.secho", "pprint", "sys.stdout.writelines"}
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}: {ast.unparse(node.func)}"
        for path in MODULES
        if path.relative_to(PACKAGE).as_posix() not in allowed
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names
    }

    assert found == set()
