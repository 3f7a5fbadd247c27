"""
A server of PostgreSQL on loopback, with a folder of its own.

Its data folder is made once, and copied for each server.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psycopg

from savemode_cli.ledgers.postgres_server import definitions
from tests.support.redis_server import START_S, ends_with_us, free_port


def postgres_programs() -> Path | None:
    """
    The folder of `initdb` and `postgres`; None if they are not installed.
    """
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
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
            give(Path(parent))
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


def give(folder: Path) -> None:
    """
    Let the user that runs PostgreSQL have a folder.
    """
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
    host: str = "127.0.0.1"
    prefix: Sequence[str] = ()
    """What the command begins with."""

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        programs = postgres_programs()
        assert programs is not None
        data = self.folder / "data"
        if not data.exists():
            shutil.copytree(postgres_template(), data)
            if self.host != "127.0.0.1":
                with (data / "pg_hba.conf").open("a") as rules:
                    rules.write("host all all all trust\n")
            give(self.folder)
        settings = {
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
            "shared_buffers": "16MB",
            "jit": "off",
            "max_connections": "60",
        }
        user = unprivileged()
        words = [f"-c{name}={value}" for name, value in settings.items()]
        with (self.folder / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix,
                    *ends_with_us("QUIT", user),
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
                user=None if shutil.which("setpriv") else user,
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
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """
        Let it keep its connections and answer nothing.
        """
        self._signal(signal.SIGSTOP)
        # What it started while the processes were listed; it starts nothing more now.
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        self._signal(signal.SIGCONT)

    def url(self, name: str = "default", more: str = "&timeout=60") -> str:
        """
        The address of a ledger on it.
        """
        return f"postgresql://savemode@{self.host}:{self.port}/postgres?name={name}{more}"

    def dsn(self) -> str:
        """
        The address of the server, for psycopg.
        """
        return f"postgresql://savemode@{self.host}:{self.port}/postgres"

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

    def _signal(self, number: signal.Signals) -> None:
        for one in self._processes():
            # Its processes come and go, such as those of autovacuum.
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, number)

    def _processes(self) -> list[int]:
        """
        The server and its children, which are in sessions of their own.
        """
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]


@contextlib.contextmanager
def running_postgres(*options: str, host: str = "127.0.0.1", prefix: Sequence[str] = ()) -> Iterator[PostgresServer]:
    """
    A server until the end of the block.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder), options, host=host, prefix=prefix)
        server.start()
        try:
            yield server
        finally:
            server.kill()
