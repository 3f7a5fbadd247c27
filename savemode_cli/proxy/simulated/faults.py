"""
What goes wrong on request: the words of `--fault` and of the header `x-savemode-fault`.

Rule of this file: words become values here, and a count is used up here; what a fault does to an answer is the
upstream's business.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from savemode_cli.core.errors import ConfigError

GRAMMAR = "NAME[=VALUE][,OPTION=VALUE...][*COUNT]"
WORDS = """\
status=NNN          answer with this status (400 to 599), in the envelope;
                    options: retry-after=SECONDS, should-retry=true|false,
                    type=ERROR_TYPE
drop                reset the connection before the answer's head
garbage             200, and a body that is not the API's
truncate[=EVENTS]   close the connection after so many events of a stream
                    (3), or half-way through a JSON answer
error[=ERROR_TYPE]  an error event in the stream (overloaded_error), with
                    after=EVENTS (3); without a stream, its status
stall=SECONDS       silence before the head; with after=EVENTS, within the
                    stream
downgrade           bill and keep 1h as 5m, and say nothing
no-ttl              refuse every ttl, as models before 4.5 do on Bedrock"""
"""
The faults, as `--help` shows them.
"""

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
"""The API's word for each status (https://platform.claude.com/docs/en/api/errors, checked 2026-11-23)."""

ENDINGS = frozenset({"status", "drop", "garbage", "truncate", "error"})
"""What becomes of an answer: one of these a request, in the order given. The other faults go together with any."""

_DEFAULT_AFTER = 3
_LONGEST_STALL_S = 3600.0
_MOST_TEXTS = 1000  # of headers whose counts are remembered
_FORM = re.compile(
    r"(?P<name>[a-z-]+)(?:=(?P<value>[^,*=]+))?(?P<options>(?:,[a-z-]+=[^,*=]+)*)(?:\*(?P<count>\d{1,9}))?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One fault. `count` is how many requests it is for; None: all. `after` is a number of events; None: before the head.
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
    The faults in one word of `--fault`, or several separated by `;` as a header has them.

    Raises:
        ConfigError: naming the word, with the names of all faults as the hint.
    """
    return tuple(_fault(word.strip()) for word in text.split(";") if word.strip())


def _fault(word: str) -> Fault:
    form = _FORM.fullmatch(word)
    make = _MAKERS.get(form["name"]) if form is not None else None
    if form is None or make is None:
        raise _bad(word, "there is no such fault")
    options = dict(one.split("=", 1) for one in form["options"].split(",") if one)
    try:
        fault = make(form["value"], options)
    except ValueError as error:
        raise _bad(word, str(error)) from None
    if options:
        raise _bad(word, f"{form['name']} has no option {min(options)}")
    return replace(fault, count=None if form["count"] is None else int(form["count"]))


def _bad(word: str, why: str) -> ConfigError:
    return ConfigError(f"fault {word[:80]!r}: {why}", hint=f"give {GRAMMAR}; names: {', '.join(_MAKERS)}")


Options = dict[str, str]


def _number(text: str | None, what: str, low: int, high: int) -> int:
    if text is None or not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"{what} is a number from {low} to {high}")
    return int(text)


def _seconds(text: str | None, what: str) -> float:
    if text is None or re.fullmatch(r"\d{1,7}(\.\d{1,6})?", text) is None or float(text) > _LONGEST_STALL_S:
        raise ValueError(f"{what} is a number of seconds up to {_LONGEST_STALL_S:.0f}")
    return float(text)


def _type(text: str) -> str:
    if text not in ERROR_TYPES.values():
        raise ValueError(f"the API's error types are {', '.join(ERROR_TYPES.values())}")
    return text


def _status(value: str | None, options: Options) -> Fault:
    status = _number(value, "status", 400, 599)
    usual = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    retry_after, should_retry = options.pop("retry-after", ""), options.pop("should-retry", "")
    if retry_after:
        _seconds(retry_after, "retry-after")
    if should_retry not in ("", "true", "false"):
        raise ValueError("should-retry is true or false")
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
    Which faults a request meets: those that are set, then those of its own header. Counts are used up as they apply.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """
        Set some.
        """
        self.set(faults)

    def set(self, faults: Iterable[Fault]) -> None:
        """
        Set these in place of the ones before; all counts begin anew.
        """
        self._set = [_Live(fault) for fault in faults]
        self._asked: OrderedDict[str, list[_Live]] = OrderedDict()

    @property
    def waiting(self) -> list[Fault]:
        """
        What is set and not used up.
        """
        return [replace(live.fault, count=live.left) for live in self._set if live.left != 0]

    def meet(self, header: str = "") -> dict[str, Fault]:
        """
        The faults of the next request, by name; at most one of `ENDINGS`. A header's count is for the requests that bear
        just this header, so that a client's second attempt can succeed.

        Raises:
            ConfigError: the header is not understood.
        """
        if not self._set and not header:
            return {}
        met: dict[str, Fault] = {}
        for live in (*self._set, *self._of(header)):
            name = live.fault.name
            taken = ENDINGS & met.keys() if name in ENDINGS else name in met
            if live.left != 0 and not taken:
                met[name] = live.fault
                live.left = None if live.left is None else live.left - 1
        return met

    def _of(self, header: str) -> list["_Live"]:
        if not header:
            return []
        if header not in self._asked:
            self._asked[header] = [_Live(fault) for fault in parse(header)]
            if len(self._asked) > _MOST_TEXTS:
                self._asked.popitem(last=False)
        return self._asked[header]


class _Live:
    __slots__ = ("fault", "left")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.count
