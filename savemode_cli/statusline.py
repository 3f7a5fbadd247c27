"""
The line that `savemode statusline` prints for the status line of Claude Code.

Rule of this file: it is quick and it never fails. It imports little, because it runs after every answer. It waits a bounded
time for its input and for the proxy, and whatever it does not learn it leaves out. It asks a proxy on this machine only.

Source of the input: https://code.claude.com/docs/en/statusline (checked 2026-11-29).
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from datetime import datetime

from savemode_cli.views.printable import printable

TYPE_CHECKING = False  # without `typing`, which would be slow to import
if TYPE_CHECKING:
    from typing import Any

INPUT_S = 0.1
"""How long to wait for the input."""
ASK_S = 0.1
"""How long to wait for the proxy."""
ACCESS_HEADER = "x-savemode-token"
"""As in `savemode_cli.core.wire.access_tokens`, which would be slow to import."""

_MOST_INPUT_BYTES = 1024 * 1024
_MOST_ANSWER_BYTES = 256 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_NUSD_PER_USD = 1_000_000_000
_SEPARATOR = " · "
_LONGEST = 200


def main() -> None:
    """
    Print one line. Whatever goes wrong, there is a line and no error.
    """
    try:
        status = _read_status()
        session = status.get("session_id")
        summary = _summary(session if isinstance(session, str) else "")
        line = status_line(status, summary, time.time())
    except Exception:  # noqa: BLE001 - an error would take the place of the person's status line
        line = "savemode"
    try:
        sys.stdout.write(f"{printable(line)[:_LONGEST]}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has left, which is all right


def status_line(status: dict[str, Any], summary: dict[str, Any] | None, now: float) -> str:
    """
    The line.

    Args:
        status: what Claude Code passes.
        summary: what `/-/summary` answers for the session; None if no proxy answered.
        now: seconds since the epoch.
    """
    session = _first(summary, "sessions")
    parts = [_money_left(summary), _cost(status, session), _cache(session, now), _miss(session)]
    if summary is None:
        parts.append("no savemode proxy")
    return _SEPARATOR.join(part for part in parts if part)


def _money_left(summary: dict[str, Any] | None) -> str:
    """
    What is left of the budget that has the fewest dollars left.
    """
    budgets = (summary or {}).get("budgets")
    capped = [one for one in budgets if one.get("remaining_nusd") is not None] if isinstance(budgets, list) else []
    if not capped:
        return ""
    least = min(capped, key=lambda one: int(one["remaining_nusd"]))
    return f"{_usd(max(0, least['remaining_nusd']))} left of {_usd(least['limit_nusd'])}"


def _cost(status: dict[str, Any], session: dict[str, Any] | None) -> str:
    if session is not None:
        return f"session {_usd(session['cost_nusd'])}"
    cost = status.get("cost")
    stated = cost.get("total_cost_usd") if isinstance(cost, dict) else None
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not 0 <= stated < 1e9:
        return ""
    return f"session {_usd(int(stated * _NUSD_PER_USD))} by the client's count"


def _cache(session: dict[str, Any] | None, now: float) -> str:
    cache = None if session is None else session.get("cache")
    if not isinstance(cache, dict):
        return ""
    until = datetime.fromisoformat(cache["warm_until"])
    clock = f"{until.astimezone():%H:%M}"
    if until.timestamp() > now:
        return f"cache warm until {clock} ({cache['ttl']})"
    return f"cache expired at {clock} ({cache['ttl']})"


def _miss(session: dict[str, Any] | None) -> str:
    miss = None if session is None else session.get("last_miss")
    if not isinstance(miss, dict):
        return ""
    return f"last miss {_usd(miss['cost_nusd'])} {str(miss['cause']).replace('_', ' ')}"


def _first(summary: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
    rows = (summary or {}).get(name)
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None


def _usd(nusd: int) -> str:
    """
    Dollars and cents, rounded down.
    """
    cents = int(nusd) // (_NUSD_PER_USD // 100)
    return f"${cents // 100}.{cents % 100:02d}"


def _read_status() -> dict[str, Any]:
    """
    What Claude Code passes on stdin; empty if it passes nothing that can be read.
    """
    data, deadline = b"", time.monotonic() + INPUT_S
    while len(data) < _MOST_INPUT_BYTES:
        ready, _, _ = select.select([0], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(0, 65536) if ready else b""
        if not piece:
            break
        data += piece
    try:
        status = json.loads(data)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def _summary(session: str) -> dict[str, Any] | None:
    """
    What the first proxy says that answers: the one in ANTHROPIC_BASE_URL, else those that are registered.
    """
    deadline = time.monotonic() + ASK_S
    for url in _urls():
        try:
            summary = _ask(url, session, deadline)
        except (OSError, ValueError):
            continue
        if isinstance(summary, dict) and "sessions" in summary:
            return summary
    return None


def _urls() -> list[str]:
    own = os.environ.get("ANTHROPIC_BASE_URL", "")
    return [own] if _address(own) is not None else _registered()


def _registered() -> list[str]:
    """
    The addresses of the proxies that run on this machine, the newest first.
    """
    try:
        files = [entry for entry in os.scandir(proxies_folder()) if entry.name.endswith(".json")]
    except OSError:
        return []
    urls = []
    for entry in sorted(files, key=lambda entry: -entry.stat().st_mtime)[:4]:
        with open(entry.path, "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            urls.append(str(json.loads(file.read(4096)).get("url", "")))
    return [url for url in urls if _address(url) is not None]


def proxies_folder() -> str:
    """
    The folder in which proxies are registered, as `Settings.proxies_folder` has it with the help of a slow library.
    """
    home = os.path.expanduser("~")  # noqa: PTH111 - pathlib is slow to import
    default = f"{home}/Library/Application Support" if sys.platform == "darwin" else f"{home}/.local/share"
    return f"{os.environ.get('XDG_DATA_HOME', '').strip() or default}/savemode/proxies"


def _address(url: str) -> tuple[str, int] | None:
    """
    The host and port of an address on this machine; None for any other.
    """
    scheme, _, rest = url.partition("://")
    host, _, port = rest.partition("/")[0].rpartition(":")
    if scheme != "http" or host not in _LOOPBACK or not (port.isascii() and port.isdigit() and int(port) < 65536):
        return None
    return host.strip("[]"), int(port)


def _ask(url: str, session: str, deadline: float) -> Any:
    """
    The JSON that a proxy answers with.

    Raises:
        OSError: nobody answers in time.
        ValueError: the answer is not JSON, or not an answer to this question.
    """
    address = _address(url)
    if address is None:
        raise ValueError(url)
    named = "".join(letter for letter in session if letter.isascii() and (letter.isalnum() or letter in "-_."))[:200]
    token = os.environ.get("SAVEMODE_ACCESS_TOKEN", "")
    lines = [f"GET /-/summary?session={named} HTTP/1.0", f"Host: {url.partition('://')[2].partition('/')[0]}"]
    if token.isascii() and token.isprintable() and token:
        lines.append(f"{ACCESS_HEADER}: {token}")
    with socket.create_connection(address, timeout=_left(deadline)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while len(answer) < _MOST_ANSWER_BYTES:
            connection.settimeout(_left(deadline))
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"200"]:
        raise ValueError(url)
    return json.loads(body)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
