"""
`savemode diff-request`: what would change in one request body, and why not elsewhere.

Rule of this file: it judges nothing; it finds the body in what it was given, and asks the core as `serve` does.
"""

import codecs
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savemode_cli.cli import options
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.core.caller import Caller
    from savemode_cli.views.diff import Report


_ESCAPES = rb"(?i)\\(?:ud[89ab]..\\ud[c-f]..|(ud[89a-f]..)|.)"
"""Every escape in a JSON text in turn, a pair of surrogates as one; the group is half of a pair."""


def diff_request(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A body, a {body: ...} wrapper or a HAR; - is stdin.")],
    product: options.Product = None,
    ttl_policy: options.TtlPolicy = None,
    compat: options.Compat = None,
    provider: Annotated[str | None, typer.Option(help="anthropic or bedrock.  [default: anthropic]")] = None,
    flag: Annotated[list[str] | None, typer.Option(help="A flag of the caller, NAME=VALUE; may repeat.")] = None,
    debug: options.Debug = None,
    allow_bedrock: options.AllowBedrock = None,
    no_beta_header: options.NoBetaHeader = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report for machines.")] = False,
    as_patch: Annotated[bool, typer.Option("--json-patch", help="Print only the change, as RFC 6902.")] = False,
    output: Annotated[str | None, typer.Option(help="Write the body as it would be sent; - is stdout.")] = None,
    headers: Annotated[bool, typer.Option("--headers", help="Also show the changes of the headers.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if the body would change.")] = False,
    config: options.Config = None,
) -> None:
    """
    Show what would change in a request body if the gate were open: where, why, and why not elsewhere.
    """
    from savemode_cli.config import load

    if output == "-" and (as_json or as_patch):
        raise BadInput("--output - and a report would both go to stdout", hint="give --output a file")
    settings = load(
        {
            "product": product,
            "ttl_policy": ttl_policy,
            "compat": compat,
            "debug": debug,
            "allow_bedrock": allow_bedrock,
            "beta_header": options.negated(no_beta_header),
        },
        config=config,
    )
    body = body_in(_read(file), "stdin" if file == "-" else file)
    report = _judge(body, file, settings, provider, flag or [])
    if output is not None:
        _write(output, report.done.body)
    if as_patch:
        from savemode_cli.views.diff import json_patch

        typer.echo(json.dumps(json_patch(report.done.edits)))
    elif as_json:
        from savemode_cli.views.diff import to_json

        typer.echo(json.dumps(to_json(report), indent=2))
    elif output != "-":
        _show(report, headers=headers)
    if check and report.done.edits:
        raise typer.Exit(1)


def body_in(raw: bytes, name: str) -> bytes:
    """
    The request body in a file: the file itself, the value of `body`, or the first messages call of a HAR, as it stands.

    Raises:
        BadInput: the file is not JSON, with the place; or holds no request body.
    """
    import msgspec

    read = _object(raw, name)
    if "messages" in read:
        return raw
    if "body" in read:
        inner = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["body"]
        text = read["body"]
        return _checked(
            text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(inner), f"{name} (body)"
        )
    text = _har_text(read)
    if text is not None:
        return _checked(text.encode("utf-8", "surrogatepass"), f"{name} (postData.text)")
    if "log" in read or "request" in read:
        raise BadInput(f"{name}: no messages call in this HAR", hint="it needs a request whose postData.text is a body")
    return raw


def _checked(body: bytes, name: str) -> bytes:
    _object(body, name)
    return body


def _object(raw: bytes, name: str) -> dict[str, Any]:
    read = _parsed(raw, name)
    if not isinstance(read, dict):
        raise BadInput(f"{name}: expected a JSON object, found {_named(read)}", hint="give a Messages API request body")
    return read


def _parsed(raw: bytes, name: str) -> Any:
    """
    The JSON value in a file. The standard library's parser says best where it went wrong, msgspec is the one that counts.
    """
    import msgspec

    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise BadInput(
            f"{name}: nested too deeply to be read", hint="the proxy would send this body as it is"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        place, what = _place_of_error(raw, str(error))
        raise BadInput(f"{name}{place}: not valid JSON: {what}", hint="the API would refuse this body") from None


def _place_of_error(raw: bytes, message: str) -> tuple[str, str]:
    """
    `:line:column`, empty if it is not known, and the cause.
    """
    if not raw.strip():
        return "", "the file is empty"
    if raw.startswith(codecs.BOM_UTF8):
        return ":1:1", "a byte order mark stands before the text"
    try:
        json.loads(raw.decode())
    except json.JSONDecodeError as error:
        return f":{error.lineno}:{error.colno}", error.msg.lower().removesuffix(" at")
    except UnicodeDecodeError as error:
        return _line_and_column(raw, error.start), "a byte that is not UTF-8"
    except RecursionError:
        return "", "nested too deeply"
    return _place_of_stricter_error(raw, message)


def _place_of_stricter_error(raw: bytes, message: str) -> tuple[str, str]:
    """
    The same for what only the stricter parser minds: NaN, lone surrogates, numbers out of range.
    """
    import re

    for escape in re.finditer(_ESCAPES, raw):
        if escape[1] is not None:
            return _line_and_column(raw, escape.start()), "half of a surrogate pair"
    offset = re.search(r"\(byte (\d+)\)", message)
    what = (message.partition(": ")[2] or message).partition(" (byte")[0].partition(" - at ")[0]
    return _line_and_column(raw, int(offset[1])) if offset else "", what.lower()


def _line_and_column(raw: bytes, offset: int) -> str:
    before = raw[:offset]
    line = before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")
    return f":{before.count(bytes([10])) + 1}:{len(line) + 1}"


def _har_text(read: dict[str, Any]) -> str | None:
    entries = read["log"].get("entries", []) if isinstance(read.get("log"), dict) else [read]
    for entry in entries if isinstance(entries, list) else []:
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict) or not isinstance(request.get("postData"), dict):
            continue
        text = request["postData"].get("text")
        if isinstance(text, str) and '"messages"' in text:
            return text
    return None


def _named(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _judge(body: bytes, name: str, settings: Any, provider: str | None, flags: list[str]) -> "Report":
    from savemode_cli.config import override_value
    from savemode_cli.core.gate import gate
    from savemode_cli.core.messages import facts
    from savemode_cli.core.transform import transform
    from savemode_cli.views.diff import Report

    caller = _caller(settings, provider, flags)
    known = facts(body)
    done = transform(body, settings.policy, caller, known)
    changes: list[tuple[str, str | None, str | None]] = []
    if done.edits and settings.beta_header:
        from savemode_cli.core.messages import with_beta

        changes.append(("anthropic-beta", None, with_beta(None)))
    return Report(
        name="stdin" if name == "-" else Path(name).name,
        original=body,
        known=known,
        done=done,
        gate=gate(caller.flags, override_value(), debug=settings.debug),
        product=caller.product,
        policy=settings.ttl_policy,
        headers=changes,
    )


def _caller(settings: Any, provider: str | None, flags: list[str]) -> "Caller":
    from savemode_cli.core.caller import PROVIDERS, read_caller

    headers: list[tuple[bytes, bytes]] = []
    for flag in flags:
        name, found, value = flag.partition("=")
        if not found or not name:
            raise BadInput(f"--flag {flag!r} is not NAME=VALUE", hint="like --flag llm-gateway-cost-controls=true")
        headers.append((f"x-posthog-flag-{name}".lower().encode(), value.encode()))
    if provider is not None:
        if provider.strip().lower() not in PROVIDERS:
            raise BadInput(f"--provider is {provider!r}", hint=f"give {' or '.join(PROVIDERS)}")
        headers.append((b"x-posthog-provider", provider.encode()))
    return read_caller(headers, settings.product, settings.products)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"cannot read {file}: {reason}", hint="give a file, or - for stdin") from None


def _write(output: str, body: bytes) -> None:
    """
    Write the body; a file appears whole or not at all.
    """
    if output == "-":
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    # Where a link leads, not the link itself, gets the new content.
    target = Path(output).resolve()
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(body)  # a device or a pipe: replacing /dev/null would be a surprise
        else:
            _replace(target, body)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"cannot write {output}: {reason}", hint="nothing was changed") from None


def _replace(target: Path, body: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        file = Path(folder) / target.name
        file.write_bytes(body)
        if target.exists():
            file.chmod(target.stat().st_mode)
        file.replace(target)


def _show(report: "Report", *, headers: bool) -> None:
    from rich.console import Console

    from savemode_cli.cli.serve import wants_colour
    from savemode_cli.views.diff import show

    colour = wants_colour(sys.stdout)
    columns = os.environ.get("COLUMNS", "")
    width = None if sys.stdout.isatty() else int(columns) if columns.isdecimal() and int(columns) else 80
    show(report, Console(no_color=not colour, force_terminal=colour, width=width, highlight=False), headers=headers)
