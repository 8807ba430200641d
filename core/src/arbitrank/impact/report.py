"""What a candidate does to everybody: flips, errors and calibration before and after, on requests that are replayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.domain import Domain
from arbitrank.errors import ArbitrankError, ArtifactError, InputError, describe
from arbitrank.evaluate.metrics import Calibration, Floats, calibration
from arbitrank.evaluate.results import Outcome
from arbitrank.evaluate.summary import Difference
from arbitrank.impact.replay import KINDS, Flip, Judged, Part, Plan, Replayed, Rows, flips, judged, replay
from arbitrank.impact.temperature import Temperature, temperature
from arbitrank.probability import log_loss
from arbitrank.store.artifact import Manifest, read_manifest
from arbitrank.store.artifact_checks import verified
from arbitrank.store.loading import present
from arbitrank.store.store import Store
from arbitrank.wire import BadLine

MEASURES = ("domain_accuracy", "irer", "semer", "nll", "brier")

_DRAWS = 1_000
_AT_ONCE = 1 << 22  # numbers that a step of the bootstrap holds
_SLICE = 30  # requests below which a device says nothing


class Side(msgspec.Struct, frozen=True):
    """How requests fare on one side: rates in [0, 1], NLL in nats, and the calibration of P(right)."""

    domain_accuracy: float
    irer: float
    semer: float
    nll: float
    brier: float


class Slice(msgspec.Struct, frozen=True):
    """`n` requests with a truth, before and after, and the paired differences after − before with 95 % intervals.

    `right_to_wrong` and `wrong_to_right` count the answers that changed so. The calibrations of a domain are of the
    requests whose list it heads (None where there are none), all others of the slice's requests.
    """

    n: int
    before: Side
    after: Side
    difference: dict[str, Difference]
    right_to_wrong: int
    wrong_to_right: int
    calibration_before: Calibration | None
    calibration_after: Calibration | None


class Pair(msgspec.Struct, frozen=True):
    """Requests that went from the domain `before` to the domain `after`, None being nobody.

    They are the same where another reading of the domain's won.
    """

    before: str | None
    after: str | None
    n: int
    right_to_wrong: int
    wrong_to_right: int
    other: int
    no_truth: int


class Claimed(msgspec.Struct, frozen=True):
    """How true the exchanged domain's own claims are, its best reading of every request, as a card measures it.

    The temperatures say what the log-odds would have to be divided by; above 1 for claims that are too strong.
    """

    before: Calibration | None
    after: Calibration | None
    temperature_before: Temperature | None
    temperature_after: Temperature | None


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of `n` requests, `labelled` of them with a truth, where `after` takes the place of `before`.

    `before` and `after` are versions of `domain`. `none_counts` says that deciding "none" was taken for an answer, as
    there are requests that are nobody's. `flips` counts the requests that are answered differently, `pairs` from whom
    to whom, `worst` shows those that matter most. `per_domain` goes by who truly owns a request. `card` is the
    candidate's own.
    """

    domain: str
    before: str | None
    after: str
    on: str
    n: int
    labelled: int
    bad_lines: int
    none_counts: bool
    temperature: float
    notes: list[str]
    flips: int
    pairs: list[Pair]
    pooled: Slice | None
    per_domain: dict[str, Slice]
    per_device: dict[str, Slice]
    claims: Claimed
    card: Calibration | None
    failures: dict[str, int]
    worst: list[Flip]


def plan(
    domains: Mapping[str, Domain],
    store: Store,
    name: str,
    candidate: Path,
    *,
    against: Path | None = None,
    checked: bool = False,
    decisions: DecisionSettings = DecisionSettings(),
) -> Plan:
    """What to replay: every domain as it answers now, and the artifact `candidate` in the place of domain `name`.

    With `against`, that artifact is what it is compared with; with `checked`, the candidate is verified already. Raises
    `InputError` where the domain isn't installed, `ArtifactError` where an artifact is damaged.
    """
    if name not in domains:
        known = ", ".join(sorted(domains)) or "none"
        raise InputError(f"domain {name!r} is not loaded (loaded: {known}); run: arbitrank domains")
    parts, silent, recognisers = {}, {}, {}
    for each, domain in sorted(domains.items()):
        try:
            one = present(each, domain, store)
            parts[each] = Part(domain, one.folder, one.manifest.version, one.temperature)
            recognisers[each] = recogniser_of(one.manifest)
        except ArbitrankError as error:
            silent[each] = str(error)
        except Exception as error:  # `shipped` is the plugin's code and may raise anything
            silent[each] = describe(error)
    if against is not None:
        other = _manifest(against, name, store)
        was = parts.get(name)
        temperature = was.temperature if was and was.version == other.version else 1.0
        parts[name] = Part(domains[name], against, other.version, temperature)
        recognisers[name] = recogniser_of(other)
    manifest = read_manifest(candidate) if checked else _manifest(candidate, name, store)
    reads = recogniser_of(manifest)
    return Plan(
        name,
        parts,
        Part(domains[name], candidate, manifest.version),
        again=bool(reads) and reads != recognisers.get(name),
        silent={each: why for each, why in silent.items() if each not in parts},
        decisions=decisions,
    )


def recogniser_of(manifest: Manifest) -> dict[str, str]:
    """The digests of the recogniser's files in an artifact; none where it has no recogniser."""
    return {path: digest for path, digest in manifest.files.items() if path.startswith("recogniser/")}


def _manifest(folder: Path, name: str, store: Store) -> Manifest:
    manifest = verified(folder, store.keys)
    if manifest.domain != name:
        raise ArtifactError(f"{folder}: an artifact of {manifest.domain!r}, promised one of {name!r}")
    return manifest


def measure(
    plan: Plan,
    path: Path,
    *,
    card: Calibration | None = None,
    jobs: int = 1,
    seed: int = 0,
    called: str | None = None,
) -> tuple[Impact, Replayed]:
    """Replay a file and say what the candidate does; with the numbers that this was taken from.

    In the report the file goes by its own name, or is `called` another.
    """
    found = replay(plan, path, jobs=jobs)
    return _impact(plan, called or path.name, found, card, seed), found


def none_counts(rows: Rows) -> bool:
    """Whether some request is known to be nobody's, so that deciding "none" can be right."""
    return bool((rows["labelled"] & (rows["owner"] < 0)).any())


def outcomes(found: Replayed, threshold: float) -> dict[str, Outcome]:
    """Both sides as an evaluation has them, the readings left out: what its plots are made of."""
    rows, counts = found.rows[found.rows["labelled"]], none_counts(found.rows)
    sides = {}
    for side in ("before", "after"):
        one, answers = rows[side], judged(rows, side, none_counts=counts, threshold=threshold)
        sides[side] = Outcome(
            (),
            one["probability"],
            one["right"].astype(np.float64),
            one["nobody"],
            answers.none,
            answers.right.astype(np.float64),
            answers.domain_right.astype(np.float64),
            answers.semer,
        )
    return sides


def _impact(plan: Plan, on: str, found: Replayed, card: Calibration | None, seed: int) -> Impact:
    rows = found.rows
    counts = none_counts(rows)
    flipped, kind = flips(rows, none_counts=counts, threshold=plan.decisions.none)
    labelled = rows[rows["labelled"]]
    compared = _Compared(labelled, counts, plan.decisions.none, seed)
    owners, devices = labelled["owner"], labelled["device"]
    mine = found.names.index(plan.name) if plan.name in found.names else -2
    before = None if plan.name in found.broken else plan.parts.get(plan.name)
    return Impact(
        domain=plan.name,
        before=before.version if before else None,
        after=plan.candidate.version,
        on=on,
        n=len(rows),
        labelled=len(labelled),
        bad_lines=found.bad_lines,
        none_counts=counts,
        temperature=before.temperature if before else 1.0,
        notes=list(_notes(plan, found)),
        flips=int(flipped.sum()),
        pairs=_pairs(rows, flipped, kind, found.names, counts, plan.decisions.none),
        pooled=compared.slice(np.ones(len(labelled), np.bool_)) if len(labelled) else None,
        per_domain={
            name: compared.slice(owners == number, claimed_by=number)
            for name, number in sorted((name, number) for number, name in enumerate(found.names))
            if (owners == number).any()
        },
        per_device={
            name: compared.slice(devices == number)
            for name, number in sorted((name, number) for number, name in enumerate(found.devices))
            if (devices == number).sum() >= _SLICE
        },
        claims=Claimed(
            _claimed(labelled["before"], seed),
            _claimed(labelled["after"], seed),
            temperature(labelled["before"], owners == mine),
            temperature(labelled["after"], owners == mine),
        ),
        card=card,
        failures={who: reasons.total() for who, reasons in sorted(found.failures.items())},
        worst=found.worst[counts],
    )


class _Compared:
    """Both sides of the requests with a truth, and what is measured of each request."""

    def __init__(self, rows: Rows, counts: bool, threshold: float, seed: int) -> None:
        self.rows, self.seed = rows, seed
        self.answers = [judged(rows, side, none_counts=counts, threshold=threshold) for side in ("before", "after")]
        self.measured = [_measured(rows[s], a) for s, a in zip(("before", "after"), self.answers, strict=True)]

    def slice(self, chosen: NDArray[np.bool_], claimed_by: int | None = None) -> Slice:
        """The slice of the chosen requests; calibration of those that a domain heads, where one is named."""
        before, after = (measured[chosen] for measured in self.measured)
        was, is_ = (answers.right[chosen] for answers in self.answers)
        calibrations = []
        for side in ("before", "after"):
            one = self.rows[side]
            one = one[chosen] if claimed_by is None else one[one["head"] == claimed_by]
            calibrations.append(_calibration(one["probability"], one["right"], self.seed))
        return Slice(
            int(chosen.sum()),
            Side(*map(float, before.mean(axis=0))),
            Side(*map(float, after.mean(axis=0))),
            dict(zip(MEASURES, differences(after - before, self.seed), strict=True)),
            int((was & ~is_).sum()),
            int((~was & is_).sum()),
            *calibrations,
        )


def _measured(side: Rows, answers: Judged) -> Floats:
    """What is averaged over requests, a column for each of `MEASURES`."""
    p, y = side["probability"], side["right"].astype(np.float64)
    return np.stack([answers.domain_right, 1.0 - answers.right, answers.semer, log_loss(p, y), (p - y) ** 2], axis=1)


def differences(delta: Floats, seed: int = 0, draws: int = _DRAWS) -> list[Difference]:
    """The mean of each column of paired differences, shape (n, k), and its bootstrap 95 % interval over the n requests.

    Most requests don't change. How many of a draw do is binomial, and which is uniform among those that do; so only
    these are drawn, which gives the same distribution as to draw all.
    """
    n, rng = len(delta), np.random.default_rng(seed)
    changed = delta[(delta != 0.0).any(axis=1)]
    if not len(changed):
        return [Difference(0.0, 0.0, 0.0) for _ in delta.T]
    sizes = rng.binomial(n, len(changed) / n, draws)
    means = []
    step = max(1, _AT_ONCE // len(changed))
    for begin in range(0, draws, step):
        drawn = [rng.integers(0, len(changed), size) for size in sizes[begin : begin + step]]
        counts = np.array([np.bincount(one, minlength=len(changed)) for one in drawn], np.float64)
        means.append(counts @ changed / n)
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975], axis=0)
    return [Difference(*map(float, one)) for one in zip(delta.mean(axis=0), low, high, strict=True)]


def _calibration(p: Floats, right: NDArray[np.bool_], seed: int) -> Calibration | None:
    if not len(p):
        return None
    # Sorting takes the time; of many requests the intervals are narrow, and fewer draws tell them well enough.
    draws = int(np.clip(1_000_000 // len(p), 100, 400))
    return calibration(np.ascontiguousarray(p), right.astype(np.float64), seed=seed, draws=draws)


def _claimed(side: Rows, seed: int) -> Calibration | None:
    spoke = side["spoke"]
    return _calibration(side["claim"][spoke], side["claim_right"][spoke], seed)


def _pairs(
    rows: Rows, flipped: NDArray[np.bool_], kind: NDArray[np.int64], names: list[str], counts: bool, threshold: float
) -> list[Pair]:
    """From whom to whom the requests went, the largest stream first."""
    heads = [
        np.where(judged(rows, side, none_counts=counts, threshold=threshold).none, -1, rows[side]["head"])
        for side in ("before", "after")
    ]
    table: dict[tuple[int, int], list[int]] = {}
    for a, b, k in zip(heads[0][flipped].tolist(), heads[1][flipped].tolist(), kind[flipped].tolist(), strict=True):
        table.setdefault((a, b), [0] * len(KINDS))[k] += 1
    said = [*names, None]
    pairs = [Pair(said[a], said[b], sum(of_kind), *of_kind) for (a, b), of_kind in table.items()]
    return sorted(pairs, key=lambda pair: (-pair.n, pair.before or "", pair.after or ""))


def _notes(plan: Plan, found: Replayed) -> Iterator[str]:
    if found.unserved:
        how = "ranked by R0, the product of their confidences" if plan.ranks_unserved else "not ranked"
        yield f"not installed and {how}: {', '.join(sorted(found.unserved))}"
    for name, reason in sorted({**plan.silent, **found.broken}.items()):
        yield f"{name} cannot answer and was left out: {reason}"
    if plan.name not in plan.parts or plan.name in found.broken:
        yield f"{plan.name} does not answer now: everything it wins is new"
    if plan.again:
        yield f"the candidate has another recogniser: it read the words of each request itself{_lacking(found)}"
    if found.from_log:
        yield f"{found.from_log} claims of other domains were taken from the log's answers"
    for who, reasons in sorted(found.failures.items()):
        reason, _ = reasons.most_common(1)[0]
        yield f"{who} failed on {reasons.total()} requests: {reason}"
    yield from _bad(found.bad, found.bad_lines)


def _lacking(found: Replayed) -> str:
    return f", but for {found.unread} without words, of which it took the hypotheses brought" if found.unread else ""


def _bad(lines: list[BadLine], total: int) -> Iterator[str]:
    if total:
        yield f"{total} lines could not be read, among them {lines[0].where}: {lines[0].reason}"
