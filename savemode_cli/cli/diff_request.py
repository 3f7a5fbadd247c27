"""
`savemode diff-request`: what savemode would change in one request, and why the rest stays as it is.

Rule of this file: it decides nothing. A reader finds the request in the input, and the core decides as it does for `serve`.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.screen import console, echo, echo_json, write_bytes
from savemode_cli.core.errors import BadInput, reason

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.diagnosis.comparison import Comparison
    from savemode_cli.core.replay.recording import Call
    from savemode_cli.core.wire.caller import Headers
    from savemode_cli.views.diff import Report
    from savemode_cli.views.request_difference import Shown


def diff_request(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-",
            help="A request body, or a recording or folder of captures that replay reads; - is stdin.",
        ),
    ],
    flags: Flags,
    nth: Annotated[int, typer.Option(min=1, metavar="N", help="Which model call of a recording; the first is 1.")] = 1,
    provider: Annotated[str | None, typer.Option(help="anthropic or bedrock.  [default: anthropic]")] = None,
    flag: Annotated[list[str] | None, typer.Option(help="A flag of the caller, NAME=VALUE; can be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
    as_patch: Annotated[
        bool, typer.Option("--json-patch", help="Output only the change, as a JSON Patch (RFC 6902).")
    ] = False,
    output: Annotated[
        str | None, typer.Option(help="Write the body that would be sent to this file; - is stdout.")
    ] = None,
    headers: Annotated[bool, typer.Option("--headers", help="Also show the changed headers.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if the body would change, or with --against lost its prefix.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER", help="Show where this request differs from an earlier one, as the cache sees it."
        ),
    ] = None,
    against_nth: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Which model call of OTHER.  [default: the one before --nth in FILE, else 1]"
        ),
    ] = None,
    no_text: Annotated[bool, typer.Option("--no-text", help="With --against, show no text of the requests.")] = False,
) -> None:
    """
    Show what would change in a request body if the gate were open, or where it differs from an earlier request.
    """
    if against is None and (against_nth is not None or no_text):
        raise BadInput(
            "--against-nth and --no-text need --against", hint="diff-request after.json --against before.json"
        )
    if against is not None:
        if output is not None or as_patch or headers:
            raise BadInput(
                "--against cannot be used with --output, --json-patch or --headers", hint="--json is for programs"
            )
        nth_before = against_nth or (max(nth - 1, 1) if against == file else 1)
        compared = compare_calls(_call(against, nth_before), _call(file, nth), as_json=as_json, with_text=not no_text)
        if check and compared.loses:
            raise typer.Exit(1)
        return
    if output == "-" and (as_json or as_patch):
        raise BadInput(
            "--output - and the report would both go to stdout", hint="write the body to a file: --output FILE"
        )
    settings = flags.settings()
    given = _headers(provider, flag or [])
    call = _call(file, nth)
    report = report_of(replace(call, headers=(*call.headers, *given)), settings)
    if output is not None:
        _write(output, report.done.body)
    if as_patch:
        from savemode_cli.views.diff import json_patch

        echo_json(json_patch(report.done.edits), indent=None)
    elif output != "-" or as_json:
        print_report(report, as_json=as_json, headers=headers)
    if check and report.done.edits:
        raise typer.Exit(1)


def report_of(call: "Call", settings: "Settings") -> "Report":
    """
    What `serve` would change in a request.

    Args:
        call: the request, from a recording or from the command line.
        settings: the settings of the command.
    """
    from savemode_cli.config import override_value
    from savemode_cli.core.replay.bodies import judged
    from savemode_cli.core.upgrade.gate import gate
    from savemode_cli.core.wire.messages import with_beta
    from savemode_cli.views.diff import Report

    judgement = judged(call, settings.policy, settings.product, settings.products)
    beta = b", ".join(value for name, value in call.headers if name == b"anthropic-beta").decode("latin-1") or None
    changed = judgement.upgraded > 0 and settings.beta_header and with_beta(beta) != beta
    return Report(
        name=call.place,
        original=call.body,
        known=judgement.known,
        done=judgement.done,
        gate=gate(judgement.caller.flags, override_value(), debug=settings.debug, save=settings.save),
        product=judgement.caller.product,
        policy=settings.ttl_policy,
        headers=[("anthropic-beta", beta, with_beta(beta))] if changed else [],
    )


def compare_calls(before: "Call", after: "Call", *, as_json: bool, with_text: bool = True) -> "Comparison":
    """
    Print where two requests differ, as the cache sees it.

    Args:
        before: the earlier request.
        after: the later one.
        as_json: whether to output JSON.
        with_text: whether texts are shown.
    """
    from savemode_cli.views.request_difference import show, to_json

    shown = compared(before, after, with_text=with_text)
    if as_json:
        echo_json(to_json(shown))
    else:
        show(shown, console())
    return shown.comparison


def compared(before: "Call", after: "Call", *, with_text: bool = True) -> "Shown":
    """
    Where two requests differ.

    Raises:
        BadInput: one of them cannot be compared; the message names it.
    """
    from savemode_cli.core.diagnosis.comparison import compare_bodies, request_problem
    from savemode_cli.views.request_difference import Shown

    for call in (before, after):
        problem = request_problem(call.body)
        if problem:
            raise BadInput(f"{call.place}: {problem}", hint="give two bodies of the Messages API")
    return Shown(compare_bodies(before.body, after.body), before.place, after.place, with_text)


def print_report(report: "Report", *, as_json: bool = False, headers: bool = False) -> None:
    """
    Print a report, as text or as JSON.
    """
    from savemode_cli.views.diff import show, to_json

    if as_json:
        echo_json(to_json(report))
    else:
        show(report, console(), headers=headers)


def _call(file: str, nth: int) -> "Call":
    from savemode_cli.readers.one_call import nth_call
    from savemode_cli.readers.problems import Problems

    problems = Problems()
    call = nth_call(file, sys.stdin.buffer, nth, problems)
    if problems.count:
        records = "1 record" if problems.count == 1 else f"{problems.count:,} records"
        echo(f"warning: {records} before this call cannot be read; {problems.named[0]}", err=True)
    return call


def _headers(provider: str | None, flags: list[str]) -> "Headers":
    """
    The request headers that the options set.
    """
    from savemode_cli.core.wire.caller import PROVIDERS

    headers: list[tuple[bytes, bytes]] = []
    for flag in flags:
        name, equals, value = flag.partition("=")
        if not equals or not name:
            raise BadInput(
                f"--flag {flag!r} is not NAME=VALUE", hint="for example --flag llm-gateway-cost-controls=true"
            )
        headers.append((f"x-posthog-flag-{name}".lower().encode(), value.encode()))
    if provider is not None:
        if provider.strip().lower() not in PROVIDERS:
            raise BadInput(
                f"--provider must be {' or '.join(PROVIDERS)} (got {provider!r})", hint="like --provider bedrock"
            )
        headers.append((b"x-posthog-provider", provider.encode()))
    return headers


def _write(output: str, body: bytes) -> None:
    """
    Write the body. A file is replaced as a whole, so that it is never incomplete.
    """
    if output == "-":
        write_bytes(body)
        return
    # Write to the file that a symbolic link points to; keep the link.
    target = Path(output).resolve()
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(body)  # a device or a pipe: do not replace /dev/null with a file
        else:
            _replace(target, body)
    except OSError as error:
        raise BadInput(f"cannot write {output}: {reason(error)}", hint="nothing was changed") from None


def _replace(target: Path, body: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        file = Path(folder) / target.name
        file.write_bytes(body)
        if target.exists():
            file.chmod(target.stat().st_mode)
        file.replace(target)
