"""
The screen on which a command prints.

Rule of this file: it knows the streams, and nothing about the content. Everything that a command writes to stdout or
stderr goes through a function of this file, and so through `savemode_cli.views.printable`.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from savemode_cli.views.printable import (
    printable,
    printable_ansi,
    printable_json,
    printable_lines,
    without_colours,
)

if TYPE_CHECKING:
    from rich.console import Console

    from savemode_cli.config import Settings
    from savemode_cli.core.exchange.exchange import Exchange


def printer(settings: "Settings", out: TextIO) -> "Callable[[Exchange], None]":
    """
    The sink that prints each exchange: as a row on a terminal, else as logfmt, or as one JSON object per line.
    """
    if settings.quiet:
        return lambda _exchange: None
    if settings.log_format == "json":
        return lambda exchange: say(out, _json_line(exchange))
    if settings.log_format == "logfmt" or not out.isatty():
        return _logfmt_printer(out, verbose=settings.verbose)
    return _row_printer(out, verbose=settings.verbose)


def _json_line(exchange: "Exchange") -> str:
    return printable_json(json.dumps(exchange.shortened().to_json(), separators=(",", ":")))


def _logfmt_printer(out: TextIO, *, verbose: bool) -> "Callable[[Exchange], None]":
    from savemode_cli.views.logfmt import logfmt
    from savemode_cli.views.request import details

    def show(exchange: "Exchange") -> None:
        exchange = exchange.shortened()
        say(out, "\n".join([logfmt(exchange), *(details(exchange) if verbose else ())]))

    return show


def _row_printer(out: TextIO, *, verbose: bool) -> "Callable[[Exchange], None]":
    from savemode_cli.views.request import details, heading, row, trouble

    above = [*heading(width_of(out))]

    def show(exchange: "Exchange") -> None:
        exchange = exchange.shortened()
        lines = [row(exchange, width_of(out)), *trouble(exchange), *(details(exchange) if verbose else ())]
        say(out, "\n".join([*above, *lines]))
        above.clear()

    return show


def say(out: TextIO, text: str) -> None:
    """
    Write lines at once, with colours where they are wanted. If the reader has closed the stream (`savemode serve |
    head`), nothing is written, because the requests matter more.
    """
    shown = printable_ansi(text) if wants_colour(out) else printable_lines(without_colours(text))
    with contextlib.suppress(OSError, ValueError):
        out.write(f"{shown}\n")
        out.flush()


def announcer(out: TextIO) -> Callable[[str, str], None]:
    """
    A function that prints an urgent message at once: a constant name to search for, then a sentence.
    """
    from typer import style

    def announce(event: str, text: str) -> None:
        say(out, f"{style('WARNING', fg='yellow')} {event}: {printable(text)}")

    return announce


def guard_tracebacks() -> None:
    """
    Make the traceback of an unexpected error printable, because it may quote what somebody sent.
    """
    sys.excepthook = _print_traceback
    threading.excepthook = lambda hook: _print_traceback(hook.exc_type, hook.exc_value, hook.exc_traceback)


def _print_traceback(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    from traceback import format_exception

    say(sys.stderr, "".join(format_exception(kind, error, trace)).rstrip("\n"))


def guard_logs() -> None:
    """
    The same for the logs of libraries. Without a configuration, their warnings and errors go to stderr.
    """
    import logging

    class Printable(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return printable_lines(super().format(record))

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Printable())


def wants_colour(out: TextIO) -> bool:
    """
    Whether to use colours: only on a terminal, and never if NO_COLOR is set (https://no-color.org).
    """
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


WIDTH = 80
_LEAST_WIDTH = 40


def width_of(out: TextIO) -> int:
    """
    The columns of a terminal; otherwise `COLUMNS`, or 80.
    """
    if out.isatty():
        with contextlib.suppress(OSError, ValueError):
            return os.get_terminal_size(out.fileno()).columns or WIDTH
    return _columns(os.environ.get("COLUMNS", ""))


def console() -> "Console":
    """
    Standard output, with colours where they are wanted.
    """
    from savemode_cli.views.console import PrintableConsole

    colour = wants_colour(sys.stdout)
    return PrintableConsole(no_color=not colour, force_terminal=colour, width=width_of(sys.stdout))


def progress_console() -> "Console":
    """
    Standard error, for a progress bar.
    """
    from savemode_cli.views.console import PrintableConsole

    return PrintableConsole(stderr=True)


def echo(text: str, *, err: bool = False) -> None:
    """
    Print lines of text.

    Args:
        text: one line or more, without the end of the last line.
        err: whether it goes to stderr.
    """
    out = sys.stderr if err else sys.stdout
    out.write(f"{printable_lines(text)}\n")
    out.flush()


def echo_json(value: Any, *, indent: int | None = 2) -> None:
    """
    Print a value as JSON.
    """
    sys.stdout.write(f"{printable_json(json.dumps(value, indent=indent))}\n")
    sys.stdout.flush()


def write_bytes(data: bytes) -> None:
    """
    Write bytes to stdout: unchanged, or as printable text on a terminal.
    """
    if sys.stdout.isatty():
        sys.stdout.write(printable_lines(data.decode("utf-8", "backslashreplace")))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _columns(text: str) -> int:
    columns = int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
    return max(columns, _LEAST_WIDTH) if columns else WIDTH
