"""Following of the share of out-of-scope requests in the traffic of one process: slowly, and within bounds.

Each request moves the share by a small step towards its own P(no domain), which is expectation maximisation for
"no domain" alone, one request at a time: the share settles where it equals the mean of P(no domain) under it. Nothing
is kept of a request, and nothing is shared between processes: a worker begins at the share that was tuned.
"""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import msgspec

from arbitrank.arbitration.arbitrator import Arbitration, Arbitrator
from arbitrank.arbitration.competition import Competition
from arbitrank.arbitration.following import ShareFollowing, with_share
from arbitrank.arbitration.outcomes import Answered
from arbitrank.probability import clipped, logit

_STEP = 0.02
"""Change of the share's log-odds from which on the settings are exchanged."""

_UNCERTAIN = ("unserved", "failed", "late")
"""Status of a domain that might own a request which then seems out of scope."""


class ShareStatus(msgspec.Struct, frozen=True):
    """The share of out-of-scope requests in use, the one that was tuned, and the bounds between which it may move.

    `n` requests were counted since the settings began to decide in this process.
    """

    share: float
    tuned: float
    low: float
    high: float
    n: int


class FollowedShare:
    """The share of out-of-scope requests in the traffic, and the settings' competition for it. Safe to use from any
    thread.

    It begins with `begin`. Requests count that the stable versions answered, all of them; not those for which a domain
    failed, was late or skipped, was not installed or was missed by a shortlist.
    """

    def __init__(self, settings: ShareFollowing) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._begun: tuple[str | None, Competition] | None = None
        self._pace = 1.0 - 0.5 ** (1.0 / settings.half_life)
        self._share = self._used = self._low = self._high = 0.0
        self._n = 0

    def begin(self, arbitrator: Arbitrator) -> None:
        """Follow from the share of the arbitrator's settings, which have just begun to decide."""
        settings = arbitrator.decisions
        one = settings.competition
        with self._lock:
            begun = None if one is None or one.null is None or one.share is None else (settings.version, one)
            if begun == self._begun:
                return
            self._begun, self._n = begun, 0
            tuned = 0.0 if begun is None else begun[1].share or 0.0
            self._low, self._high = self._settings.bounds(tuned)
            self._share = self._used = tuned

    def count(self, arbitration: Arbitration) -> bool:
        """Count a request; True where the share in use is to be exchanged."""
        used = arbitration.decisions.competition
        if used is None or used.share is None or not _counts(arbitration):
            return False
        odds = logit(clipped(arbitration.out_of_scope)) - logit(used.share)  # of the request, whatever the share
        with self._lock:
            if self._begun is None:
                return False
            own = 1.0 / (1.0 + math.exp(-odds - logit(self._share)))
            self._share = min(max(self._share + self._pace * (own - self._share), self._low), self._high)
            self._n += 1
            return abs(logit(self._share) - logit(self._used)) >= _STEP

    def exchange(self, arbitrator: Arbitrator) -> Arbitrator:
        """The arbitrator with the share that is followed, which is in use from now on; itself where none is."""
        with self._lock:
            if self._begun is None:
                return arbitrator
            self._used = self._share
            competition = with_share(self._begun[1], self._used)
        decisions = msgspec.structs.replace(arbitrator.decisions, competition=competition)
        return replace(arbitrator, decisions=decisions, follows_share=True)

    def status(self) -> ShareStatus | None:
        """The share in use and its bounds; None where the settings have none to follow."""
        with self._lock:
            if self._begun is None:
                return None
            return ShareStatus(self._used, self._begun[1].share or 0.0, self._low, self._high, self._n)


def _counts(arbitration: Arbitration) -> bool:
    """True where all domains could say that the request is theirs."""
    answer = arbitration.answer
    if answer.shortlist and answer.shortlist.miss:
        return False
    if not all(isinstance(one, Answered) for one in arbitration.outcomes.values()):
        return False
    return not any(one.status in _UNCERTAIN for one in answer.domains.values())
