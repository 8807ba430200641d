"""Load of one worker: calls pending, bytes being received, connections open, and what was refused."""

from __future__ import annotations

from typing import Any

from arbitrank.serve.fair_shares import HeldBytes, OpenConnections
from arbitrank.serve.settings import ServiceLimits


class LoadCounters:
    """Load counters of one worker, and its limits.

    `pending` are rank calls waiting or being answered; `shed` counts those refused because too many were pending, `cut`
    the connections closed, by reason. `held` and `open` are what connections hold, by client.
    `draining`: the worker stops, so that a connection ends with its next answer.
    """

    def __init__(self, limits: ServiceLimits) -> None:
        self.limits = limits
        self.pending = 0
        self._pending: dict[str, int] = {}  # by client
        self.shed = 0
        self.draining = False
        self.cut: dict[str, int] = {}
        self.held: HeldBytes[Any] = HeldBytes(limits.held, limits.client_held)
        self.open: OpenConnections[Any] = OpenConnections(limits.connections, limits.client_connections, limits.proxies)

    def limit(self, limits: ServiceLimits) -> None:
        """Apply other limits from now on; what is beyond them already is cut by what comes next."""
        self.limits = limits
        self.held.whole, self.held.each = limits.held, limits.client_held
        self.open.whole, self.open.each = limits.connections, limits.client_connections
        self.open.trusted = limits.proxies

    def begin(self, client: str) -> bool:
        """Count a rank call as pending; false where too many are, and the client has its share of them.

        So a client that sends too much sheds its own calls, not those of others, for which there is as much room again.
        """
        own, limit = self._pending.get(client, 0), self.limits.waiting
        if self.pending >= limit and (
            self.pending >= 2 * limit or own >= limit // (len(self._pending) + (client not in self._pending))
        ):
            self.shed += 1
            return False
        self.pending += 1
        self._pending[client] = own + 1
        return True

    def end(self, client: str) -> None:
        """Count a rank call as pending no more."""
        self.pending -= 1
        left = self._pending[client] - 1
        if left:
            self._pending[client] = left
        else:
            del self._pending[client]

    def count_cut(self, reason: str) -> None:
        """Count a connection that was closed, or refused at once."""
        self.cut[reason] = self.cut.get(reason, 0) + 1
