"""
A network of its own for a server, which a test can cut: packets are dropped then, and nobody is told.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from tests.support.servers import ends_with_us

_FIRST = IPv4Address("198.18.0.0")
"""Of the addresses that RFC 2544 keeps for tests; each process of tests takes four."""


@dataclass(frozen=True)
class Network:
    """
    The network behind a virtual cable.
    """

    address: str
    """Of the server."""
    prefix: tuple[str, ...]
    """What a command begins with that runs there."""
    cable: str

    def cut(self) -> None:
        """
        From now on packets are dropped.
        """
        _run(*self.prefix, "ip", "link", "set", self.cable, "down")

    def heal(self) -> None:
        """
        They arrive again.
        """
        _run(*self.prefix, "ip", "link", "set", self.cable, "up")


@contextmanager
def far_network() -> Iterator[Network]:
    """
    Such a network, which ends with the block and with the process of the test. Without root or Debian's iproute2 the test is
    skipped.
    """
    if os.geteuid() != 0:
        pytest.skip("only root may make a network namespace")
    if not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        pytest.skip("iproute2 or util-linux is not installed")
    number = os.getpid() % 16_384
    here, there = (str(_FIRST + 4 * number + host) for host in (1, 2))
    ours, theirs = f"savemode{number}", f"ledger{number}"
    holder = subprocess.Popen(
        ["unshare", "--net", *ends_with_us("KILL"), "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"\n":
            pytest.skip("network namespaces are not allowed here")
        network = Network(there, ("nsenter", f"--net=/proc/{holder.pid}/ns/net"), theirs)
        try:
            _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", str(holder.pid))
            _run("ip", "address", "add", f"{here}/30", "dev", ours)
            _run("ip", "link", "set", ours, "up")
            _run(*network.prefix, "ip", "address", "add", f"{there}/30", "dev", theirs)
            network.heal()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"a virtual cable is not allowed here: {error.stderr.decode().strip()}")
        yield network
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
