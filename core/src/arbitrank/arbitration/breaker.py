"""Circuit breakers: domains that fail repeatedly are skipped with exponential back-off.

A breaker is *closed* while its domain is queried. Enough failures in a row *open* it: the domain is skipped. After a
back-off that doubles with every failed trial it is *half-open*: one request tries the domain, which closes the breaker
or opens it again. A breaker is of one version of a domain, so that another version is queried at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic

import msgspec

from arbitrank.domain import Model

_KEPT = 2  # stable and candidate: the versions of a domain that may answer at a time


class BreakerSettings(msgspec.Struct, frozen=True):
    """A breaker opens after `failures` in a row, for `pause` seconds at first and for `longest` at most.

    An answer of a domain in this process that took more than `soft_ms` milliseconds is used, but counts as a failure. A
    failure that costs a worker process counts as all of `failures` at once.
    """

    failures: int = 5
    pause: float = 1.0
    longest: float = 60.0
    soft_ms: float = 1_000.0


@dataclass
class _Breaker:
    """The breaker of a version that failed: `failures` in a row, counted as `weight`, and the last one's `reason`.

    Closed while `until` is 0, open until then, half-open afterwards; `trial`: a request is trying the domain.
    """

    model: Model
    failures: int = 0
    weight: int = 0
    reason: str = ""
    pause: float = 0.0
    until: float = 0.0
    trial: bool = False


class Breakers:
    """The breakers of all domains. Safe to use from any thread; costs nothing while no domain fails."""

    def __init__(self, settings: BreakerSettings = BreakerSettings(), clock: Callable[[], float] = monotonic) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: dict[str, list[_Breaker]] = {}

    def __bool__(self) -> bool:
        """True where any domain has failed since it last answered."""
        return bool(self._failing)

    def admit(self, models: Mapping[str, Model], ready: Callable[[Model], bool]) -> tuple[dict[str, str], list[str]]:
        """The domains to skip, with the reason, and those that are on trial with this request.

        A trial must end in `succeeded` or `failed`. A half-open domain that is not `ready` is still skipped.
        """
        skip: dict[str, str] = {}
        trials: list[str] = []
        with self._lock:
            now = self._clock()
            for name in self._failing.keys() & models.keys():
                breaker = self._of(name, models[name])
                if breaker is None or not breaker.until:
                    continue
                if now < breaker.until or breaker.trial or not ready(models[name]):
                    skip[name] = _reason(breaker, now)
                else:
                    breaker.trial = True
                    trials.append(name)
        return skip, sorted(trials)

    def succeeded(self, name: str, model: Model) -> None:
        """Close a domain's breaker: it answered in time."""
        with self._lock:
            self._leave(name, [one for one in self._failing.get(name, ()) if one.model is not model])

    def failed(self, name: str, model: Model, reason: str, counts: int = 1) -> None:
        """Count a failure `counts` times; 0 does not blame the domain, and only ends its trial."""
        with self._lock:
            breaker = self._of(name, model)
            if breaker is None:
                if not counts:
                    return
                breaker = _Breaker(model)
                self._failing[name] = [*self._failing.get(name, ()), breaker][-_KEPT:]
            tried, breaker.trial = breaker.trial, False
            if not counts:
                return
            breaker.failures += 1
            breaker.weight += counts
            breaker.reason = reason
            now = self._clock()
            # A request that began before the breaker opened may fail after it did; that is no further failure.
            if breaker.weight >= self.settings.failures and (tried or now >= breaker.until):
                breaker.pause = min(2 * breaker.pause or self.settings.pause, self.settings.longest)
                breaker.until = now + breaker.pause

    def keep(self, name: str, models: Iterable[Model]) -> None:
        """Drop the breakers of a domain's other versions."""
        kept = list(models)  # compared by identity
        with self._lock:
            self._leave(name, [one for one in self._failing.get(name, ()) if any(one.model is m for m in kept)])

    def status(self) -> dict[str, str]:
        """The reasons why domains are skipped, by name, for those whose breaker is not closed."""
        with self._lock:
            now = self._clock()
            return {name: _reason(one, now) for name, found in self._failing.items() for one in found if one.until}

    def open(self) -> set[str]:
        """The domains that are skipped now."""
        with self._lock:
            now = self._clock()
            return {name for name, found in self._failing.items() for one in found if now < one.until}

    def _of(self, name: str, model: Model) -> _Breaker | None:
        return next((one for one in self._failing.get(name, ()) if one.model is model), None)

    def _leave(self, name: str, breakers: list[_Breaker]) -> None:
        if breakers:
            self._failing[name] = breakers
        else:
            self._failing.pop(name, None)


def _reason(breaker: _Breaker, now: float) -> str:
    times = "1 failure" if breaker.failures == 1 else f"{breaker.failures} failures in a row"
    wait = f"in {max(breaker.until - now, 0.0):.1f} s" if now < breaker.until else "now"
    return f"circuit open after {times}, tried again {wait}; the last failure: {breaker.reason}"
