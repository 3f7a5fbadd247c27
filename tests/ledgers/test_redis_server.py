"""
Which servers of Redis are used, and by which addresses.
"""

import socket
import threading

import pytest
import redis

from savemode_cli.core.errors import ConfigError, LedgerUnavailable
from savemode_cli.ledgers import open_ledger
from tests.support.remote import a_reserve, address_of, opened
from tests.support.servers import (
    WITHOUT_REDIS,
    new_name,
    redis_program,
    running_redis,
    shared_redis,
)

pytestmark = pytest.mark.skipif(redis_program() is None, reason=WITHOUT_REDIS)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://host/name", "number of a database"),
        ("redis://host?timeout=0", "timeout"),
        ("redis://host?name=a/b", "name"),
        ("redis://host?colour=red", "colour"),
        ("redis://host?ca=x.pem", "need TLS"),
    ],
)
def test_address_that_cannot_be_used(url: str, why: str) -> None:
    """
    Said before anything is connected.
    """
    with pytest.raises(ConfigError, match=why):
        open_ledger(url)


def test_server_that_deletes_keys_is_refused() -> None:
    """
    It would forget counts, and a cap with them.
    """
    options = ("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")
    with running_redis(*options) as server, opened(server.url()) as ledger:
        with pytest.raises(LedgerUnavailable, match="allkeys-lru") as error:
            ledger.check()
        assert "noeviction" in error.value.hint


def test_old_server_is_refused() -> None:
    """
    By its version, before anything is written.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_like_redis_6, args=(listener,), daemon=True).start()
        with opened(f"redis://127.0.0.1:{listener.getsockname()[1]}") as ledger:
            with pytest.raises(LedgerUnavailable, match=r"Redis 6\.2\.14") as error:
                ledger.check()
            assert "Redis 7" in error.value.hint


def answer_like_redis_6(listener: socket.socket) -> None:
    """
    INFO is answered like Redis 6, and everything else with OK.
    """
    info = b"redis_version:6.2.14\r\nrole:master\r\n"
    client, _ = listener.accept()
    with client:
        while data := client.recv(65536):
            for _ in range(data.upper().count(b"SETINFO") or data.upper().count(b"SELECT")):
                client.sendall(b"+OK\r\n")
            if b"INFO\r\n" in data.upper().replace(b"SETINFO", b""):
                client.sendall(b"$%d\r\n%s\r\n" % (len(info), info))


def test_other_format_is_left_alone() -> None:
    """
    What a later savemode wrote is not changed by this one.
    """
    name = new_name()
    raw = redis.Redis(port=shared_redis().port)
    raw.set(f"{{savemode:{name}}}:format", "2")
    with opened(shared_redis().url(name)) as ledger, pytest.raises(LedgerUnavailable, match="format 2"):
        ledger.post((), [a_reserve("a")])
    assert len(list(raw.scan_iter(f"{{savemode:{name}}}:*"))) == 1
    raw.close()


def test_password_is_nowhere() -> None:
    """
    A wrong or missing one is an error that does not show it, and the right one works.
    """
    with running_redis("--requirepass", "s3cretword") as server:
        for password in (None, "wr0ngword"):
            ledger = open_ledger(server.url(), password=password)
            with pytest.raises(LedgerUnavailable, match="refuses this user") as error:
                ledger.check()
            assert "word" not in repr(error.value).replace("password", "")
            assert "SAVEMODE_LEDGER_PASSWORD" in error.value.hint
            ledger.close()
        ledger = open_ledger(server.url(), password="s3cretword")
        ledger.check()
        ledger.close()
    assert "s3cretword" not in repr(address_of("redis://h", "s3cretword"))
