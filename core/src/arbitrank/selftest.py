"""Self-test of an artifact in a child process, so that a crash cannot take down the service.

An artifact passes if it loads and what it loads fulfils the contract on requests that stress it. Its files have been
verified before. A damaged text can crash the library that reads it, and a model can hang or exhaust the memory: then
the child dies. `python -m arbitrank.selftest BYTES SECONDS` is the child; to each line with a folder and a name in JSON
it replies the problem, or null.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.probes import violation
from arbitrank.background import give_way
from arbitrank.child import Child, Ended, Expired, limit, serve
from arbitrank.domain import Domain
from arbitrank.errors import ArbitrankError, message, os_errors
from arbitrank.guard import Fault, guarded
from arbitrank.registry import Found, Loaded, Source, discover
from arbitrank.scales import domain_scales
from arbitrank.shortlist.artifact import load_shortlister
from arbitrank.shortlist.hyprank import read_hyprank
from arbitrank.shortlist.selftests import hyprank_problem, shortlister_problem
from arbitrank.store.artifact import read_manifest
from arbitrank.store.decision_settings import load_decisions, load_tuning
from arbitrank.store.kinds import DECISIONS, HYPRANK, SHORTLIST
from arbitrank.store.loading import load_model
from arbitrank.store.versions import wrong_name
from arbitrank.training_environment import check_code

TIMEOUT = 60.0
"""Seconds that a self-test may take."""

MEMORY = 4 << 30
"""Bytes of address space that a self-test may take."""

_REPEATED = 200  # self-tests by one process, so that what leaks stays small
_BACKGROUND = "background"  # the argument with which the child gives way to what answers requests
_ENDING = "not tested, as this process is about to end"


class NotTested(ArbitrankError):
    """Raised when no self-test could be run, which does not concern the artifact. Try again."""


class SelfTester:
    """Self-tests artifacts one after another in a child process, as starting one takes longer than a test.

    Call it with a folder and a name; it returns the problem, None where there is none. A process that fails a test is
    replaced, and a failure in one that had run others before is confirmed by a new one. In the `background` it gives
    way to what answers requests. Safe to call from any thread, and to `close` during a call, which then raises
    `NotTested`.
    """

    def __init__(self, timeout: float = TIMEOUT, *, background: bool = False) -> None:
        self.timeout, self._background = timeout, background
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._tests = 0
        self._closed = False

    def __call__(self, folder: Path, name: str, scales: Mapping[str, str] = MappingProxyType({})) -> str | None:
        """The problem of a verified artifact, None where it may serve; `scales` are stated for a domain's scores.

        Raises `NotTested`.
        """
        task = msgspec.json.encode((str(folder), name, dict(scales)))
        with self._lock:
            used = self._child is not None
            problem, late = self._test(task)
            if problem is not None and used and not late:
                problem, _ = self._test(task)
            return problem

    @property
    def _options(self) -> list[str]:
        return [_BACKGROUND] if self._background else []

    @property
    def pid(self) -> int | None:
        """The idle child process, None where there is none."""
        child = self._child
        return child.pid if child else None

    def close(self) -> None:
        """End the child process for good."""
        self._closed = True
        if child := self._child:
            child.kill()
        with self._lock:
            if self._child:
                self._child.close()
                self._child = None

    def _test(self, task: bytes) -> tuple[str | None, bool]:
        """The problem, and whether the test exceeded its time."""
        if self._child is None and not self._closed:
            with os_errors(NotTested, "no process for the self-test"):
                self._child = Child("-m", "arbitrank.selftest", str(MEMORY), str(self.timeout), *self._options)
            self._tests = 0
        child, late = self._child, False
        if self._closed or child is None:
            raise NotTested(_ENDING)
        self._tests += 1
        try:
            reply = child.exchange(task, self.timeout)
            problem = msgspec.json.decode(reply, type=str | None)
        except Ended as error:
            late = isinstance(error, Expired)
            problem = str(error) if late else f"the self-test's process {error}"
        except msgspec.DecodeError:
            problem = "the self-test's process sent an invalid reply"
        if self._closed:
            raise NotTested(_ENDING)
        if problem is not None or self._tests >= _REPEATED:
            child.close()
            self._child = None
        return problem, late


def selftest(
    folder: Path, name: str, timeout: float = TIMEOUT, *, scales: Mapping[str, str] = MappingProxyType({})
) -> str | None:
    """The problem of a verified artifact of an installed domain or a stage, None where it may serve. Never raises."""
    with closing(SelfTester(timeout)) as tester:
        try:
            return tester(folder, name, scales)
        except NotTested as error:
            return str(error)


# ------------------------------------------------------------------------------------------------------- in the child


def _decisions(folder: Path) -> DecisionSettings:
    load_tuning(folder)  # which the gate reads
    return load_decisions(folder)


def _scales_problem(settings: DecisionSettings) -> str | None:
    """The problem of a scale, which would keep its domain from being loaded."""
    for name, scales in sorted(settings.scales.items()):
        found = guarded(domain_scales, scales)
        if isinstance(found, Fault):
            return f"scales of {name}: {message(found)}"
    return None


STAGES: dict[str, tuple[Callable[[Path], Any], Callable[[Any], str | None]]] = {
    SHORTLIST: (load_shortlister, shortlister_problem),
    HYPRANK: (read_hyprank, hyprank_problem),
    DECISIONS: (_decisions, _scales_problem),
}
"""The loader of each stage's artifact, and the check of what it returns: the problem, None where there is none."""


def problem(
    folder: Path,
    name: str,
    domain: Domain | None = None,
    scales: Mapping[str, str] = MappingProxyType({}),
    source: Source | None = None,
) -> str | None:
    """The problem of an artifact of `domain`, from `source`, or of the stage `name`, tested in this process."""
    found = guarded(_problem, folder, name, domain, scales, source)
    if not isinstance(found, Fault):
        return found
    if isinstance(found.error, MemoryError):
        return "it needs more memory than a self-test may use"
    return str(found.error) if isinstance(found.error, ArbitrankError) else found.placed


def _problem(
    folder: Path, name: str, domain: Domain | None, scales: Mapping[str, str], source: Source | None
) -> str | None:
    if wrong := wrong_name(read_manifest(folder), name):
        return wrong
    if source is not None:
        check_code(folder, source.distribution, source.version)
    if domain is not None:
        return violation(domain, load_model(domain, folder, scales))
    load, check = STAGES[name]
    return check(load(folder))


def main(arguments: Sequence[str]) -> None:
    """Serve self-tests; `arguments` are the bytes of address space and the seconds that one may take."""
    memory, seconds, *options = arguments
    limit(int(memory))
    if options == [_BACKGROUND]:
        give_way()
    found: dict[str, Found] = {}

    def answer(task: bytes) -> bytes:
        folder, name, scales = msgspec.json.decode(task, type=tuple[str, str, dict[str, str]])
        if name in STAGES:
            return msgspec.json.encode(problem(Path(folder), name))
        if not found:
            every = discover()  # of two with one name, the one that is loaded
            found.update((one.name, one) for one in sorted(every, key=lambda one: isinstance(one, Loaded)))
        one = found.get(name)
        if isinstance(one, Loaded):
            return msgspec.json.encode(problem(Path(folder), name, one.domain, scales, one.source))
        reason = one.reason if one else "it is not installed"
        return msgspec.json.encode(f"domain {name!r} cannot be loaded: {reason}; run: arbitrank domains")

    serve(answer, float(seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
