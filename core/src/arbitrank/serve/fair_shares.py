"""Shares of clients in what a worker can hold: bytes of bodies that are arriving, and open connections.

Where a limit is exceeded, the client that holds most gives way, not the one that came last. Clients are told apart by
their address, and by their token where they have one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

_AT_ONCE = 0.05  # seconds that what has just arrived counts as held
_PREFIX = 64  # bits of an IPv6 address that tell clients apart: the rest is the client's own choice


def address_key(host: str) -> str:
    """The text by which clients at an address are told apart: of IPv6, the network of 64 bits."""
    if ":" not in host:
        return host
    try:
        found = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, _PREFIX), strict=False))


def forwarded_address(peer: str, forwarded: str, trusted: Collection[str]) -> str:
    """The client's address from `X-Forwarded-For`: the last one that is no trusted proxy's.

    What a client itself wrote into the header stands to the left of it, and is not read.
    """
    address = peer
    for one in reversed(forwarded.split(",")):
        if address not in trusted or not (one := one.strip()):
            break
        address = one[:64]
    return address


@dataclass
class _Holding:
    """Bytes that a connection holds, since when, and the clients that it counts for, the most specific one last."""

    clients: tuple[str, ...]
    since: float
    size: int = 0

    def weight(self, now: float) -> float:
        """Bytes times seconds: who sends much at once weighs less than who holds it."""
        return self.size * (now - self.since + _AT_ONCE)


class HeldBytes(Generic[T]):
    """Bytes that connections hold, at most `whole` of all, and `each` of a client's address, and of a token."""

    def __init__(self, whole: int, each: int) -> None:
        self.whole, self.each = whole, each
        self.total = 0
        self._holdings: dict[T, _Holding] = {}
        self._sums: dict[str, int] = {}

    def hold(self, one: T, clients: tuple[str, ...], size: int, now: float) -> None:
        """State that a connection holds `size` bytes from now on, for these clients."""
        holding = self._holdings.get(one)
        if holding is None:
            if not size:
                return
            holding = self._holdings[one] = _Holding(clients, now)
        if holding.clients != clients:
            self._add(holding.clients, -holding.size)
            self._add(clients, holding.size)
            holding.clients = clients
        self._add(clients, size - holding.size)
        self.total += size - holding.size
        holding.size = size
        if not size:
            del self._holdings[one]

    def release(self, one: T) -> None:
        """State that a connection holds nothing any more."""
        if one in self._holdings:
            self.hold(one, self._holdings[one].clients, 0, 0.0)

    def excess(self, one: T, now: float) -> T | None:
        """The connection to cut where a limit is exceeded that `one` counts for: the heaviest client's heaviest."""
        holding = self._holdings.get(one)
        if holding is None:
            return None
        if self.total > self.whole:
            found = self._holdings
        else:
            over = next((client for client in holding.clients if self._sums[client] > self.each), None)
            if over is None:
                return None
            found = {one: held for one, held in self._holdings.items() if over in held.clients}
        clients: dict[str, float] = {}
        for held in found.values():
            clients[held.clients[-1]] = clients.get(held.clients[-1], 0.0) + held.weight(now)
        heaviest = max(clients, key=clients.__getitem__)
        return max(
            (one for one, held in found.items() if held.clients[-1] == heaviest),
            key=lambda one: found[one].weight(now),
        )

    def _add(self, clients: Iterable[str], size: int) -> None:
        for client in clients:
            left = self._sums.get(client, 0) + size
            if left:
                self._sums[client] = left
            else:
                self._sums.pop(client, None)


class Evictable(Protocol):
    """Connection that may be closed in favour of another: `fresh` has brought no call yet, `busy` is answering one."""

    fresh: bool

    @property
    def busy(self) -> bool:
        """True while a call that has arrived is answered."""
        ...


E = TypeVar("E", bound=Evictable)


class OpenConnections(Generic[E]):
    """Open connections by the client's address, at most `each` of one address where that is stated."""

    def __init__(self, whole: int, each: int | None = None, trusted: Collection[str] = ()) -> None:
        self.whole, self.each, self.trusted = whole, each, trusted
        self.total = 0
        self._of: dict[str, dict[E, None]] = {}

    def add(self, one: E, address: str) -> E | None:
        """Count a connection; the one to close where a limit is exceeded, which is itself where no other may be.

        The address with most connections gives way: its oldest that has brought no call yet, else the oldest that is
        not answering one.
        """
        own = self._of.setdefault(address, {})
        own[one] = None
        self.total += 1
        if self.each is not None and len(own) > self.each and address not in self.trusted:
            return _oldest(own, one) or one
        if self.total <= self.whole:
            return None
        most = max(self._of, key=lambda each: 0 if each in self.trusted else len(self._of[each]))
        return _oldest(self._of[most], one) or _oldest(own, one) or one

    def remove(self, one: E, address: str) -> None:
        """Count a connection no more."""
        own = self._of.get(address, {})
        if one in own:
            self.total -= 1
            del own[one]
            if not own:
                del self._of[address]


def _oldest(connections: Iterable[E], newest: E) -> E | None:
    idle = None
    for one in connections:
        if one is newest or one.busy:
            continue
        if one.fresh:
            return one
        idle = idle or one
    return idle
