"""Notifications to the service manager that started the process: systemd's protocol, one datagram a state.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

ADDRESS, WATCHDOG = "NOTIFY_SOCKET", "WATCHDOG_USEC"
"""The environment variables by which the manager asks for notifications, and for signs of life."""

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
"""The states: the service answers; it stops; it is not stuck."""


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Report a state where the manager asks for it. Never raises, never blocks."""
    address = environment.get(ADDRESS)
    if not address or (state == ALIVE and WATCHDOG not in environment):
        return
    if address.startswith("@"):  # an abstract socket
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.setblocking(False)
        sending.sendto(state.encode(), address)
