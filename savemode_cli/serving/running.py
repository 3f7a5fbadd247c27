"""
The proxies that run on this machine, for commands that ask one of them.

Rule of this file: while a proxy runs, it has a small file with its URL, and only the proxy itself reports its state. A
command that finds the file of a process that has ended removes it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from savemode_cli.core.wire.access_tokens import TOKEN_HEADER
from savemode_cli.private import replace_file

_ANSWER_S = 2.0  # on loopback, but the process may be busy
_MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """
    A proxy of this user on this machine.
    """

    url: str
    pid: int
    ledger: str
    """
    The ID of the ledger in which the proxy counts (`Settings.ledger_id`); empty for a ledger in the proxy's own memory.
    """


@contextmanager
def registered(folder: Path, proxy: RunningProxy) -> Iterator[None]:
    """
    Within this block, other commands can find the proxy. If the folder is not writable, they cannot find it, and the
    proxy serves anyway.

    Args:
        folder: where the files of running proxies are.
        proxy: the proxy to register.
    """
    file = folder / f"{proxy.pid}-{urlsplit(proxy.url).port}.json"
    content = {"url": proxy.url, "pid": proxy.pid, "ledger": proxy.ledger}
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(file, json.dumps(content).encode())
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def running_proxies(folder: Path) -> list[RunningProxy]:
    """
    The registered proxies whose process exists, sorted by URL.

    Args:
        folder: where the files of running proxies are. Files without a process are removed.
    """
    proxies = []
    with suppress(OSError):
        for file in folder.glob("*.json"):
            proxy = _read(file)
            if proxy is not None and _is_alive(proxy.pid):
                proxies.append(proxy)
            else:
                file.unlink(missing_ok=True)
    return sorted(proxies, key=lambda proxy: proxy.url)


def health_of(proxy: RunningProxy, token: str | None = None) -> dict[str, Any] | None:
    """
    The answer of a proxy to `/-/health`.

    Args:
        proxy: the proxy to ask.
        token: the access token, if this user has configured one.

    Returns:
        The answer; None if there is no answer, or if it does not come from a savemode proxy.
    """
    read = get_json(proxy, "/-/health", token)
    return read if read is not None and read.get("status") == "ok" else None


def exchanges_of(proxy: RunningProxy, token: str | None = None) -> list[dict[str, Any]]:
    """
    The last exchanges of a proxy from `/-/exchanges`, oldest first.

    Args:
        proxy: the proxy to ask.
        token: the access token, if this user has configured one.

    Returns:
        One object for each exchange; empty if the proxy gave no such answer.
    """
    exchanges = (get_json(proxy, "/-/exchanges", token) or {}).get("exchanges")
    return [row for row in exchanges if isinstance(row, dict)] if isinstance(exchanges, list) else []


def get_json(proxy: RunningProxy, path: str, token: str | None) -> dict[str, Any] | None:
    """
    The JSON object with which a proxy answers; None if there is no such answer.

    Args:
        proxy: the proxy to ask.
        path: the path of one of its own pages, with the query.
        token: the access token, if this user has configured one.
    """
    connection, headers = connection_to(proxy, token)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        read = json.loads(answer.read(_MOST_BYTES)) if answer.status == 200 else None
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return read if isinstance(read, dict) else None


def connection_to(
    proxy: RunningProxy, token: str | None, *, timeout_s: float = _ANSWER_S
) -> tuple[HTTPConnection, dict[str, str]]:
    """
    A connection to a proxy that is not open yet, and the headers that its own pages need.
    """
    parts = urlsplit(proxy.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    return connection, {} if token is None else {TOKEN_HEADER.decode(): token}


def _read(file: Path) -> RunningProxy | None:
    try:
        read = json.loads(file.read_bytes())
        proxy = RunningProxy(str(read["url"]), int(read["pid"]), str(read["ledger"]))
        parts = urlsplit(proxy.url)
        usable = parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return proxy if usable and proxy.pid > 0 else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
