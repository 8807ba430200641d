"""Model that a remote domain is: it recognises and ranks, and every answer names its version."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import msgspec

from arbitrank.arbitration.checks import MAX_BYTES, MAX_HYPOTHESES, checked_hypotheses
from arbitrank.arbitration.outcomes import Answered, Failed
from arbitrank.errors import PluginError
from arbitrank.isolation.checked_outcome import checked_outcome
from arbitrank.isolation.messages import DomainOutcome
from arbitrank.packed import packed
from arbitrank.remote.client import Client
from arbitrank.remote.host import Begun, RemoteHost, RemoteModel
from arbitrank.remote.messages import MAX_REPLY, PROTOCOL, RANK, RemoteCall, RemoteReply, read_reply
from arbitrank.remote.sent import SentParts, encode
from arbitrank.scales import Scales, shown
from arbitrank.scores import Kept, ScoreError, distinct, only, read_hypotheses
from arbitrank.values import Hypothesis, Request

__all__ = ["RankingModel"]


class RankingModel(RemoteModel):
    """A remote domain's own model, of the version that it stated; `scales` are those of its scores."""

    def __init__(self, name: str, host: RemoteHost, client: Client, scales: Scales) -> None:
        super().__init__(name, host, client)
        self._scales, self._shown = scales, shown(scales) or None
        self._target, self._sent = client.path(RANK), SentParts(client.entry)

    def begin(self, request: Request, given: Sequence[Hypothesis] | None, explain: bool, began: float) -> Begun:
        """Send what the entry allows; hypotheses that are given are read before, and each is sent once."""
        entry, read, kept = self.client.entry, None, None
        if given is not None:
            if not entry.allows("hypotheses"):
                reason = f"{entry.address}: its entry sends no hypotheses; add that word to send"
                return lambda: Failed(reason, 0.0, 0, kind="request")
            try:
                read = read_hypotheses(given, self._scales)
            except ScoreError as error:
                unread = Failed(str(error), 0.0, 0, error.index, kind="request")
                return lambda: unread
            if (kept := distinct(read)) is not None:
                read, given = only(read, kept), only(given, kept)
        remaining = max(entry.deadline_ms - 1e3 * (perf_counter() - began), 0.0)
        message = RemoteCall(PROTOCOL, round(remaining, 3), explain, self._sent(request), read)
        exchange = self.call("POST", self._target, packed(encode, message), began, MAX_REPLY)
        return exchange, lambda body, ms: self._read(body, ms, given, kept, explain)

    def _read(
        self, body: bytes, ms: float, given: Sequence[Hypothesis] | None, kept: Kept | None, explain: bool
    ) -> Answered | Failed:
        """The outcome in a reply, checked as that of a worker."""
        try:
            reply = read_reply(body)
            if reply.failure is not None:
                return Failed(f"the remote reports a failure: {reply.failure[:500]} ({self.client.entry.address})", ms)
            if len(body) > MAX_BYTES or len(reply.hypotheses or ()) > MAX_HYPOTHESES:
                checked_hypotheses(self.name, reply.hypotheses)
            found = self._checked(reply, ms, given, explain)
        except (msgspec.MsgspecError, ValueError, RecursionError, PluginError, ScoreError) as error:
            return Failed(f"{self.client.entry.address}: its reply: {error}", ms, kind="contract")
        if isinstance(found, Failed):
            return Failed(f"{self.client.entry.address}: its reply: {found.reason}", ms, kind="contract")
        return msgspec.structs.replace(found, kept=kept, scales=self._shown, version=reply.version)

    def _checked(
        self, reply: RemoteReply, ms: float, given: Sequence[Hypothesis] | None, explain: bool
    ) -> Answered | Failed:
        hypotheses, right = (reply.hypotheses or ()) if given is None else given, reply.right
        why = reply.why if explain and reply.why is not None else tuple({} for _ in hypotheses)
        if given is None and len(right) == len(hypotheses):
            repeated = distinct(read_hypotheses(hypotheses, self._scales))
            if repeated is not None:  # as a domain here, it is to name a reading once
                hypotheses = only(hypotheses, repeated)
                right, why = tuple(right[i] for i, _ in repeated), tuple(why[i] for i, _ in repeated)
        times = (ms, 0.0) if given is None else (0.0, ms)
        recognised = tuple(hypotheses) if given is None else None
        outcome = DomainOutcome(0, 0, None, reply.mine, right, recognised, [*why], *times)
        return checked_outcome(self.name, outcome, given, explain)
