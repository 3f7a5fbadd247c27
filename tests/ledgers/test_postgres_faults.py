"""
Servers of PostgreSQL that a ledger may meet: with TLS, a standby that is promoted, one without room, and one that is too old.
"""

import asyncio
import contextlib
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

import psycopg
import pytest
import trustme

from savemode_cli.core.budget.admission import Balance
from savemode_cli.core.budget.ledger import Ledger, Settle, settle
from savemode_cli.core.errors import LedgerUnavailable
from tests.support.disks import fill, small_disk
from tests.support.postgres_server import PostgresServer, give, unprivileged
from tests.support.remote import LIMIT, NOW, a_reserve, awaited, hold, opened, tried
from tests.support.servers import WITHOUT_POSTGRES, postgres_programs, running_postgres, shared_postgres
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(postgres_programs() is None, reason=WITHOUT_POSTGRES)


def test_tls(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """
    With the authority that the address names the ledger works, and not with another one, nor with a server without TLS.
    """
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    for name, one in (("ca", authority), ("stranger", stranger)):
        one.cert_pem.write_to_path(tmp_path / f"{name}.pem")
    with running_postgres() as server:
        key, chain = server.folder / "key.pem", server.folder / "cert.pem"
        certificate.private_key_pem.write_to_path(key)
        certificate.cert_chain_pems[0].write_to_path(chain)
        give(server.folder)
        key.chmod(0o600)
        with psycopg.connect(server.dsn(), autocommit=True) as raw:
            for setting in (f"ssl_key_file = '{key}'", f"ssl_cert_file = '{chain}'", "ssl = on"):
                raw.execute(f"ALTER SYSTEM SET {setting}".encode())
            raw.execute("SELECT pg_reload_conf()")
        url = server.url(more="&timeout=60&sslmode=verify-full&sslrootcert=")

        with opened(f"{url}{tmp_path}/ca.pem") as ledger:
            tried(lambda: ledger.post((), [a_reserve("a")]))
        with opened(f"{url}{tmp_path}/stranger.pem") as ledger, pytest.raises(LedgerUnavailable, match="certificate"):
            ledger.check()

        async def story() -> None:
            proxy = awaited(f"{url}{tmp_path}/ca.pem")
            assert (await proxy.look([LIMIT.key], NOW)).balances[LIMIT.key] == Balance(held_nusd=10)
            await proxy.close()

        asyncio.run(story())
    plain = shared_postgres().url(more=f"&sslmode=verify-full&sslrootcert={tmp_path}/ca.pem")
    with opened(plain) as ledger, pytest.raises(LedgerUnavailable, match="SSL"):
        ledger.check()


def test_standby_is_refused_until_it_is_promoted(tmp_path: Path) -> None:
    """
    It can be read, and says that it cannot be written. After the fail-over counts go on from what was replicated.
    """
    programs = postgres_programs()
    assert programs is not None
    with running_postgres("-csynchronous_commit=remote_apply") as primary, contextlib.ExitStack() as ends:
        folder = primary.folder / "standby"
        folder.mkdir()
        give(folder)
        source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "savemode", "-R", "--no-sync", "-c", "fast"]
        command = [str(programs / "pg_basebackup"), "-D", str(folder / "data"), *source]
        subprocess.run(command, check=True, capture_output=True, user=unprivileged(), cwd=folder)
        standby = PostgresServer(folder)
        ends.callback(standby.kill)
        standby.start()
        with opened(primary.url()) as ledger:
            ledger.post((), [a_reserve("a")])
            replayed(primary, standby)
        with opened(standby.url()) as ledger:
            assert ledger.balance(LIMIT.key, NOW) == Balance(held_nusd=10)
            with pytest.raises(LedgerUnavailable, match="standby") as error:
                settle(ledger, "a", 3, "reported", NOW)
            assert "primary" in error.value.hint
            primary.kill()
            with psycopg.connect(standby.dsn(), autocommit=True) as raw:
                raw.execute("SELECT pg_promote()")
            assert tried(lambda: settle(ledger, "a", 3, "reported", NOW)) == "charged"
            assert ledger.balance(LIMIT.key, NOW) == Balance(settled_nusd=3)


def replayed(primary: PostgresServer, standby: PostgresServer) -> None:
    """
    Wait until the standby has everything.
    """
    with psycopg.connect(primary.dsn()) as raw:
        row = raw.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row is not None
    with psycopg.connect(standby.dsn(), autocommit=True) as raw:
        query = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        until(lambda: raw.execute(query, (row[0],)).fetchone() == (True,))


def test_disk_without_room() -> None:
    """
    A step that the disk has no room for is refused, and everything that was answered is there once there is room.
    """
    with tempfile.TemporaryDirectory() as name, small_disk(folder := Path(name), 120_000_000) as mounted:
        if not mounted:
            pytest.skip("only root can mount a small disk")
        folder.chmod(0o755)
        server = PostgresServer(folder, ("-cmax_wal_size=4MB", "-cmin_wal_size=2MB", "-cwal_recycle=off"))
        server.start()
        try:
            with opened(server.url()) as ledger:
                ledger.check()
                filler = fill(folder)
                answered = charged_until_refused(ledger)
                filler.unlink()
                if server.process is not None and server.process.poll() is not None:
                    server.start()  # it stopped, because it could not write its log
                assert tried(lambda: settle_all(ledger, "later")) == ["charged"]
                found = {one.hold_id for one in ledger.charges()}
                assert {*answered, "later"} <= found
                # The one that was refused may be written, and then is counted once, like every other.
                assert len(found) <= len(answered) + 2
                assert ledger.balance(LIMIT.key, NOW).settled_nusd == 7 * len(found)
        finally:
            server.kill()


def settle_all(ledger: Ledger, name: str) -> list[str]:
    """
    Charge one request.
    """
    return [*ledger.post([Settle(name, 7, "reported", NOW, (), hold(name))], ()).settled]


def charged_until_refused(ledger: Ledger) -> list[str]:
    """
    Charge until the disk is full; what was charged.
    """
    names: list[str] = []
    for number in range(20_000):
        name = f"{number}-{'x' * 900}"
        try:
            settle_all(ledger, name)
        except LedgerUnavailable:
            return names
        names.append(name)
    raise AssertionError("the disk is not full")


def test_old_server_is_refused() -> None:
    """
    By its version, before anything is asked.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_like_postgres_12, args=(listener,), daemon=True).start()
        url = f"postgresql://savemode@127.0.0.1:{listener.getsockname()[1]}/postgres?sslmode=disable&timeout=60"
        with opened(url) as ledger:
            with pytest.raises(LedgerUnavailable, match="PostgreSQL 12") as error:
                ledger.check()
            assert "PostgreSQL 13" in error.value.hint


def answer_like_postgres_12(listener: socket.socket) -> None:
    """
    Let a client in, and tell it the version. Nothing else is answered.
    """
    client, _ = listener.accept()
    with client:
        client.recv(65_536)

        def message(kind: bytes, body: bytes) -> bytes:
            return kind + struct.pack("!i", len(body) + 4) + body

        said = message(b"R", struct.pack("!i", 0)) + message(b"S", b"server_version\x0012.18\0")
        said += message(b"S", b"client_encoding\0UTF8\0") + message(b"Z", b"I")
        client.sendall(said)
        while client.recv(65_536):
            pass
