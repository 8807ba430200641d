"""Replaying requests with one domain's model exchanged: who answers them now, and who would.

Each request is read, scored and merged as `arbitration.arbitrator` does it, many at a time; all domains but the
exchanged one are scored once, and not even that where the log holds what the same versions said. Of each request a row
of numbers is kept, so a file of any length can be replayed.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.answerlog.joining import LogView
from arbitrank.answerlog.reader import lines_of, source
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.domain import Domain, Model, Scores
from arbitrank.errors import ArbitrankError, ArtifactError, InputError, PluginError, describe
from arbitrank.impact.batch_scores import Baseline, Claims, Floats, Reading, Said, claims
from arbitrank.probability import CLIP
from arbitrank.semer import semantic_errors
from arbitrank.values import Hypothesis, Ranked, Truth
from arbitrank.wire import BadLine, Logged, decode_logged, place

CHUNK = 256
"""Requests that are scored at once."""

FLIPS = 20
"""Flips of which the words are kept."""

_BAD = 5  # bad lines whose reasons are kept
_SAME = 1e-6  # how close a logged score has to be to what the model says now

Kind = Literal["right to wrong", "wrong to right", "other", "no truth"]
KINDS: tuple[Kind, ...] = ("right to wrong", "wrong to right", "other", "no truth")

_SIDE = np.dtype(
    [
        ("head", "i4"),  # the domain of the best reading, a number in `names`, -1 where there is none
        ("probability", "f8"),
        ("right", "?"),
        ("domain_right", "?"),
        ("semer", "f8"),
        ("nobody", "f8"),
        ("spoke", "?"),  # the exchanged domain: whether it has a reading, P(mine), P(right) of its best, is that right
        ("mine", "f8"),
        ("claim", "f8"),
        ("claim_right", "?"),
    ]
)
ROW = np.dtype(
    [
        ("line", "i8"),
        ("labelled", "?"),
        ("owner", "i4"),  # a number in `names`, -1 where nobody owns it
        ("device", "i4"),  # a number in `devices`, -1 where it is not known
        ("moved", "?"),  # another reading heads the list
        ("before", _SIDE),
        ("after", _SIDE),
    ]
)
"""What is kept of a request: where it stands, what is true of it, and how it fares before and after."""

Rows = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """A domain as it answers: its code, the folder of its weights, their version, and what its claims are shrunk by."""

    domain: Domain
    folder: Path
    version: str
    temperature: float = 1.0


@dataclass(frozen=True)
class Plan:
    """What is compared: the domains as they answer, and the candidate that takes the place of one of them.

    `silent` are installed domains that can't answer, and why: their hypotheses are not ranked. `again` says that the
    candidate reads the words with another recogniser. `decisions` are the settings of the arbitrator. With
    `plain` nothing is scored many at a time.
    """

    name: str
    parts: Mapping[str, Part]
    candidate: Part
    again: bool = False
    silent: Mapping[str, str] = field(default_factory=dict)
    decisions: DecisionSettings = field(default=DecisionSettings())
    plain: bool = False
    ranks_unserved: bool = True


class Spoken(msgspec.Struct, frozen=True):
    """The answer to a request, in words; no domain where it is nobody's."""

    domain: str | None
    reading: str
    probability: float


class Flip(msgspec.Struct, frozen=True):
    """A request that is answered differently: where it stands, its words, both answers, and what was meant."""

    line: int
    id: str | None
    utterance: str | None
    device: str | None
    kind: Kind
    before: Spoken
    after: Spoken
    truth: str | None


@dataclass
class Replayed:
    """What a replay found. `worst` holds the flips that matter most, by whether deciding "none" counts as an answer."""

    rows: Rows
    names: list[str]
    devices: list[str]
    worst: dict[bool, list[Flip]] = field(default_factory=lambda: {False: [], True: []})
    bad: list[BadLine] = field(default_factory=list)
    bad_lines: int = 0
    from_log: int = 0
    unread: int = 0
    unserved: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Counter[str]] = field(default_factory=dict)


class Judged(NamedTuple):
    """The answers of one side: is it "none", is it right, is its domain right, its semantic errors; one a request."""

    none: NDArray[np.bool_]
    right: NDArray[np.bool_]
    domain_right: NDArray[np.bool_]
    semer: Floats


def judged(rows: Rows, side: Literal["before", "after"], *, none_counts: bool, threshold: float) -> Judged:
    """The answers as `arbitrank.evaluate` judges them: with `none_counts` deciding "none" is an answer like others."""
    one, nobodys = rows[side], rows["owner"] < 0
    none = one["nobody"] > threshold if none_counts else one["head"] < 0
    return Judged(
        none,
        np.where(none, nobodys, one["right"]),
        np.where(none, nobodys, one["domain_right"]),
        np.where(none, 1.0 - nobodys, one["semer"]),
    )


def flips(rows: Rows, *, none_counts: bool, threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which requests are answered differently, and of what kind each change would be, a number in `KINDS`."""
    before = judged(rows, "before", none_counts=none_counts, threshold=threshold)
    after = judged(rows, "after", none_counts=none_counts, threshold=threshold)
    flipped = (before.none != after.none) | (rows["moved"] & ~before.none & ~after.none)
    kind = np.where(before.right & ~after.right, 0, np.where(~before.right & after.right, 1, 2))
    return flipped, np.where(rows["labelled"], kind, 3)


def replay(plan: Plan, path: Path, *, jobs: int = 1) -> Replayed:
    """Replay a file or a log's folder, with `jobs` processes; one, where the domains' code can't be handed to another.

    Raises `DataError` where it can't be read, `ArtifactError` where the candidate can't be loaded.
    """
    requests = source(path)  # a log goes on growing, and all processes have to see the same of it
    if jobs == 1 or not _portable(plan):
        return _share(plan, requests, 0, 1)
    from joblib import Parallel, delayed, parallel_config

    try:
        with parallel_config(backend="loky", inner_max_num_threads=1):
            shares = Parallel(n_jobs=jobs)(delayed(_share)(plan, requests, k, jobs) for k in range(jobs))
    except BrokenExecutor as error:
        raise PluginError(
            f"a process that replayed {path.name} crashed, or ran out of memory: {describe(error)}"
        ) from error
    return _together(shares)


def _portable(plan: Plan) -> bool:
    try:
        pickle.dumps(plan)
        return True
    except Exception:  # a plugin's object may hold anything, and refuse in any way
        return False


def _share(plan: Plan, path: Path | LogView, k: int, of: int) -> Replayed:
    """Every `of`-th chunk of the file, from the k-th on."""
    with threadpool_limits(1):
        work = _Work.load(plan)
        found = [work.chunk(lines, path) for lines in _chunks(path, k, of)]
    return work.done(found)


def _chunks(path: Path | LogView, k: int, of: int) -> Iterator[list[tuple[int, bytes | BadLine]]]:
    chunk: list[tuple[int, bytes | BadLine]] = []
    for place_, (number, line) in enumerate(lines_of(path)):
        if place_ // CHUNK % of == k:
            chunk.append((number, line))
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


class _Numbers(dict[str, int]):
    """Numbers for names, in the order in which they come."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self)
        return self[name]


@dataclass
class _Work:
    """What one process holds while it replays: the models, and what it found."""

    plan: Plan
    models: dict[str, Model]
    candidate: Model
    names: _Numbers
    devices: _Numbers
    found: Replayed

    @classmethod
    def load(cls, plan: Plan) -> _Work:
        """The models, loaded; one that can't be is silent, but for the candidate."""
        found = Replayed(np.zeros(0, ROW), [], [])
        models = {}
        for name, part in sorted(plan.parts.items()):
            try:
                models[name] = part.domain.load(part.folder)
            except ArbitrankError as error:
                found.broken[name] = str(error)
            except Exception as error:  # `load` is the plugin's code and may raise anything
                found.broken[name] = describe(error)
        try:
            candidate = plan.candidate.domain.load(plan.candidate.folder)
        except ArbitrankError:
            raise
        except Exception as error:  # likewise
            raise ArtifactError(f"{plan.candidate.folder}: cannot be loaded: {describe(error)}") from error
        return cls(plan, models, candidate, _Numbers(), _Numbers(), found)

    def done(self, rows: Sequence[Rows]) -> Replayed:
        """All that was found."""
        self.found.rows = np.concatenate(rows) if rows else np.zeros(0, ROW)
        self.found.names, self.found.devices = list(self.names), list(self.devices)
        return self.found

    def chunk(self, raw: Sequence[tuple[int, bytes | BadLine]], path: Path | LogView) -> Rows:
        """The rows of some lines; flips and bad lines are noted."""
        numbers, lines = self._decoded(raw, path)
        if not lines:
            return np.zeros(0, ROW)
        grouped = [_by_domain(line) for line in lines]
        before = self._everybody(lines, grouped)
        name, plan = self.plan.name, self.plan
        after = {**before}
        after[name] = self._ask(
            name, self.candidate, lines, self._given_again(lines, grouped), plan.candidate.temperature, "candidate"
        )
        rows = np.zeros(len(lines), ROW)
        rows["line"] = numbers
        rows["labelled"] = [line.truth is not None for line in lines]
        rows["owner"] = [self.names[line.truth.domain] if line.truth and line.truth.domain else -1 for line in lines]
        rows["device"] = [self._device(line) for line in lines]
        heads = [self._side(rows[side], one, lines) for side, one in (("before", before), ("after", after))]
        rows["moved"] = [_moved(*pair) for pair in zip(*heads, strict=True)]
        for none_counts in (False, True):
            self._note(rows, lines, heads, none_counts)
        return rows

    def _decoded(
        self, raw: Sequence[tuple[int, bytes | BadLine]], path: Path | LogView
    ) -> tuple[list[int], list[Logged]]:
        numbers, lines = [], []
        for number, line in raw:
            try:
                if isinstance(line, BadLine):
                    raise InputError(line.reason)
                lines.append(decode_logged(line))
                numbers.append(number)
            except InputError as error:
                self.found.bad_lines += 1
                if len(self.found.bad) < _BAD:
                    self.found.bad.append(BadLine(place(str(path), number), str(error)))
        return numbers, lines

    def _everybody(
        self, lines: Sequence[Logged], grouped: Sequence[Mapping[str, list[Hypothesis]] | None]
    ) -> dict[str, Said]:
        """What all domains say, the present one of the exchanged included, by name."""
        plan, said_by = self.plan, {}
        others = [name for name in self.models if name != plan.name]
        first = [name for name in (plan.name, *others[:1]) if name in self.models]
        for name in first:
            given = [None if own is None else own.get(name, ()) for own in grouped]
            said_by[name] = self._ask(name, self.models[name], lines, given, plan.parts[name].temperature, name)
        logged = [self._logged(line, i, said_by) for i, line in enumerate(lines)]
        for name in others[1:]:
            given = [None if own is None else own.get(name, ()) for own in grouped]
            spoken = [one.get(name) if one else None for one in logged]
            asked = [() if was else own for own, was in zip(given, spoken, strict=True)]
            one = self._ask(name, self.models[name], lines, asked, plan.parts[name].temperature, name)
            for i, was in enumerate(spoken):
                if was:
                    one.readings[i] = was
                    one.claims.put(i, _scores(was))
            self.found.from_log += sum(map(bool, spoken))
            said_by[name] = one
        known = {*plan.parts, *plan.silent, plan.name}
        unserved = {name for own in grouped for name in own or () if name not in known}
        self.found.unserved |= unserved
        for name in unserved if plan.ranks_unserved else ():
            given = [own.get(name, ()) if own else () for own in grouped]
            said_by[name] = self._ask(name, Baseline(name), lines, given, 1.0, name)
        return said_by

    def _ask(
        self,
        name: str,
        model: Model,
        lines: Sequence[Logged],
        given: Sequence[Sequence[Hypothesis] | None],
        temperature: float,
        who: str,
    ) -> Said:
        one = claims(name, model, lines, given, temperature, plain=self.plan.plain)
        if one.failures:
            self.found.failures.setdefault(who, Counter()).update(one.failures)
        return one

    def _given_again(
        self, lines: Sequence[Logged], grouped: Sequence[Mapping[str, list[Hypothesis]] | None]
    ) -> list[Sequence[Hypothesis] | None]:
        """What the candidate has to score: what was brought, or None where it reads the words itself."""
        given: list[Sequence[Hypothesis] | None] = []
        for line, own in zip(lines, grouped, strict=True):
            if own is None or (self.plan.again and line.utterance is not None):
                given.append(None)
            else:
                given.append(own.get(self.plan.name, ()))
                self.found.unread += self.plan.again
        return given

    def _logged(self, line: Logged, i: int, fresh: Mapping[str, Said]) -> dict[str, list[Ranked]] | None:
        """What each domain's present version said when the request was answered, as the log has it.

        The log doesn't say with what settings it was answered, so it is believed where it agrees with those domains
        that were asked again.
        """
        if line.answer is None:
            return None
        by_domain: dict[str, list[Ranked]] = {}
        for entry in line.answer.ranked:
            by_domain.setdefault(entry.domain, []).append(entry)
        kept = {}
        for name, entries in by_domain.items():
            part, report = self.plan.parts.get(name), line.answer.domains.get(name)
            if not (part and report and report.status == "answered"):
                continue
            if (report.version, report.shrunk or 1.0) == (part.version, part.temperature):
                kept[name] = entries
        witnesses = [name for name in fresh if name in kept]
        if not witnesses or any(not _agree(kept[name], fresh[name].claims, i) for name in witnesses):
            return None
        return kept

    def _device(self, line: Logged) -> int:
        device = line.context.get("device")
        return self.devices[device] if isinstance(device, str) else -1

    def _side(self, side: Rows, said_by: Mapping[str, Said], lines: Sequence[Logged]) -> list[Reading | None]:
        """Fill in how the requests fare on one side; the reading that heads each list."""
        if not said_by:
            side["head"], side["nobody"] = -1, 1.0
            return [None] * len(lines)
        order = sorted(said_by)
        winner, side["probability"], side["nobody"] = _merged(
            [said_by[name].claims for name in order], self.plan.decisions
        )
        heads: list[Reading | None] = []
        for i, (d, line) in enumerate(zip(winner.tolist(), lines, strict=True)):
            one = said_by[order[d]] if d >= 0 else None
            head = one.readings[i][int(one.claims.best[i])] if one else None
            heads.append(head)
            side["head"][i] = self.names[head.domain] if head else -1
            if head and line.truth:
                errors = semantic_errors(head, line.truth)
                side["right"][i], side["semer"][i] = errors == 0, errors / (1 + len(line.truth.slots))
                side["domain_right"][i] = head.domain == line.truth.domain
        own = said_by.get(self.plan.name)
        if own:
            side["spoke"], side["mine"], side["claim"] = own.claims.spoke, own.claims.mine, own.claims.right
            side["claim_right"] = [
                bool(spoke and line.truth and semantic_errors(readings[best], line.truth) == 0)
                for spoke, best, readings, line in zip(
                    own.claims.spoke, own.claims.best, own.readings, lines, strict=True
                )
            ]
        return heads

    def _note(
        self, rows: Rows, lines: Sequence[Logged], heads: Sequence[Sequence[Reading | None]], none_counts: bool
    ) -> None:
        """Keep the words of the flips that matter most."""
        flipped, kind = flips(rows, none_counts=none_counts, threshold=self.plan.decisions.none)
        at = np.flatnonzero(flipped)
        best = at[np.lexsort((rows["line"][at], -rows["after"]["probability"][at], kind[at]))][:FLIPS]
        before, after = heads
        sides = [
            judged(rows, side, none_counts=none_counts, threshold=self.plan.decisions.none).none
            for side in ("before", "after")
        ]
        for i in best.tolist():
            line, device = lines[i], lines[i].context.get("device")
            self.found.worst[none_counts].append(
                Flip(
                    int(rows["line"][i]),
                    line.id,
                    line.utterance,
                    device if isinstance(device, str) else None,
                    KINDS[kind[i]],
                    _spoken(None if sides[0][i] else before[i], rows["before"]["probability"][i]),
                    _spoken(None if sides[1][i] else after[i], rows["after"]["probability"][i]),
                    None if line.truth is None else words(line.truth),
                )
            )
        self.found.worst[none_counts] = worst(self.found.worst[none_counts])


def worst(found: Sequence[Flip]) -> list[Flip]:
    """The flips that matter most: what was right and is wrong first, and of each kind the most confident."""
    return sorted(found, key=lambda flip: (KINDS.index(flip.kind), -flip.after.probability, flip.line))[:FLIPS]


def words(reading: Reading | Truth | None) -> str:
    """A reading for people."""
    if reading is None or reading.domain is None:
        return "nobody's"
    slots = ", ".join(f"{slot.name} “{slot.value}”" for slot in reading.slots)
    return f"{reading.domain}: {reading.intent or reading.domain}" + (f" ({slots})" if slots else "")


def _spoken(head: Reading | None, probability: float) -> Spoken:
    return Spoken(head.domain if head else None, words(head), float(probability) if head else 0.0)


def _by_domain(line: Logged) -> dict[str, list[Hypothesis]] | None:
    if line.hypotheses is None:
        return None
    grouped: dict[str, list[Hypothesis]] = {}
    for hypothesis in line.hypotheses:
        grouped.setdefault(hypothesis.domain, []).append(hypothesis)
    return grouped


def _moved(before: Reading | None, after: Reading | None) -> bool:
    if before is after:
        return False
    if before is None or after is None:
        return True
    return (before.domain, before.intent, _named(before)) != (after.domain, after.intent, _named(after))


def _named(reading: Reading) -> list[tuple[str, str]]:
    return [(slot.name, slot.value) for slot in reading.slots]


def _merged(sides: Sequence[Claims], decisions: DecisionSettings) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Of each request: whose reading heads the list, -1 for nobody's, its P(right), and P(nobody owns it).

    `sides` are in the order of the domains' names, so that ties fall as in `arbitrank.arbitration.merge`.
    """
    spoke, mine, _, right, whole = (np.array(column) for column in zip(*sides, strict=True))
    nobody = np.prod(np.where(spoke, 1.0 - mine, 1.0), axis=0)
    if decisions.normalise:  # what `arbitrank.arbitration.merge.after_winning` does
        weight = np.where(spoke, mine / np.maximum(1.0 - mine, CLIP) ** decisions.independence, 0.0)
        total = weight.sum(axis=0)
        counts = (spoke.sum(axis=0) > 1) & (total > 0.0)
        share = weight / np.where(counts, total, 1.0)
        all_of_it = np.maximum(mine, whole)
        scaled = right / np.where(all_of_it > 0.0, all_of_it, 1.0) * share
        mine, right = np.where(counts, share, mine), np.where(counts, scaled, right)
    score = np.where(spoke, mine * right, -1.0)
    winner = np.argmax(score, axis=0)
    probability = np.take_along_axis(right, winner[None], axis=0)[0]
    silent = ~spoke.any(axis=0)
    return np.where(silent, -1, winner), np.where(silent, 0.0, probability), nobody


def _scores(entries: Sequence[Ranked]) -> Scores:
    return Scores(entries[0].domain_probability, np.array([entry.probability for entry in entries]))


def _agree(entries: Sequence[Ranked], fresh: Claims, i: int) -> bool:
    logged = entries[0].domain_probability, entries[0].probability
    return bool(np.allclose(logged, (fresh.mine[i], fresh.right[i]), rtol=0.0, atol=_SAME))


def _together(shares: Sequence[Replayed]) -> Replayed:
    """What several processes found, as one would have."""
    names, devices = _Numbers(), _Numbers()
    whole = Replayed(np.zeros(0, ROW), [], [])
    parts = []
    for share in shares:
        rows = share.rows
        for column, table, known in (
            (rows["owner"], names, share.names),
            (rows["before"]["head"], names, share.names),
            (rows["after"]["head"], names, share.names),
            (rows["device"], devices, share.devices),
        ):
            numbers = np.array([*(table[name] for name in known), -1])
            column[...] = numbers[column]
        parts.append(rows)
        for none_counts, some in share.worst.items():
            whole.worst[none_counts] = worst([*whole.worst[none_counts], *some])
        whole.bad += share.bad
        whole.bad_lines += share.bad_lines
        whole.from_log += share.from_log
        whole.unread += share.unread
        whole.unserved |= share.unserved
        whole.broken |= share.broken
        for who, reasons in share.failures.items():
            whole.failures.setdefault(who, Counter()).update(reasons)
    rows = np.concatenate(parts)
    whole.rows = rows[np.argsort(rows["line"], kind="stable")]
    whole.names, whole.devices = list(names), list(devices)
    return whole
