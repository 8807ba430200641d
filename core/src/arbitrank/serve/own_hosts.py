"""Names under which a service is called, as the header Host has them, against DNS rebinding.

A page elsewhere can have its own name point at the address of a service that its reader's browser reaches, and then
read replies as its own. What it cannot change is the name, which the browser sends as Host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

_PORT = re.compile(r":\d{0,5}\Z")
_SHOWN = 100  # characters of a foreign name in a reason


def foreign_host(host: bytes | None, bound: str, allowed: Collection[str], *, loopback: bool) -> str | None:
    """The reason to refuse a call that a browser may make for another's page; None where the name is the service's.

    `host` is the header, None where there is none, as no browser sends. Its own are the name that it is `bound` to and
    those `allowed`, in lower case, of a service on this machine only (`loopback`) also `localhost` and addresses of
    this machine, of any other all addresses and names without a dot, which no name of the public DNS is.
    """
    if host is None:
        return None
    name = _PORT.sub("", host.decode("latin-1")).lower().removesuffix(".")
    if name in allowed or name == bound.lower() or name == "localhost":
        return None
    address = _address(name)
    if address is None and not loopback and name and "." not in name:
        return None
    if address is not None and (address.is_loopback or not loopback):
        return None
    seen = name[:_SHOWN]
    return f"Host {seen!r} is no name of this service; if it is one, start it with --allow-host {seen}"


def host_name(text: str) -> str:
    """A stated name as it is compared: in lower case. Raises `ValueError` for what no Host can be."""
    name = text.lower().removesuffix(".")
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?", name):
        raise ValueError(f"{text!r} is no name of a host, expected one without a port, as arbitrank.example.com")
    return name


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
