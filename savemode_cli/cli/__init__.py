"""
The command `savemode`: its help, its exit codes, and the form of an error.

Rule of this file: it knows no command. The commands are in the table `COMMANDS`, and heavy modules are imported when
they are used.
"""

import errno
import os
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from savemode_cli.cli.command_group import CommandGroup
from savemode_cli.cli.screen import echo, guard_tracebacks
from savemode_cli.core.errors import SavemodeError
from savemode_cli.views.printable import printable

_MAX_ERROR = 2000
"""The most characters of an error: about 25 lines of a terminal."""

app = typer.Typer(
    name="savemode",
    cls=CommandGroup,
    help="Cut and cap what your Anthropic Messages API calls cost: a local proxy and its tools.\n\nTry: savemode demo",
    rich_markup_mode=None,
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from savemode_cli import __version__

        echo(f"savemode {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """
    Run the command and exit with its exit code: 0 done, 1 a negative answer, 2 wrong use, 130 interrupted.
    """
    guard_tracebacks()
    try:
        code = app(prog_name="savemode", standalone_mode=False)
    except SavemodeError as error:
        code = fail(error.message, error.hint, error.code)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except (BrokenPipeError, SystemExit) as error:
        # The reader of our output has left (`savemode ... | head`), which Typer reports as exit code 1: an answer of ours.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        code = 0
    except OSError as error:
        code = _unwritten(error)
    except Exception as error:
        # Typer's own errors of usage; it keeps their class to itself.
        if not hasattr(error, "format_message"):
            raise
        code = _misused(error)
    full = _let_go_of_output()
    if full is not None and not code:
        code = _unwritten(full)
    sys.exit(code if isinstance(code, int) else 0)


def _let_go_of_output() -> OSError | None:
    """
    Write what is left; where it cannot be, keep Python from failing over it after the exit code was chosen.

    Returns why, unless the reader has left: that is an answer of theirs.
    """
    why = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            why = why if isinstance(error, BrokenPipeError) else error
    return why


def _unwritten(error: OSError) -> int:
    """
    The answer did not get out whole: a full disk under `savemode ... > FILE`.

    Raises:
        OSError: it is no trouble of the output, which is all that commands leave to be met here.
    """
    if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
        raise error
    with suppress(OSError):
        return fail(f"cannot write the answer: {os.strerror(error.errno).lower()}", "make room there", "bad_output")
    return 2


def fail(message: str, hint: str = "", code: str = "") -> int:
    """
    Say what is wrong in one `error:` line and, below it, what to do; the exit code for it.
    """
    echo(f"error: {_bounded(message)}" + (f" [{code}]" if code else ""), err=True)
    if hint:
        echo(f"  {_bounded(hint)}", err=True)
    return 2


def _bounded(text: str) -> str:
    """
    A text on one line: of what a file holds, a name or a value may be as long as the file.
    """
    shown = printable(text)
    return shown if len(shown) <= _MAX_ERROR else f"{shown[: _MAX_ERROR // 2]} ... {shown[-_MAX_ERROR // 2 :]}"


def _misused(error: Exception) -> int:
    message = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        echo(message)
        return 0
    command = context.command_path if context is not None else "savemode"
    return fail(message.rstrip("."), f"see {command} --help", "usage")
