"""Readings of requests by all domains, chunk by chunk: what one process observes, and several together."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.answerlog.reader import UnreadableLines
from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed
from arbitrank.domain import Model
from arbitrank.errors import InputError, PluginError, message
from arbitrank.guard import Fault, guarded
from arbitrank.impact.batch_scores import Brought, DomainReadings, Grouped, brought_for, by_domain, score_batch
from arbitrank.impact.plan import DomainVersion
from arbitrank.impact.work import Lines, Requests
from arbitrank.values import Request
from arbitrank.wire.json_lines import BadLine, place
from arbitrank.wire.requests import Logged, decode_logged


@dataclass(frozen=True)
class ObservationPlan:
    """The versions of the domains that read the requests, and the numbers of the groups in which readings agree.

    `fallback` is a fallback that is not installed: the first hypothesis that a request brings of it acts.
    """

    versions: Mapping[str, DomainVersion]
    groups: Mapping[str, int] = field(default_factory=dict)
    fallback: str | None = None

    def having(self, versions: Mapping[str, DomainVersion]) -> ObservationPlan:
        """The plan with other versions."""
        return dataclasses.replace(self, versions=versions)


@dataclass
class ObservedChunk:
    """A chunk of lines as the domains read them: the requests with a truth, and the rest; `first` is its first line.

    `fingerprints` are those of the requests with a truth, `contexts` the plain values of their contexts.
    `foreign` are domains whose hypotheses do not compete, `unserved` counts requests that nothing here answers rightly,
    by their first owner, `earlier` are domains that other versions answered for in the log, `failures` the reasons of
    failed calls.
    """

    first: int
    unreadable: UnreadableLines = field(default_factory=UnreadableLines)
    foreign: set[str] = field(default_factory=set)
    unserved: Counter[str] = field(default_factory=Counter)
    earlier: set[str] = field(default_factory=set)
    failures: dict[str, list[str]] = field(default_factory=dict)
    labelled: Observed | None = None
    rest: Observed | None = None
    fingerprints: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    contexts: tuple[Mapping[str, str | bool], ...] = ()


@dataclass
class ObservedRequests:
    """Chunks that the domains `names` read; `broken` are those that could not be loaded, with the reasons."""

    names: tuple[str, ...]
    broken: Mapping[str, str]
    chunks: Sequence[ObservedChunk]

    @property
    def labelled(self) -> Observed:
        """The requests with a truth."""
        return self._joined([one.labelled for one in self.chunks])

    @property
    def rest(self) -> Observed:
        """The requests without a truth."""
        return self._joined([one.rest for one in self.chunks])

    @property
    def fingerprints(self) -> NDArray[np.uint32]:
        """The fingerprints of the requests with a truth."""
        return np.concatenate([np.zeros(0, np.uint32), *(one.fingerprints for one in self.chunks)])

    @property
    def contexts(self) -> tuple[Mapping[str, str | bool], ...]:
        """The plain values of the contexts of the requests with a truth."""
        return tuple(context for one in self.chunks for context in one.contexts)

    def remarks(self) -> Iterator[str]:
        """Remarks on lines, domains and requests that were left out."""
        if unreadable := [one.unreadable for one in self.chunks if one.unreadable.n]:
            yield str(UnreadableLines(sum(one.n for one in unreadable), unreadable[0].first))
        if foreign := set[str]().union(*(one.foreign for one in self.chunks)):
            yield f"not installed, so their hypotheses do not compete: {', '.join(sorted(foreign))}"
        if unserved := sum((one.unserved for one in self.chunks), Counter[str]()):
            names = ", ".join(f"{name} ({n})" for name, n in sorted(unserved.items()))
            yield (
                f"{unserved.total()} requests are of domains that do not answer here, so that whatever is decided "
                f"counts as wrong: {names}; install these, or correct the names in the truths"
            )
        if earlier := set[str]().union(*(one.earlier for one in self.chunks)):
            names = ", ".join(sorted(earlier))
            yield f"logged answers of other versions of {names}: their readings are scored by those that answer now"
        for name in self.names:
            if reasons := [reason for one in self.chunks for reason in one.failures.get(name, ())]:
                yield f"{name} failed on {len(reasons)} requests, the first: {reasons[0]}"

    def _joined(self, parts: Iterable[Observed | None]) -> Observed:
        known = [part for part in parts if part is not None]
        if not known:
            empty = tuple(BestReadings.empty(0) for _ in self.names)
            return Observed(self.names, empty, np.zeros((0, len(empty)), bool), np.zeros((0, len(empty) + 1), bool))
        readings = tuple(map(BestReadings.together, zip(*(part.readings for part in known), strict=True)))
        right, owners = (np.concatenate([getattr(part, side) for part in known]) for side in ("right", "owners"))
        return Observed(self.names, readings, right, owners)


def together(shares: Sequence[ObservedRequests]) -> ObservedRequests:
    """The shares of several processes as one process would have them.

    Raises `PluginError` where a domain could be loaded by some of them alone.
    """
    first, broken = shares[0], {name: reason for share in shares for name, reason in share.broken.items()}
    for share in shares:
        if share.names != first.names:
            name = min({*first.names} ^ {*share.names})
            reason = f"{name} could be loaded by some processes alone: {broken[name]}"
            raise PluginError(f"{reason}; install the same packages on all workers")
    chunks = sorted((one for share in shares for one in share.chunks), key=lambda one: one.first)
    return ObservedRequests(first.names, broken, chunks)


class ObservationWork:
    """Share of one process in an observation, with the models loaded."""

    def __init__(self, plan: ObservationPlan) -> None:
        self.plan, self.models, self.broken = plan, dict[str, Model](), dict[str, str]()
        for name, part in sorted(plan.versions.items()):
            model = guarded(part.load)
            if isinstance(model, Fault):
                self.broken[name] = message(model)
            else:
                self.models[name] = model
        self.names = (*self.models, *([] if plan.fallback is None else [plan.fallback]))

    def share(self, some: Iterable[Lines], path: Requests) -> ObservedRequests:
        """The readings of some chunks."""
        with threadpool_limits(1):
            return ObservedRequests(self.names, self.broken, [self._chunk(lines, path) for lines in some])

    def _chunk(self, raw: Lines, path: Requests) -> ObservedChunk:
        found, lines = ObservedChunk(raw[0][0]), list[Logged]()
        for number, where, line in raw:
            try:
                if isinstance(line, BadLine):
                    raise InputError(line.reason)
                lines.append(decode_logged(line))
            except InputError as error:
                found.unreadable.add(BadLine(where or place(str(path), number), str(error)))
        if lines:
            self._observe(lines, found)
        return found

    def _observe(self, lines: Sequence[Logged], found: ObservedChunk) -> None:
        """Fill in the domains' readings of the lines."""
        grouped = [by_domain(line) for line in lines]
        for line in lines:
            reports = {} if line.answer is None else line.answer.domains
            parts = self.plan.versions
            found.earlier |= {
                name
                for name, one in reports.items()
                if name in self.models and one.version not in (None, parts[name].version)
            }
        found.foreign = {name for own in grouped for name in own or () if name not in self.names}
        scored = self._scored(lines, grouped, found)
        best = [one.compared(name, self.plan.groups) for name, one in zip(self.models, scored, strict=True)]
        if self.plan.fallback is not None:
            scored.append(_unscored(brought_for(self.plan.fallback, grouped)))
            best.append(scored[-1].best)
        n, width = len(lines), len(self.names)
        right, owners = np.zeros((n, width), bool), np.zeros((n, width + 1), bool)
        for i, line in enumerate(lines):
            if line.truth is not None:
                owners[i] = [*map(line.truth.owned_by, self.names), line.truth.out_of_scope]
                if not owners[i].any():
                    found.unserved.update(line.truth.owners[:1])
                right[i] = [one.best.best[i] >= 0 and one.semer(i, line.truth) == 0.0 for one in scored]
        labelled = np.array([line.truth is not None for line in lines], bool)
        whole = Observed(self.names, tuple(best), right, owners)
        found.labelled, found.rest = whole.at(np.flatnonzero(labelled)), whole.at(np.flatnonzero(~labelled))
        known = [line for line in lines if line.truth is not None]
        found.fingerprints, found.contexts = fingerprints(known), tuple(_plain(line.context) for line in known)

    def _scored(self, lines: Sequence[Logged], grouped: Grouped, found: ObservedChunk) -> list[DomainReadings]:
        scored = []
        for name, model in self.models.items():
            by = self.plan.versions[name].recalibration
            one = score_batch(name, model, lines, brought_for(name, grouped), by)
            if one.failures:
                found.failures[name] = one.failures
            scored.append(one)
        return scored


def fingerprints(requests: Sequence[Request]) -> NDArray[np.uint32]:
    """Hashes of the words of requests, and of the hypotheses of those without: the same request has the same one."""
    contents = ((one.utterance, one.hypotheses if one.utterance is None else None) for one in requests)
    hashes = (hashlib.blake2b(msgspec.json.encode(content), digest_size=4).digest() for content in contents)
    return np.frombuffer(b"".join(hashes), "<u4")


def _plain(context: Mapping[str, object]) -> Mapping[str, str | bool]:
    """The values of a context that thresholds can go by."""
    return {key: value for key, value in context.items() if isinstance(value, str | bool)}


def _unscored(brought: Brought) -> DomainReadings:
    """The hypotheses that requests bring of a fallback that is not installed; the first of each request acts."""
    found = DomainReadings(BestReadings.empty(len(brought)), [own or () for own in brought], [], {})
    found.best.best[[i for i, own in enumerate(brought) if own]] = 0
    return found
