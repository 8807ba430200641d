"""Owners that overlap: several recognisers of one bot that name the same readings, and assistants of their own kinds.

hint3: five vendors' recognisers on the same requests of each bot, 42 to 54 % of them out of scope. In five folds each
vendor's re-ranker is trained alone on the other folds, and the decision settings are tuned on its out-of-fold scores of
these; the vendors are a group, so that equal intents agree. A request is answered rightly by a right intent, or by none
where it is out of scope. The best single vendor is the one that is best on the very requests that are reported on, by
its own re-ranker or its raw confidence, with the threshold that is best on the other folds. The vote is for the intent
of most vendors, or for none where these are fewer than is best on the other folds.

bbai: 19 assistants on the same questions. "questions": those without replies, by a text classifier of each
assistant's own. "replies": the questions with replies, by what each assistant can tell of its own
(`benchmarks.replies`). "vectors": the same, with the sentence encoder of the extra `embed`, which compares question
and reply, and a logistic regression of each assistant's own over all that it can tell. The share is of the questions
that one answered acceptably at all; the others count in calibration. Assistants name no readings in common, so that
there are no groups, and the first of the list answers whatever is decided. Which replies are acceptable is voted by
five people, so that not even who knows each reply's chance of a vote is always right.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import terms_of
from arbitrank.decisions.observed import Heads, Observed, heads_of
from arbitrank.decisions.tuning import tune
from arbitrank.domain import Settings
from arbitrank.evaluate.corpus import read_hypotheses
from arbitrank.evaluate.hypotheses import Readings
from arbitrank.evaluate.intervals import bootstrap_means, interval
from arbitrank.evaluate.labelled import LabelledReadings, label, observed
from arbitrank.evaluate.metrics import band_mark, calibration
from arbitrank.evaluate.systems import Fitted, score, score_unseen
from arbitrank.learn.cross_fitting import CrossFitted
from arbitrank.learn.evidence import Evidence, gather, own_request
from arbitrank.learn.model_selection import select
from arbitrank.learn.rerankers import R0
from arbitrank.nlu.training import cross_fit, encode_all, train_recogniser
from arbitrank.probability import Floats
from arbitrank.shortlist.embedding import Encoder
from arbitrank.shortlist.encoders import PACKAGED, stated_encoder
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth
from benchmarks.common import DATA, between, note, show, table
from benchmarks.replies import Replies
from benchmarks.skills import read

NAME = "overlap"
PARTS = ("hint3", "questions", "replies", "vectors")
FOLDS = 5
SYSTEMS = ("R0", "factored")
FEW = 30  # requests of its own below which a domain learns the scale of its score alone

Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Requests(NamedTuple):
    """Requests with their truths, and each domain's readings of them, by fold as learned from the other folds."""

    name: str
    domains: tuple[str, ...]
    examples: tuple[Example, ...]
    fold: Places
    readings: Sequence[Mapping[str, Readings]]

    def parts(self, f: int) -> tuple[Places, Places]:
        """The places of the other folds' requests, and of the fold's own."""
        return np.flatnonzero(self.fold != f), np.flatnonzero(self.fold == f)


class Outcomes(NamedTuple):
    """Of n requests whether the answer is right, P(right) of the head, and whether the head is right."""

    answer: Floats
    probability: Floats
    right: Floats


class Rivals(NamedTuple):
    """Of n requests the place in the list of the first domain that owns it, and whether all that do have few others."""

    place: Places
    few: Mask


# ------------------------------------------------------------------------------------------------------------- the data


def hint3(folder: Path, seed: int) -> Iterator[Requests]:
    """The requests of each bot."""
    for path in sorted(folder.glob("*.jsonl*")):
        corpus = read_hypotheses(path)
        own: dict[str, Readings] = {name: [()] * len(corpus.held) for name in corpus.domains}
        for i, example in enumerate(corpus.held):
            for h in example.request.hypotheses or ():
                own[h.domain][i] += (h,)
        fold = folds(len(corpus.held), seed)
        yield Requests(corpus.name, corpus.domains, corpus.held, fold, [own] * FOLDS)


def asked(folder: Path) -> tuple[tuple[str, ...], tuple[Example, ...]]:
    """The assistants, and the questions without replies with those that answered each acceptably."""
    rows = [row for split in ("train", "dev") for row in read(folder / f"{split}.jsonl.gz")]
    examples = tuple(
        Example(Request(id=row["id"], utterance=row["text"]), Truth(None, "answer", (), tuple(row["agents_ok"])))
        for row in rows
    )
    return tuple(sorted({name for row in rows for name in row["agents_ok"]})), examples


def questions(folder: Path, seed: int) -> Requests:
    """The questions without replies, as each assistant's own text classifier reads them."""
    names, examples = asked(folder)
    fold, encoded = folds(len(examples), seed), encode_all(examples)
    parts: list[Mapping[str, Readings]] = []
    for f in range(FOLDS):
        rest, held = np.flatnonzero(fold != f).tolist(), np.flatnonzero(fold == f).tolist()
        learned, of_rest = [examples[i] for i in rest], [encoded[i] for i in rest]
        own: dict[str, Readings] = {}
        for name in names:
            found: Readings = [()] * len(examples)
            recogniser = train_recogniser(name, learned, seed, encoded=of_rest)
            of_held = recogniser.recognise_many([encoded[i] for i in held])
            fitted = cross_fit(name, learned, seed=seed, encoded=of_rest)
            for i, readings in zip((*rest, *held), (*fitted, *of_held), strict=True):
                found[i] = readings
            own[name] = found
        parts.append(own)
        note(f"questions: {f + 1} of {FOLDS} folds read")
    return Requests("questions", names, examples, fold, parts)


def replies(folder: Path, seed: int, encoder: Encoder | None = None) -> Requests:
    """The questions with replies, as each assistant judges its own, with an encoder by vectors as well."""
    source = Replies(folder, encoder)
    examples = tuple(source.examples())
    fold = folds(len(examples), seed)
    parts: list[dict[str, Readings]] = [{} for _ in range(FOLDS)]
    for name in source.assistants:
        for own, found in zip(parts, source.hypotheses(name, fold, seed), strict=True):
            own[name] = [(h,) for h in found]
        note(f"replies: {name} read")
    return Requests("replies", source.assistants, examples, fold, parts)


def vectors(folder: Path, seed: int) -> Requests:
    """The questions with replies, by the packaged encoder's vectors as well."""
    return replies(folder, seed, stated_encoder(PACKAGED))


def synthetic(n: int = 600, *, seed: int = 0) -> Requests:
    """Requests to three recognisers of one bot, two of which make the same mistakes; 40 % are out of scope."""
    rng = np.random.default_rng(seed)
    names, out = ("a", "b", "c"), rng.random(n) < 0.4
    examples, own = [], {name: list[tuple[Hypothesis, ...]]() for name in names}
    for i in range(n):
        shared, alone = (0 if rng.random() < 0.75 and not out[i] else int(rng.integers(1, 9)) for _ in range(2))
        intents = dict(zip(names, (shared, shared, alone), strict=True))
        for name, intent in intents.items():
            confidence = float(np.clip(rng.normal(0.7 if intent == 0 else 0.55, 0.15), 0.01, 0.99))
            slots = (Slot("city", "Rome" if name == "a" else "rome"),)
            own[name].append((Hypothesis(name, f"intent{intent}", intent_confidence=confidence, slots=slots),))
        right = tuple(name for name, intent in intents.items() if intent == 0)
        truth = Truth(None, "intent0", (Slot("city", "rome"),), right or (None,))
        examples.append(Example(Request(id=str(i), utterance="words"), Truth(None) if out[i] else truth))
    return Requests("synthetic", names, tuple(examples), folds(n, seed), [own] * FOLDS)


def folds(n: int, seed: int) -> Places:
    """The fold of each of n requests."""
    return np.random.default_rng(seed).permutation(n) % FOLDS


# --------------------------------------------------------------------------------------------------------- the systems


class FoldReadings(NamedTuple):
    """A system's readings of the other folds, out of fold, and of the fold, by re-rankers trained on the others."""

    rest: Observed
    held: Observed


def scored(requests: Requests, f: int, seed: int) -> dict[str, FoldReadings]:
    """Each system's readings, every domain's re-ranker being trained alone."""
    rest, held = requests.parts(f)
    sides: dict[str, tuple[list[LabelledReadings], list[LabelledReadings]]] = {name: ([], []) for name in SYSTEMS}
    for name in requests.domains:
        own = requests.readings[f][name]
        learning, at_rest = _held_by(requests, own, rest)
        training = gather(name, learning, [requests.examples[rest[k]].truth for k in at_rest])
        scoring, at_held = _held_by(requests, own, held)
        truths = [requests.examples[held[k]].truth for k in at_held]
        evidence = Evidence.of(training.spec, scoring, truths)
        for fitted in _fitted(training, seed):
            of_rest, of_held = sides[fitted.system]
            unseen = label(len(rest), at_rest, score_unseen(fitted, training), training)
            new = label(len(held), at_held, score(fitted.reranker, evidence), evidence)
            of_rest.append(unseen._replace(readings=unseen.readings.keyed([own[i] for i in rest])))
            of_held.append(new._replace(readings=new.readings.keyed([own[i] for i in held])))
    examples = [[requests.examples[i] for i in places] for places in (rest, held)]
    return {
        system: FoldReadings(*(observed(requests.domains, *each) for each in zip(both, examples, strict=True)))
        for system, both in sides.items()
    }


def _held_by(requests: Requests, own: Readings, places: Places) -> tuple[list[Request], list[int]]:
    """The requests that the domain has a reading of, holding it, and their numbers among the places."""
    at = [k for k, i in enumerate(places) if own[i]]
    return [own_request(requests.examples[places[k]].request, own[places[k]]) for k in at], at


def _fitted(evidence: Evidence, seed: int) -> Iterator[Fitted]:
    """R0, and the re-ranker that the domain ships by default."""
    baseline = R0(evidence.without_context().spec)
    claims = [baseline.rerank(request) for request in evidence.requests]
    unseen = CrossFitted(np.array([one.mine for one in claims]), np.concatenate([one.right for one in claims]))
    yield Fitted("R0", baseline, unseen)
    if not evidence.batch.mine.any():  # nothing to learn from
        yield Fitted("factored", baseline, unseen)
        return
    one = select(evidence, Settings(seed=seed))
    yield Fitted("factored", one.reranker, one.unseen)


def answered(readings: FoldReadings, settings: DecisionSettings) -> Outcomes:
    """The outcomes of the fold by settings."""
    heads = heads_of(readings.held, settings, terms_of(settings, readings.held.domains))
    return _outcomes(heads, settings, readings.held.out_of_scope)


def _outcomes(heads: Heads, settings: DecisionSettings, none: Mask) -> Outcomes:
    return Outcomes(heads.answers(settings, none), heads.probability, heads.right.astype(np.float64))


def rivals(readings: FoldReadings) -> Rivals:
    """Where the owners of the fold's requests stand by P(right), and which of these have few requests to learn from."""
    owners = readings.held.owners[:, :-1]
    order = np.argsort(-np.array([one.right for one in readings.held.readings]), axis=0, kind="stable").T
    few = readings.rest.owners[:, :-1].sum(axis=0) < FEW
    return Rivals(np.take_along_axis(owners, order, axis=1).argmax(axis=1), ~(owners & ~few).any(axis=1))


def single(readings: FoldReadings, d: int, raw: Sequence[Floats] | None = None) -> Floats:
    """1 where domain d alone answers rightly: its best reading from the threshold on that is best on the other folds.

    By its own P(right), else by the `raw` confidences in the other folds and in the fold.
    """
    sides = []
    for k, side in enumerate(readings):
        one = side.readings[d]
        has = one.best >= 0
        sides.append((np.where(has, one.right if raw is None else raw[k], -1.0), side.right[:, d], side.out_of_scope))
    return _from_threshold(*sides)


def vote(readings: FoldReadings) -> Floats:
    """1 where the majority answers rightly: the reading of most domains, or none below a number of them."""
    sides = []
    for side in readings:
        keys = np.array([np.where(one.best >= 0, one.keys, -1) for one in side.readings])
        votes = np.where(keys >= 0, (keys[:, None] == keys[None]).sum(axis=1), 0)
        first, at = votes.argmax(axis=0), np.arange(keys.shape[1])
        sides.append((votes[first, at].astype(np.float64), side.right[at, first], side.out_of_scope))
    return _from_threshold(*sides)


def _from_threshold(rest: tuple[Floats, Mask, Mask], held: tuple[Floats, Mask, Mask]) -> Floats:
    """1 for right answers of the second side: those from the threshold on that is best on the first, else none."""

    def right(side: tuple[Floats, Mask, Mask], threshold: float) -> Floats:
        value, own, none = side
        return np.where(value >= threshold, own, none).astype(np.float64)

    tried = np.unique(np.quantile(rest[0], np.linspace(0.0, 1.0, 101)))
    best = max([-np.inf, *tried, np.inf], key=lambda threshold: float(right(rest, threshold).mean()))
    return right(held, best)


# --------------------------------------------------------------------------------------------------------- the figures


def measured(requests: Requests, *, grouped: bool, seed: int = 0) -> dict[str, Any]:
    """The figures of every way to answer the requests; where `grouped`, the domains are a group too."""
    n = len(requests.examples)
    ways: dict[str, Outcomes] = {}
    singles = {kind: np.zeros((n, len(requests.domains))) for kind in ("its re-ranker", "its raw confidence")}
    votes, chosen = np.zeros(n), dict[str, Counter[str]]()
    none, place, few = np.zeros(n, bool), np.zeros(n, np.int64), np.zeros(n, bool)
    for f in range(FOLDS):
        rest, held = requests.parts(f)
        with threadpool_limits(1):
            by_system = scored(requests, f, seed)
        for way, readings, base in _ways(requests, by_system, grouped):
            with threadpool_limits(1):
                tuned = tune(readings.rest, base, seed=seed) if way.endswith("tuned") else None
            one = answered(readings, tuned.settings if tuned else base)
            whole = ways.setdefault(way, Outcomes(np.zeros(n), np.zeros(n), np.zeros(n)))
            for side, part in zip(whole, one, strict=True):
                side[held] = part
            if tuned:
                taken = [choice.setting for choice in tuned.choices if choice.taken] or ["as untuned"]
                chosen.setdefault(way, Counter()).update(taken)
        readings = by_system["factored"]
        none[held] = readings.held.out_of_scope
        place[held], few[held] = rivals(readings)
        for d, name in enumerate(requests.domains):
            confidences = [_confidences(requests.readings[f][name], places) for places in (rest, held)]
            singles["its re-ranker"][held, d] = single(readings, d)
            singles["its raw confidence"][held, d] = single(readings, d, confidences)
        votes[held] = vote(readings)
        note(f"{requests.name}: {f + 1} of {FOLDS} folds measured")
    counted = np.ones(n, bool) if grouped else ~none
    best = _best_single(requests.domains, singles) if grouped else _best_owner(requests, counted)
    values = {best[0]: best[1], **({"majority vote": votes} if grouped else {})}
    values.update((way, one.answer if grouped else one.right) for way, one in ways.items())
    return {
        "n": int(counted.sum()),
        "out_of_scope": float(none.mean()),
        "ways": {way: _figures(value[counted], best[1][counted], ways.get(way), seed) for way, value in values.items()},
        "chosen": {way: dict(counts) for way, counts in chosen.items()},
        "missed": None if grouped else _missed(place[counted], few[counted]),
    }


def _missed(place: Places, few: Mask) -> dict[str, int]:
    """The requests that the factored re-rankers, untuned, give to a domain that does not own them."""
    missed = place > 0
    return {
        "n": int(missed.sum()),
        "second": int((place == 1).sum()),
        "few": int((missed & few).sum()),
        "of_few": int(few.sum()),
    }


def _ways(
    requests: Requests, by_system: Mapping[str, FoldReadings], grouped: bool
) -> Iterator[tuple[str, FoldReadings, DecisionSettings]]:
    """The systems untuned and tuned, and with the domains in a group."""
    for system, readings in by_system.items():
        yield system, readings, DecisionSettings()
        yield f"{system} tuned", readings, DecisionSettings()
        if grouped:
            yield f"{system} in a group, tuned", readings, DecisionSettings(groups=(requests.domains,))


def _confidences(own: Readings, places: Places) -> Floats:
    """The product of the confidences that a domain's first reading has."""
    readings = (own[i][0] if own[i] else None for i in places)
    parts = (
        [] if h is None else [p for p in (h.domain_confidence, h.intent_confidence) if p is not None] for h in readings
    )
    return np.array([float(np.prod(one)) if one else -1.0 for one in parts])


def _best_single(names: Sequence[str], singles: Mapping[str, Floats]) -> tuple[str, Floats]:
    """The domain that is best alone, known only afterwards: its name, and 1 for right answers."""
    kind, d = max(
        ((kind, d) for kind in singles for d in range(len(names))), key=lambda one: singles[one[0]][:, one[1]].mean()
    )
    return f"best single: {names[d]}, {kind}", singles[kind][:, d]


def _best_owner(requests: Requests, counted: Mask) -> tuple[str, Floats]:
    """The domain that owns most of the requests."""
    owns = np.array([[one.truth.owned_by(name) for name in requests.domains] for one in requests.examples], float)
    d = int(owns[counted].mean(axis=0).argmax())
    return f"best single: {requests.domains[d]}", owns[:, d]


def _figures(value: Floats, best: Floats, outcomes: Outcomes | None, seed: int) -> dict[str, Any]:
    """The share of right answers and its gain over the best single domain with intervals; the head's calibration."""
    draws = bootstrap_means(np.column_stack([value, value - best]), seed)
    found: dict[str, Any] = {
        "right": [float(value.mean()), *interval(draws[:, 0])],
        "gain": [float((value - best).mean()), *interval(draws[:, 1])],
    }
    if outcomes is not None:
        one = calibration(outcomes.probability, outcomes.right, seed=seed)
        found |= {"nll": one.nll, "ece": one.ece, "ece_floor": one.ece_floor, "ece_band": list(one.ece_band)}
    return found


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of the chosen parts."""
    if chosen.quick:
        return {"synthetic": measured(synthetic(seed=chosen.seed), grouped=True, seed=chosen.seed)}
    found = {}
    for part in chosen.part or PARTS:
        if part == "hint3":
            for requests in hint3(chosen.data / "hint3", chosen.seed):
                found[f"hint3, {requests.name}"] = measured(requests, grouped=True, seed=chosen.seed)
        else:
            reader = {"questions": questions, "replies": replies, "vectors": vectors}[part]
            requests = reader(chosen.data / "bbai", chosen.seed)
            found[f"bbai, {part}"] = measured(requests, grouped=False, seed=chosen.seed)
            if part == "replies":
                found[f"bbai, {part}"]["attainable"] = Replies(chosen.data / "bbai").attainable(chosen.seed)
    return found


def print_tables(found: Mapping[str, Any]) -> None:
    """Print a table for each set of requests."""
    for name, one in found.items():
        print(f"{name}: {one['n']} requests, {100 * one['out_of_scope']:.1f} % without an owner; per cent")
        rows = []
        for way, got in one["ways"].items():
            mean, low, high = _percent(got["right"])
            calibrated = (
                (f"{100 * got['ece']:.1f}", f"{100 * got['ece_floor']:.1f}", band_mark(got["ece"], got["ece_band"]))
                if "ece" in got
                else ("", "", "")
            )
            nll = f"{got['nll']:.3f}" if "nll" in got else ""
            rows.append([way, f"{mean:.1f} [{low:.1f}, {high:.1f}]", between(*got["gain"], digits=1), nll, *calibrated])
        table(("answered by", "right", "gain over the best single", "NLL", "ECE", "floor", "in band"), rows)
        for way, counts in one["chosen"].items():
            print(f"  {way}: {', '.join(f'{setting} ({n} of {FOLDS})' for setting, n in counts.items())}")
        if one["missed"]:
            n, second, few, of_few = (one["missed"][key] for key in ("n", "second", "few", "of_few"))
            print(
                f"  of {n} missed by factored, an owner is second in {second}; {few} are of the {of_few} whose owners "
                f"all had fewer than {FEW} requests to learn from"
            )
        if "attainable" in one:
            mean, low, high = _percent(one["attainable"])
            print(f"  by each reply's own chance of a vote: {mean:.1f} [{low:.1f}, {high:.1f}]")
        print()


def _percent(shares: Iterable[float]) -> list[float]:
    return [100 * share for share in shares]


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The benchmark's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="what to measure (all)")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="made requests; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(argv)


def main() -> None:
    """Measure and print."""
    chosen = options()
    with threadpool_limits(1):
        show(NAME, chosen, figures(chosen), print_tables)


if __name__ == "__main__":
    main()
