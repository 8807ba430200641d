"""Effect of the context, and the part of it that domains gain that know only themselves.

proslu: Chinese requests that name a title and seldom its medium; the user's preferences are more informative than the
words. Train and dev together, ten folds, several seeds; recogniser and re-ranker of each domain see nine tenths.
titles: requests sampled from a known model, so that the best possible decision is known. A title is in two or three
media, the device leans to one, and each domain knows its own catalogue alone. --quick invents the titles and leaves out
proslu.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.decisions.tuning import tune
from arbitrank.domain import Scores, Settings
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.hypotheses import Readings
from arbitrank.evaluate.labelled import LabelledReadings, label, observed
from arbitrank.evaluate.metrics import calibration
from arbitrank.evaluate.results import SystemResults
from arbitrank.evaluate.systems import Fitted, score, score_unseen
from arbitrank.learn.evidence import Evidence, gather, own_request
from arbitrank.learn.model_selection import select
from arbitrank.learn.rerankers import baseline
from arbitrank.values import Example, Hypothesis, Slot
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import read_examples
from benchmarks.common import Bench, options, recognised, results, show, table
from benchmarks.titles import MEDIA, Titles, chances, draw, invented_titles, read_titles

NAME = "context"
CORPORA = ("proslu", "titles")
_SEEDS, _FOLDS = 3, 10
_SIZES, _QUICK = (4_000, 12_000), (1_200, 3_000)  # titles: requests to train on, and held out

Enrich = Callable[[str, Example, Hypothesis], dict[str, float]]
"""The features that a domain, by its name, adds to a hypothesis of its own."""


class Arm(NamedTuple):
    """Construction of the domains: with a trained re-ranker, with the context, with features of their own.

    With `tuned`, the decision settings are tuned on cross-fitted training requests.
    """

    trained: bool = True
    context: bool = True
    enrich: Enrich | None = None
    tuned: bool = False


BARE = {"R0": Arm(trained=False), "no context": Arm(context=False), "context": Arm()}
"""The arms whose domains bring no features of their own."""


class Said(NamedTuple):
    """Readings of the held-out requests by one domain, their scores, and its best readings of the training requests."""

    readings: Readings
    scores: list[Scores | None]
    unseen: LabelledReadings | None


def judged(bench: Bench, arm: Arm, seed: int = 0) -> SystemResults:
    """The results of the merged domains, each built alone."""
    corpus = bench.corpus
    said = [_said(bench, domain, arm, seed) for domain in corpus.domains]
    decisions = DecisionSettings()
    if arm.tuned:
        unseen = [one.unseen or LabelledReadings.none(len(corpus.train)) for one in said]
        decisions = tune(observed(corpus.domains, unseen, corpus.train), seed=seed).settings
    return results(
        [one.readings for one in said],
        [one.scores for one in said],
        [e.truth for e in corpus.held],
        none_counts=False,
        decisions=decisions,
        names=corpus.domains,
    )


def _said(bench: Bench, domain: str, arm: Arm, seed: int) -> Said:
    corpus, read = bench.corpus, bench.readings(domain)
    train, held = read.train, read.held
    if arm.enrich:
        train, held = (
            [enriched(domain, e, found, arm.enrich) for e, found in zip(of, all_, strict=True)]
            for of, all_ in ((corpus.train, train), (corpus.held, held))
        )
    learning = [own_request(e.request, found) for e, found in zip(corpus.train, train, strict=True)]
    asking = [own_request(e.request, found) for e, found in zip(corpus.held, held, strict=True)]
    places = [i for i, request in enumerate(asking) if request.hypotheses]
    evidence = gather(domain, learning, [e.truth for e in corpus.train], context=arm.context)
    fitted = Fitted(domain, baseline(domain, learning))
    if arm.trained:
        fitted = Fitted(domain, *select(evidence, Settings(model="factored", seed=seed))[:2])
    asked = Evidence.of(evidence.spec, [asking[i] for i in places], [corpus.held[i].truth for i in places])
    scores: list[Scores | None] = [None] * len(asking)
    for i, one in zip(places, score(fitted.reranker, asked), strict=True):
        scores[i] = one
    unseen = None
    if fitted.unseen is not None:
        spoken = [i for i, request in enumerate(learning) if request.hypotheses]
        unseen = label(len(learning), spoken, score_unseen(fitted, evidence), evidence)
    return Said(held, scores, unseen)


def enriched(domain: str, example: Example, found: Sequence[Hypothesis], enrich: Enrich) -> tuple[Hypothesis, ...]:
    """The hypotheses with the features that the domain adds."""
    return tuple(replace(h, features={**h.features, **enrich(domain, example, h)}) for h in found)


# ------------------------------------------------------------------------------------------------------------- proslu

SITUATION = ("movement", "geofence", "outdoor", "posture", "has_car")
"""Keys of the context that proslu has beside the preferences."""

_DOUBT = 10.0  # an intent's own counts weigh as much as those of all intents when it was seen so often


def proslu(folder: Path, cache: Path, *, seed: int = 0, seeds: int = _SEEDS, jobs: int = 1) -> dict[str, Any]:
    """The figures of each arm: means over the seeds, of requests in ten folds."""
    whole = read_proslu(folder)
    runs: dict[str, list[dict[str, float]]] = {}
    for again in range(seed, seed + seeds):
        found: dict[str, list[tuple[SystemResults, Corpus]]] = {}
        for corpus in fold_corpora(whole, again):
            bench = recognised(corpus, msgspec.msgpack.encode((corpus.train, corpus.held)), cache, jobs)
            entity, situation = entities(corpus), situations(corpus)
            both = both_features(entity, situation)
            arms = {
                **BARE,
                "context, entity types": Arm(enrich=entity),
                "context, entity types, situation": Arm(enrich=both),
                "the same, tuned": Arm(enrich=both, tuned=True),
            }
            for name, arm in arms.items():
                found.setdefault(name, []).append((judged(bench, arm, again), corpus))
        for name, parts in found.items():
            runs.setdefault(name, []).append(_of_folds(parts, again))
    means = {name: {key: float(np.mean([one[key] for one in all_])) for key in all_[0]} for name, all_ in runs.items()}
    return {"n": len(whole), "seeds": seeds, "arms": means}


def read_proslu(folder: Path) -> list[Example]:
    """The requests of train and dev together."""
    examples = [e for split in ("train", "dev") for e in read_examples(folder / f"{split}.jsonl.gz")]
    return [e for e in examples if not isinstance(e, BadLine)]


def fold_corpora(examples: Sequence[Example], seed: int) -> Iterator[Corpus]:
    """For each of ten folds, the requests of the others to learn from, and its own to measure."""
    domains = tuple(sorted({e.truth.domain for e in examples if e.truth.domain}))
    fold = np.random.default_rng(seed).permutation(len(examples)) % _FOLDS
    for f in range(_FOLDS):
        train, held = (
            tuple(e for e, g in zip(examples, fold, strict=True) if (g == f) == out) for out in (False, True)
        )
        yield Corpus(f"proslu-{seed}-{f}", domains, train, (), held, "fold", ())


def entities(corpus: Corpus) -> Enrich:
    """Features of the entities named in a domain's slots: the frequency of their types among its own requests.

    `entity_share` is the share of the domain's own training requests that name an entity of such a type, the highest of
    the types that the named entity has; `entity_types` is how many it has, as log(1 + n).
    """
    shares: dict[str, Counter[str]] = {}
    for domain in corpus.domains:
        own = [e for e in corpus.train if e.truth.domain == domain]
        counts = Counter(kind for e in own for kind in _types(e, e.truth.slots))
        shares[domain] = Counter({kind: n / len(own) for kind, n in counts.items()})

    def enrich(domain: str, example: Example, hypothesis: Hypothesis) -> dict[str, float]:
        kinds = _types(example, hypothesis.slots)
        usual = max((float(shares[domain][kind]) for kind in kinds), default=0.0)
        return {"entity_share": usual, "entity_types": float(np.log1p(len(kinds)))}

    return enrich


def situations(corpus: Corpus) -> Enrich:
    """Feature of the situation: how much more frequent it is with the intent, by a domain's own requests.

    `situation` is Σ log P(value | intent) / P(value) over the keys of `SITUATION`, counted in the domain's own training
    requests without the one that is scored.
    """
    counts: dict[str, Counter[tuple[str | None, ...]]] = {}
    for domain in corpus.domains:
        counts[domain] = Counter()
        for example in corpus.train:
            if example.truth.domain == domain:
                counts[domain].update(_cells(example, example.truth.intent))
    trained = {e.request.id for e in corpus.train}

    def enrich(domain: str, example: Example, hypothesis: Hypothesis) -> dict[str, float]:
        left_out: Counter[tuple[str | None, ...]] = Counter()
        if example.request.id in trained and example.truth.domain == domain:
            left_out.update(_cells(example, example.truth.intent))

        def seen(*cell: str | None) -> int:
            return counts[domain][cell] - left_out[cell]

        total = 0.0
        for key in SITUATION:
            value = repr(example.request.context.get(key))
            usual = (seen(key, value) + 1.0) / (seen() + 10.0)
            given = (seen(hypothesis.intent, key, value) + _DOUBT * usual) / (seen(hypothesis.intent) + _DOUBT)
            total += float(np.log(given / usual))
        return {"situation": total}

    return enrich


def _cells(example: Example, intent: str | None) -> Iterator[tuple[str | None, ...]]:
    """The cells that a request is counted in: all, its intent, each value of its situation, and the two together."""
    yield ()
    yield (intent,)
    for key in SITUATION:
        value = repr(example.request.context.get(key))
        yield (key, value)
        yield (intent, key, value)


def both_features(first: Enrich, second: Enrich) -> Enrich:
    """The features of the first and of the second."""
    return lambda domain, example, h: first(domain, example, h) | second(domain, example, h)


def _types(example: Example, slots: Sequence[Slot]) -> set[str]:
    """The types of the known entities that the slots name."""
    known = example.extra.get("knowledge", ())
    return {
        kind
        for entity in known
        if entity["type"] and any(entity["subject"] in slot.value for slot in slots)
        for kind in entity["type"].split("、")
    }


def _of_folds(parts: Sequence[tuple[SystemResults, Corpus]], seed: int) -> dict[str, float]:
    media = np.array([e.truth.domain in MEDIA for _, corpus in parts for e in corpus.held])
    domain, right, p, y = (
        np.concatenate([getattr(one, name) for one, _ in parts])
        for name in ("domain_right", "answer_right", "probability", "right")
    )
    figures = calibration(p, y, seed=seed)
    return {
        "domain_accuracy": float(domain.mean()),
        "media_domain_accuracy": float(domain[media].mean()),
        "irer": float(1.0 - right.mean()),
        "nll": figures.nll,
        "ece": figures.ece,
        "ece_floor": figures.ece_floor,
        "ece_band_top": figures.ece_band[1],
    }


# ------------------------------------------------------------------------------------------------------------- titles


def shared_titles(
    titles: Titles, cache: Path, *, sizes: tuple[int, int] = _SIZES, seed: int = 0, seeds: int = 1, jobs: int = 1
) -> dict[str, Any]:
    """The figures of each arm and of the best possible decision: means over the seeds.

    `domain_accuracy` is the mean of the chosen domains' true probabilities, without the noise of sampling. `headroom`
    is the share of the way from R0, or from trained domains without context where they do better, to the best possible.
    """
    own = catalogues(titles)
    arms = {
        **BARE,
        "context, own catalogue": Arm(enrich=own),
        "the same, tuned": Arm(enrich=own, tuned=True),
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    best = []
    for again in range(seed, seed + seeds):
        corpus = draw(titles, train=sizes[0], held=sizes[1], seed=again)
        bench = recognised(corpus, msgspec.msgpack.encode((corpus.train, corpus.held)), cache, jobs)
        true = [chances(e.extra["media"], e.request.context["device"]) for e in corpus.held]
        best.append(float(np.mean([max(one.values()) for one in true])))
        for name, arm in arms.items():
            runs[name].append(_known(judged(bench, arm, again), true, again))
    means = {name: {key: float(np.mean([one[key] for one in all_])) for key in all_[0]} for name, all_ in runs.items()}
    top = float(np.mean(best))
    base = max(means["R0"]["domain_accuracy"], means["no context"]["domain_accuracy"])
    for one in means.values():
        one["headroom"] = (one["domain_accuracy"] - base) / (top - base)
    return {"n": sizes[1], "seeds": seeds, "best_domain_accuracy": top, "arms": means}


def catalogues(titles: Titles) -> Enrich:
    """Each domain looks up the titles it reads in its own catalogue."""

    def enrich(domain: str, _: Example, hypothesis: Hypothesis) -> dict[str, float]:
        return {"in_catalogue": float(any(domain in titles.get(slot.value, ()) for slot in hypothesis.slots))}

    return enrich


def _known(one: SystemResults, true: Sequence[Mapping[str, float]], seed: int) -> dict[str, float]:
    accuracy = np.mean([of.get(h.domain, 0.0) if h else 0.0 for h, of in zip(one.top, true, strict=True)])
    figures = calibration(one.probability, one.right, seed=seed)
    return {
        "domain_accuracy": float(accuracy),
        "irer": float(1.0 - one.answer_right.mean()),
        "nll": figures.nll,
        "ece": figures.ece,
        "ece_floor": figures.ece_floor,
        "ece_band_top": figures.ece_band[1],
        "over_confidence": figures.over,
    }


# ------------------------------------------------------------------------------------------------------------- output


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of the chosen corpora."""
    if chosen.quick:
        with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
            titles = invented_titles(3_000, chosen.seed)
            found = {"titles": shared_titles(titles, Path(folder), sizes=_QUICK, seed=chosen.seed)}
    else:
        found = {name: _of(name, chosen) for name in chosen.corpora}
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        _plot(found, chosen.out / "context.png")
    return found


def _of(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    shared = {"seed": chosen.seed, "seeds": _SEEDS, "jobs": chosen.jobs}
    if name == "proslu":
        return proslu(chosen.data / name, chosen.cache, **shared)
    return shared_titles(read_titles(chosen.data / name / "titles.jsonl.gz"), chosen.cache, **shared)


def _plot(found: Mapping[str, Any], path: Path) -> None:
    """Write a plot of each arm's accuracy and of its calibration error."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    drawn, grid = plt.subplots(len(found), 2, figsize=(10, 3.2 * len(found)), layout="constrained", squeeze=False)
    for (left, right), (name, corpus) in zip(grid, found.items(), strict=True):
        arms = list(corpus["arms"])
        accuracy = "media_domain_accuracy" if name == "proslu" else "domain_accuracy"
        left.barh(arms, [100 * corpus["arms"][arm][accuracy] for arm in arms])
        left.set(title=name, xlabel="right domain, per cent" + (" of media requests" if name == "proslu" else ""))
        if "best_domain_accuracy" in corpus:
            left.axvline(100 * corpus["best_domain_accuracy"], linestyle=":", color="black", label="best possible")
            left.legend(loc="lower right")
        right.barh(arms, [100 * corpus["arms"][arm]["ece"] for arm in arms])
        right.axvline(100 * corpus["arms"][arms[-1]]["ece_band_top"], linestyle=":", color="black", label="band up to")
        right.set(title=name, xlabel="ECE, per cent", yticklabels=[])
        right.legend(loc="lower right")
        for axes in (left, right):
            axes.invert_yaxis()
    drawn.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(drawn)


def print_table(found: Mapping[str, Any]) -> None:
    """Print each arm's figures."""
    columns = {
        "proslu": {"accuracy": "domain_accuracy", "of media": "media_domain_accuracy"},
        "titles": {"accuracy": "domain_accuracy", "headroom": "headroom"},
    }
    for name, corpus in found.items():
        seeds = f"{corpus['seeds']} seed" + ("s" if corpus["seeds"] > 1 else "")
        print(f"{name}: {corpus['n']} requests, {seeds}; per cent, NLL in nats")
        keys = {**columns[name], "IRER": "irer", "NLL": "nll", "ECE": "ece", "band up to": "ece_band_top"}
        rows = [
            [arm, *(f"{one[key]:.3f}" if key == "nll" else f"{100 * one[key]:.1f}" for key in keys.values())]
            for arm, one in corpus["arms"].items()
        ]
        if "best_domain_accuracy" in corpus:
            rows.append(
                ["best possible", f"{100 * corpus['best_domain_accuracy']:.1f}", "100.0", *itertools.repeat("", 4)]
            )
        table(("arm", *keys), rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    show(NAME, chosen, figures(chosen), print_table)


if __name__ == "__main__":
    main()
