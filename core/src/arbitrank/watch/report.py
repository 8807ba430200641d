"""Report of a watch: every domain against its card and the week before, what alarms, and what is only a shift."""

from __future__ import annotations

from typing import Literal

import msgspec

from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.evaluate.segment_report import SegmentCalibration
from arbitrank.outcomes.recalibrating import OutcomeRecalibration
from arbitrank.outcomes.suite_runs import CaseResult
from arbitrank.store.state import Undo
from arbitrank.watch.drift import Drift, ShareShift
from arbitrank.watch.losses import Loss
from arbitrank.watch.outcomes import Claims
from arbitrank.watch.unknown import ContextValue, FeatureRate

Kind = Literal["drift", "calibration", "features", "suite"]


class Alarm(msgspec.Struct, frozen=True):
    """One alarm: the domain, its kind, a sentence that says what was seen, and the commands to run, the first first.

    `evidence` is in nats; the alarm is raised from `level` on. Both are 0 for cases of the suites that fail.
    """

    domain: str
    kind: Kind
    text: str
    evidence: float
    level: float
    next: tuple[str, ...]


class Wins(msgspec.Struct, frozen=True):
    """Requests that a domain won, of all: before, and now."""

    before: int
    of_before: int
    now: int
    of_now: int

    @property
    def ratio(self) -> float | None:
        """The rate now by that before; None where it won none before."""
        return (self.now / self.of_now) / (self.before / self.of_before) if self.before and self.of_now else None


class CardCheck(msgspec.Struct, frozen=True):
    """ECE of P(right) against the card of its weights: `worse` where it is beyond the card's interval and chance."""

    ece: float
    n: int
    card_ece: float
    card_high: float
    card_n: int
    worse: bool


class DomainWatch(msgspec.Struct, frozen=True):
    """One domain: what serves, its claims against outcomes and their drift, whom it takes requests from, features.

    `serving` names the version and its recalibration; `since` is the time at which that first answered, where the log
    has another one before, `undo` the way to undo that change, None where the store shows none. `requests` and
    `labelled` are those that it answered, now. `notes` say what could not be measured, and what is too little to say
    anything. `segments` is the calibration of P(right) over segments of the requests of known truth.
    """

    status: Literal["quiet", "alarm"]
    serving: str
    since: float | None
    requests: int
    requests_before: int
    labelled: int
    wins: Wins
    mine: Claims | None
    right: Claims | None
    card: CardCheck | None
    drifts: tuple[Drift, ...]
    takes_from: dict[str, Loss]
    lost_features: tuple[FeatureRate, ...]
    new_features: tuple[str, ...]
    notes: tuple[str, ...]
    segments: SegmentCalibration | None = None
    undo: Undo | None = None


class Proposal(msgspec.Struct, frozen=True):
    """A recalibration of a domain that reactions choose, beside the one that serves, and the command to set it."""

    domain: str
    serves: Recalibration | None
    by: OutcomeRecalibration
    next: str


class WatchReport(msgspec.Struct, frozen=True):
    """All domains from `begin` to `end`, compared with the time from `before` on; times in seconds since 1970.

    `requests` and `labelled` count those now, `requests_before` those before. `shares` are the domains' shares of the
    traffic; those named by `shifts` have changed without any domain's fault. `skipped` counts lines without an answer
    or a time, `bad` those that cannot be read. `proposals` are made where they are asked for. `suites` are the results
    of the domains' cases by what serves now.
    """

    before: float
    begin: float
    end: float
    requests: int
    requests_before: int
    labelled: int
    alarms: tuple[Alarm, ...]
    domains: dict[str, DomainWatch]
    shares: dict[str, ShareShift]
    shifts: tuple[str, ...]
    new_contexts: tuple[ContextValue, ...]
    notes: tuple[str, ...]
    skipped: int
    bad: int
    proposals: tuple[Proposal, ...] | msgspec.UnsetType = msgspec.UNSET
    suites: tuple[CaseResult, ...] = ()
