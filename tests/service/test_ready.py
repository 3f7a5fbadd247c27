"""
The service manager is told when clients can connect.
"""

import socket
from pathlib import Path

import pytest

from savemode_cli.service.ready import tell_ready


@pytest.mark.parametrize("abstract", [False, True])
def test_told(tmp_path: Path, abstract: bool) -> None:
    """
    By one datagram, in either kind of address.
    """
    name = str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}" if abstract else name)
        tell_ready({"NOTIFY_SOCKET": f"@{name}" if abstract else name})
        receiver.settimeout(0)

        assert receiver.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "x", "/no/such/socket"])
def test_nobody_to_tell(address: str) -> None:
    """
    That is not an error.
    """
    tell_ready({"NOTIFY_SOCKET": address} if address else {})
