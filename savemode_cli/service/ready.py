"""
Tells systemd that the proxy listens.

Rule of this file: the proxy serves whether or not somebody listens here.

Source: sd_notify(3): a datagram `READY=1` to the socket that `NOTIFY_SOCKET` names; `@` stands for the abstract namespace.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


def tell_ready(environ: Mapping[str, str] | None = None) -> None:
    """
    Tell the service manager that clients can connect, if one started this process and wants to know.

    Args:
        environ: the variables; None: those of this process.
    """
    address = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address if address[0] == "/" else f"\0{address[1:]}")
        sender.send(b"READY=1")
