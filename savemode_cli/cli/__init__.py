"""
The command `savemode`: registration, and what an error looks like.

Rule of this file: a command is a plain function in a file of its own; nothing heavy is imported before it is used.
To add a subcommand: `cli/<name>.py` with one function, one line below, one section in the README.
"""

import errno
import os
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from savemode_cli.cli import (
    budget,
    captures,
    demo,
    diff_request,
    doctor,
    options,
    prices,
    replay,
    run,
    serve,
    simulate_budget,
    simulate_upstream,
)
from savemode_cli.core.errors import SavemodeError

app = typer.Typer(
    name="savemode",
    help="See and upgrade what Anthropic Messages API calls cache: a local proxy and its tools.",
    rich_markup_mode=None,
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("serve", cls=options.Command)(serve.serve)
app.command(
    "run", cls=options.Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)(run.run)
app.command("diff-request")(diff_request.diff_request)
app.command("simulate-budget")(simulate_budget.simulate_budget)
app.command("replay")(replay.replay)
app.command("simulate-upstream", epilog=simulate_upstream.FAULTS)(simulate_upstream.simulate_upstream)
app.command("prices")(prices.prices)
app.command("doctor")(doctor.doctor)

budgets = typer.Typer(
    help="See the caps, what is spent and held under them; raise, lift and free them.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
budgets.command("show")(budget.show)
# Or a negative amount would be an unknown option.
budgets.command("set", context_settings={"ignore_unknown_options": True})(budget.set_budget)
budgets.command("drop")(budget.drop)
budgets.command("allow")(budget.allow)
budgets.command("release")(budget.release)
app.add_typer(budgets, name="budget")

kept = typer.Typer(
    help="See what `--capture` has kept; export it, and remove it.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
kept.command("list")(captures.list_captures)
kept.command("show")(captures.show)
kept.command("export")(captures.export)
kept.command("prune")(captures.prune)
app.add_typer(kept, name="captures")


def _version(value: bool) -> None:
    if value:
        from savemode_cli import __version__

        typer.echo(f"savemode {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """
    Run the command and leave with its exit code: 0 done, 1 a negative answer, 2 misuse, 130 interrupted.
    """
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
    from savemode_cli.views.terminal import printable

    typer.echo(f"error: {printable(message)}" + (f" [{code}]" if code else ""), err=True)
    if hint:
        typer.echo(f"  {printable(hint)}", err=True)
    return 2


def _misused(error: Exception) -> int:
    message = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message)
        return 0
    command = context.command_path if context is not None else "savemode"
    return fail(message.rstrip("."), f"see {command} --help", "usage")
