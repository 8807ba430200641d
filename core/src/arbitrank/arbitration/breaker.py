"""Which domains are not asked for a while, because they failed or came late again and again.

A version of a domain that fails is let be for a time that doubles with each trial that fails too; then one request
tries it. Another version of the same domain begins anew, so a repaired one answers at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic

import msgspec

from arbitrank.domain import Model

_KEPT = 2  # stable and candidate: the versions of a domain that may answer at a time


class Breaking(msgspec.Struct, frozen=True):
    """When a domain is let be: after `failures` in a row, for `pause` seconds, up to `longest` as trials fail.

    An answer of a domain in this process that took more than `soft_ms` milliseconds counts as a failure, although it is
    used. What costs a worker process counts as all of `failures` at once.
    """

    failures: int = 5
    pause: float = 1.0
    longest: float = 60.0
    soft_ms: float = 1_000.0


@dataclass
class _Trouble:
    """A version that failed: how often in a row, what that counts as, why, how long it is let be and until when.

    `trying` says that a request is trying it again.
    """

    model: Model
    failures: int = 0
    weight: int = 0
    reason: str = ""
    pause: float = 0.0
    until: float = 0.0
    trying: bool = False


class Breakers:
    """The breakers of all domains. Safe to use from any thread; costs nothing while no domain is in trouble."""

    def __init__(self, settings: Breaking = Breaking(), clock: Callable[[], float] = monotonic) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._troubled: dict[str, list[_Trouble]] = {}

    def __bool__(self) -> bool:
        """Whether any domain is in trouble."""
        return bool(self._troubled)

    def skipped(self, models: Mapping[str, Model], ready: Callable[[Model], bool]) -> tuple[dict[str, str], list[str]]:
        """The domains that are not to be asked now, with the reason, and those that this request tries again.

        Who tries a domain has to tell `succeeded` or `failed` afterwards. One that isn't `ready` is not tried yet.
        """
        skip: dict[str, str] = {}
        tried: list[str] = []
        with self._lock:
            now = self._clock()
            for name in self._troubled.keys() & models.keys():
                one = self._of(name, models[name])
                if one is None or not one.until:
                    continue
                if now < one.until or one.trying or not ready(models[name]):
                    skip[name] = self._said(one, now)
                else:
                    one.trying = True
                    tried.append(name)
        return skip, sorted(tried)

    def succeeded(self, name: str, model: Model) -> None:
        """Close a domain's breaker: it answered in time."""
        with self._lock:
            self._take_out(name, lambda one: one.model is model)

    def failed(self, name: str, model: Model, reason: str, counts: int = 1) -> None:
        """Count a failure as so many; 0 says that the domain is not to blame, and ends its trial all the same."""
        with self._lock:
            one = self._of(name, model)
            if one is None:
                if not counts:
                    return
                one = _Trouble(model)
                self._troubled[name] = [*self._troubled.get(name, ()), one][-_KEPT:]
            tried, one.trying = one.trying, False
            if not counts:
                return
            one.failures += 1
            one.weight += counts
            one.reason = reason
            now = self._clock()
            # What was asked before the breaker opened may fail after it did; that says nothing new.
            if one.weight >= self.settings.failures and (tried or now >= one.until):
                one.pause = min(2 * one.pause or self.settings.pause, self.settings.longest)
                one.until = now + one.pause

    def keep(self, name: str, models: Iterable[Model]) -> None:
        """Forget the versions of a domain that are none of these."""
        kept = list(models)
        with self._lock:
            self._take_out(name, lambda one: not any(one.model is model for model in kept))

    def status(self) -> dict[str, str]:
        """Why domains are not asked, by name, for those that aren't."""
        with self._lock:
            now = self._clock()
            return {name: self._said(one, now) for name, found in self._troubled.items() for one in found if one.until}

    def _of(self, name: str, model: Model) -> _Trouble | None:
        return next((one for one in self._troubled.get(name, ()) if one.model is model), None)

    def _take_out(self, name: str, out: Callable[[_Trouble], bool]) -> None:
        found = self._troubled.get(name)
        if found:
            left = [one for one in found if not out(one)]
            if left:
                self._troubled[name] = left
            else:
                del self._troubled[name]

    def _said(self, one: _Trouble, now: float) -> str:
        times = "once" if one.failures == 1 else f"{one.failures} times"
        wait = f"in {max(one.until - now, 0.0):.1f} s" if now < one.until else "now"
        return f"failed {times} in a row, asked again {wait}; the last time: {one.reason}"
