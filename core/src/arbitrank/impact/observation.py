"""Observation of requests by all domains as they answer now: to tune the decision settings on, and to judge them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.answerlog.reader import lines_of, source
from arbitrank.arbitration.claims import group_numbers, group_remarks
from arbitrank.arbitration.competition import Served
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed
from arbitrank.domain import Domain, Model, Progress
from arbitrank.errors import DataError, InputError, message
from arbitrank.guard import Fault, guarded
from arbitrank.impact.batch_scores import Brought, DomainReadings, brought_for, by_domain, score_batch
from arbitrank.impact.plan import DomainVersion, present_parts
from arbitrank.impact.replay import CHUNK
from arbitrank.store.store import Store
from arbitrank.values import Request
from arbitrank.wire.json_lines import BadLine, place
from arbitrank.wire.requests import Logged, decode_logged


class Observation(NamedTuple):
    """Requests of a file as the domains answer them: those with a truth, and the readings of all others.

    `served` are the domains' versions and recalibrations, the fallback's and those that cannot answer left out;
    `fallback` is the name of the one that acts where none is decided. `fingerprints` are those of the requests with a
    truth. `notes` name what was left out.
    """

    observed: Observed
    unlabelled: tuple[BestReadings, ...]
    served: dict[str, Served]
    notes: tuple[str, ...]
    fallback: str | None
    fingerprints: NDArray[np.uint32]

    @property
    def every(self) -> tuple[BestReadings, ...]:
        """The readings of all requests, whether they have a truth or not."""
        return tuple(map(BestReadings.together, zip(self.observed.readings, self.unlabelled, strict=True)))


def observe(
    domains: Mapping[str, Domain],
    store: Store,
    path: Path,
    decisions: DecisionSettings = DecisionSettings(),
    progress: Progress | None = None,
) -> Observation:
    """Observe the requests of a file or a log's folder; `decisions` are the settings in force.

    `progress` is called with the number of requests so far, their total being unknown (0). Raises `DataError` where the
    file cannot be read, or fewer than two domains can answer.
    """
    present = present_parts(domains, store, decisions)
    notes = [f"{name} cannot answer and was left out: {reason}" for name, reason in sorted(present.silent.items())]
    acting = present.fallback
    parts = {name: one for name, one in sorted(present.parts.items()) if name not in present.idle}
    models: dict[str, Model] = {}
    for name, part in parts.items():
        model = guarded(part.load)
        if isinstance(model, Fault):
            notes.append(f"{name} cannot be loaded and was left out: {message(model)}")
        else:
            models[name] = model
    competing = [name for name in models if name != acting]
    if len(competing) < 2:
        beside = f", beside the fallback {acting}," if acting in models else ""
        raise DataError(
            f"{', '.join(competing) or 'no domain'}{beside} can answer, expected at least 2 domains: nothing competes"
        )
    brought = acting if acting not in domains else None  # it may stand in the requests alone
    reader, groups = _Reader(path, brought), group_numbers(decisions.groups)
    notes += group_remarks(decisions.groups, competing)
    chunks, prints, n = [], [np.zeros(0, np.uint32)], 0
    with threadpool_limits(1):
        for lines in reader:
            chunks.append(_observed(lines, models, parts, reader, groups))
            prints.append(fingerprints([line for line in lines if line.truth is not None]))
            n += len(lines)
            if progress is not None:
                progress(f"requests of {path.name}", n, 0)
    names = (*models, *([] if brought is None else [brought]))
    labelled, rest = (_joined([chunk[side] for chunk in chunks], names).with_fallback(acting) for side in (0, 1))
    served: dict[str, Served] = {name: (parts[name].version, parts[name].recalibration) for name in competing}
    notes += reader.notes()
    return Observation(labelled, rest.readings, served, tuple(notes), acting, np.concatenate(prints))


def fingerprints(requests: Sequence[Request]) -> NDArray[np.uint32]:
    """Hashes of the words of requests, and of the hypotheses of those without: the same request has the same one."""
    contents = ((one.utterance, one.hypotheses if one.utterance is None else None) for one in requests)
    hashes = (hashlib.blake2b(msgspec.json.encode(content), digest_size=4).digest() for content in contents)
    return np.frombuffer(b"".join(hashes), "<u4")


class _Reader:
    """Requests of a file in chunks, and the parts of it that could not be used.

    `fallback` is a fallback that is not installed: the first hypothesis that a request brings of it acts.
    """

    def __init__(self, path: Path, fallback: str | None) -> None:
        self._path, self._bad, self._first = source(path), 0, ""
        self.fallback = fallback
        self.failures: dict[str, list[str]] = {}
        self.foreign: set[str] = set()
        self.earlier: set[str] = set()

    def __iter__(self) -> Iterator[list[Logged]]:
        chunk: list[Logged] = []
        for number, raw in lines_of(self._path):
            try:
                if isinstance(raw, BadLine):
                    raise InputError(raw.reason)
                chunk.append(decode_logged(raw))
            except InputError as error:
                self._first = self._first or f"{place(str(self._path), number)}: {error}"
                self._bad += 1
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def notes(self) -> Iterator[str]:
        """Remarks on lines, domains and requests that were left out."""
        if self._bad:
            yield f"{self._bad} lines could not be read, the first: {self._first}"
        if self.foreign:
            yield f"not installed, so their hypotheses do not compete: {', '.join(sorted(self.foreign))}"
        if self.earlier:
            names = ", ".join(sorted(self.earlier))
            yield f"logged answers of other versions of {names}: their readings are scored by those that answer now"
        for name, reasons in sorted(self.failures.items()):
            yield f"{name} failed on {len(reasons)} requests, the first: {reasons[0]}"


def _observed(
    lines: list[Logged],
    models: Mapping[str, Model],
    parts: Mapping[str, DomainVersion],
    reader: _Reader,
    groups: Mapping[str, int],
) -> tuple[Observed, Observed]:
    """The requests with a truth, and those without."""
    grouped = [by_domain(line) for line in lines]
    for line in lines:
        reports = {} if line.answer is None else line.answer.domains
        reader.earlier |= {
            name for name, one in reports.items() if name in parts and one.version not in (None, parts[name].version)
        }
    reader.foreign |= {name for own in grouped for name in own or () if name not in models and name != reader.fallback}
    scored: list[DomainReadings] = []
    for name, model in models.items():
        found = score_batch(name, model, lines, brought_for(name, grouped), parts[name].recalibration)
        if found.failures:
            reader.failures.setdefault(name, []).extend(found.failures)
        scored.append(found)
    best = [one.compared(name, groups) for name, one in zip(models, scored, strict=True)]
    names = list(models)
    if reader.fallback is not None:
        names.append(reader.fallback)
        scored.append(_unscored(brought_for(reader.fallback, grouped)))
        best.append(scored[-1].best)
    right, owners = np.zeros((len(lines), len(names)), bool), np.zeros((len(lines), len(names) + 1), bool)
    for i, line in enumerate(lines):
        if line.truth is not None:
            owners[i] = [*map(line.truth.owned_by, names), line.truth.out_of_scope]
            right[i] = [one.best.best[i] >= 0 and one.semer(i, line.truth) == 0.0 for one in scored]
    labelled = np.array([line.truth is not None for line in lines], bool)
    whole = Observed(tuple(names), tuple(best), right, owners)
    return whole.at(np.flatnonzero(labelled)), whole.at(np.flatnonzero(~labelled))


def _unscored(brought: Brought) -> DomainReadings:
    """The hypotheses that requests bring of a fallback that is not installed; the first of each request acts."""
    found = DomainReadings(BestReadings.empty(len(brought)), [own or () for own in brought], [], {})
    found.best.best[[i for i, own in enumerate(brought) if own]] = 0
    return found


def _joined(parts: list[Observed], names: tuple[str, ...]) -> Observed:
    if not parts:
        empty = tuple(BestReadings.empty(0) for _ in names)
        return Observed(names, empty, np.zeros((0, len(names)), bool), np.zeros((0, len(names) + 1), bool))
    readings = tuple(map(BestReadings.together, zip(*(part.readings for part in parts), strict=True)))
    right, owners = (np.concatenate([getattr(part, side) for part in parts]) for side in ("right", "owners"))
    return Observed(names, readings, right, owners)
