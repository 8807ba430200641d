"""Options that name hosts: the addresses that a service listens at, is called under, and is called from."""

from __future__ import annotations

import ipaddress

import click

from arbitrank.errors import InputError
from arbitrank.serve.fair_shares import address_key
from arbitrank.serve.own_hosts import host_name


def _allowed(text: str) -> str:
    """A name of the service as Host has it. Raises `InputError` for what is none."""
    try:
        return host_name(text)
    except ValueError as error:
        raise InputError(f"--allow-host: {error}") from None


def _proxy(address: str) -> str:
    """The text by which a proxy is known. Raises `InputError` for what is no address."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise InputError(f"--forwarded-from: {address!r} is no address, expected one, as 10.0.0.7") from None
    return address_key(address)


allowed_hosts = click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    callback=lambda context, parameter, value: tuple(map(_allowed, value)),
    help="A further name under which browsers call it, as that of a proxy. May be repeated.",
)
proxies = click.option(
    "--forwarded-from",
    "proxies",
    metavar="ADDRESS",
    multiple=True,
    callback=lambda context, parameter, value: tuple(map(_proxy, value)),
    help="A proxy whose X-Forwarded-For names the client. May be repeated.",
)
