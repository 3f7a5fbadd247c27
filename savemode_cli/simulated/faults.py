"""
Faults that a user can request: the syntax of `--fault` and of the header `x-savemode-fault`.

Rule of this file: it parses faults and counts how often each has applied; `upstream` applies them to answers.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from savemode_cli.core.errors import ConfigError

GRAMMAR = "NAME[=VALUE][,OPTION=VALUE...][*COUNT]"
FAULTS_HELP = """\
status=NNN          answer with this status (400 to 599) and an API error;
                    options: retry-after=SECONDS, should-retry=true|false,
                    type=ERROR_TYPE
drop                reset the connection before the answer
garbage             status 200 with a body that is not an API message
truncate[=EVENTS]   close the connection after this many events of a stream
                    (default 3), or in the middle of a JSON answer
error[=ERROR_TYPE]  send an error event in the stream (default
                    overloaded_error); option: after=EVENTS (default 3).
                    Without streaming: answer with the status of the error
stall=SECONDS       send nothing for this long before the answer; with
                    after=EVENTS, within the stream
downgrade           cache and bill 1h breakpoints as 5m, without an error
no-ttl              refuse every ttl, like models before 4.5 on Bedrock"""
"""The faults, as `--help` shows them."""

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The API's error type for each status (https://platform.claude.com/docs/en/api/errors, checked 2026-11-23)."""

ENDINGS = frozenset({"status", "drop", "garbage", "truncate", "error"})
"""
The faults that end an answer. At most one of them applies to a request: the first one in the order given. The other
faults combine with any fault.
"""

_DEFAULT_AFTER = 3
_MAX_STALL_S = 3600.0
_MAX_HEADERS = 1000  # how many different headers the counts are remembered for
_FORM = re.compile(
    r"(?P<name>[a-z-]+)(?:=(?P<value>[^,*=]+))?(?P<options>(?:,[a-z-]+=[^,*=]+)*)(?:\*(?P<count>\d{1,9}))?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One fault.

    Attributes:
        name: which fault it is.
        count: to how many requests it applies; None: to all.
        status: the HTTP status of `status`.
        api_type: the error type of `status` and `error`.
        retry_after: the value of the header `retry-after` of `status`; empty: no header.
        should_retry: the value of the header `x-should-retry` of `status`; empty: no header.
        seconds: how long `stall` sends nothing.
        after: after how many events of a stream the fault applies; None: before the head.
    """

    name: str
    count: int | None = None
    status: int = 0
    api_type: str = ""
    retry_after: str = ""
    should_retry: str = ""
    seconds: float = 0.0
    after: int | None = None


def parse(text: str) -> tuple[Fault, ...]:
    """
    Parse the value of `--fault` or of the header, in which `;` separates several faults.

    Raises:
        ConfigError: a fault is not valid; the hint lists the names of all faults.
    """
    return tuple(_fault(word.strip()) for word in text.split(";") if word.strip())


def _fault(word: str) -> Fault:
    form = _FORM.fullmatch(word)
    make = _MAKERS.get(form["name"]) if form is not None else None
    if form is None or make is None:
        raise _invalid(word, "unknown fault")
    options = dict(option.split("=", 1) for option in form["options"].split(",") if option)
    try:
        fault = make(form["value"], options)
    except ValueError as error:
        raise _invalid(word, str(error)) from None
    if options:
        raise _invalid(word, f"{form['name']} does not have the option {min(options)}")
    return replace(fault, count=None if form["count"] is None else int(form["count"]))


def _invalid(word: str, why: str) -> ConfigError:
    return ConfigError(f"fault {word[:80]!r}: {why}", hint=f"use {GRAMMAR}; names: {', '.join(_MAKERS)}")


Options = dict[str, str]


def _number(text: str | None, what: str, low: int, high: int) -> int:
    if text is None or not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"{what} must be a number from {low} to {high}")
    return int(text)


def _seconds(text: str | None, what: str) -> float:
    if text is None or re.fullmatch(r"\d{1,7}(\.\d{1,6})?", text) is None or float(text) > _MAX_STALL_S:
        raise ValueError(f"{what} must be a number of seconds up to {_MAX_STALL_S:.0f}")
    return float(text)


def _type(text: str) -> str:
    if text not in ERROR_TYPES.values():
        raise ValueError(f"the error type must be one of {', '.join(ERROR_TYPES.values())}")
    return text


def _status(value: str | None, options: Options) -> Fault:
    status = _number(value, "status", 400, 599)
    usual = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    retry_after, should_retry = options.pop("retry-after", ""), options.pop("should-retry", "")
    if retry_after:
        _seconds(retry_after, "retry-after")
    if should_retry not in ("", "true", "false"):
        raise ValueError("should-retry must be true or false")
    return Fault(
        "status",
        status=status,
        api_type=_type(options.pop("type", usual)),
        retry_after=retry_after,
        should_retry=should_retry,
    )


def _truncate(value: str | None, _options: Options) -> Fault:
    return Fault("truncate", after=_after(value))


def _error(value: str | None, options: Options) -> Fault:
    return Fault("error", api_type=_type(value or ERROR_TYPES[529]), after=_after(options.pop("after", None)))


def _stall(value: str | None, options: Options) -> Fault:
    after = options.pop("after", None)
    return Fault("stall", seconds=_seconds(value, "stall"), after=None if after is None else _after(after))


def _after(text: str | None) -> int:
    return _DEFAULT_AFTER if text is None else _number(text, "the number of events", 0, 1_000_000)


def _plain(name: str) -> Callable[[str | None, Options], Fault]:
    def make(value: str | None, _options: Options) -> Fault:
        if value is not None:
            raise ValueError(f"{name} takes no value")
        return Fault(name)

    return make


_MAKERS: dict[str, Callable[[str | None, Options], Fault]] = {
    "status": _status,
    "truncate": _truncate,
    "error": _error,
    "stall": _stall,
    **{name: _plain(name) for name in ("drop", "garbage", "downgrade", "no-ttl")},
}


class Faults:
    """
    Decides which faults apply to a request: first the configured faults, then those of the request's own header. A fault
    with a count applies to that many requests.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """
        Args:
            faults: the configured faults.
        """
        self.set(faults)

    def set(self, faults: Iterable[Fault]) -> None:
        """
        Replace the configured faults. All counts start again.
        """
        self._configured = [_ActiveFault(fault) for fault in faults]
        self._by_header: OrderedDict[str, list[_ActiveFault]] = OrderedDict()

    @property
    def remaining(self) -> list[Fault]:
        """
        The configured faults that still apply to future requests.
        """
        return [replace(live.fault, count=live.remaining) for live in self._configured if live.remaining != 0]

    def for_request(self, header: str = "") -> dict[str, Fault]:
        """
        The faults of the next request, by name; at most one of `ENDINGS`. The count of a fault in a header applies to the
        requests with exactly the same header, so that a client's retry can succeed.

        Args:
            header: the value of the request's fault header; empty: none.

        Raises:
            ConfigError: the header is not valid.
        """
        if not self._configured and not header:
            return {}
        applied: dict[str, Fault] = {}
        for live in (*self._configured, *self._faults_of_header(header)):
            name = live.fault.name
            taken = ENDINGS & applied.keys() if name in ENDINGS else name in applied
            if live.remaining != 0 and not taken:
                applied[name] = live.fault
                live.remaining = None if live.remaining is None else live.remaining - 1
        return applied

    def _faults_of_header(self, header: str) -> list["_ActiveFault"]:
        if not header:
            return []
        if header not in self._by_header:
            self._by_header[header] = [_ActiveFault(fault) for fault in parse(header)]
            if len(self._by_header) > _MAX_HEADERS:
                self._by_header.popitem(last=False)
        return self._by_header[header]


class _ActiveFault:
    __slots__ = ("fault", "remaining")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.remaining = fault.count
