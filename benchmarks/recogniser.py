"""What did each improvement of the reference recogniser bring?

Each row adds one to those above it. Every domain's recogniser learns from the training split, without a re-ranker, and
R0 ranks what they read in the held-out split. "Top" and "best five": the share of requests whose own domain's first
reading, or any of its five, is entirely right. "Claims": the log loss of P(mine), summed over the domains, in nats.
Differences are to the first row, paired over the requests, with 95 % bootstrap intervals. With --errors, the surest
wrong answers of the last row, one a line: the score, the words, the truth and the reading.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits

from arbitrank.evaluate.corpus import Corpus, read_corpus
from arbitrank.evaluate.hypotheses import Readings
from arbitrank.evaluate.results import summarise
from arbitrank.learn.rerankers import baseline
from arbitrank.nlu import classifier_training, tagger_training, training
from arbitrank.nlu.encoded import Encoded, encode
from arbitrank.nlu.gazetteer import Gazetteer, Slotted, learn_gazetteer
from arbitrank.nlu.recogniser import Recogniser
from arbitrank.nlu.tagger_training import SlotRequest
from arbitrank.nlu.text import BUCKETS, crc, tokenise
from arbitrank.probability import log_loss
from arbitrank.semer import entirely_right
from arbitrank.values import Example, Hypothesis, Slot
from benchmarks.apart import Scored, requests, scored
from benchmarks.common import between, options, results, show, table

NAME = "recogniser"
CORPORA = ("slurp", "snips")
_MEASURES = ("domain_accuracy", "irer")
_PLAIN_ATTRIBUTES = 17
"""The attributes that a token had before the longer affixes and the neighbours' came, which stand behind them."""
_ITERATIONS = tagger_training._CRF["max_iterations"]
_ITERATIONS_OF_ONE = 100  # of the one CRF that there was before the mean of two
_QUICK = 24
"""With --quick one of so many utterances is learned from, and one of four is asked."""


@dataclass(frozen=True)
class Step:
    """A recogniser with some of the improvements: what of an utterance it sees, and what it makes of it."""

    name: str
    rarity: bool = False
    skips: bool = False
    affixes: bool = False
    fit: bool = False
    known: bool = False
    clusters: bool = False
    others: bool = False
    joint: bool = False

    def look(self, utterance: str) -> Encoded:
        """The utterance as this recogniser sees it."""
        whole = encode(utterance)
        ngrams = whole.ngrams if self.skips else np.setdiff1d(whole.ngrams, _skipped(utterance))
        attributes = whole.attributes if self.affixes else whole.attributes[:, :_PLAIN_ATTRIBUTES]
        return whole._replace(ngrams=ngrams, attributes=attributes)

    def train(self, domain: str, corpus: Corpus, seen: Sequence[Encoded], seed: int) -> Recogniser:
        """The domain's recogniser, of what was looked at in the training split."""
        rarity = classifier_training.RARITY if self.rarity else 0.0
        learner = learn_gazetteer if self.known else _learn_nothing
        iterations = _ITERATIONS if self.clusters else _ITERATIONS_OF_ONE
        aid = training.TaggerHelp({}, others=False)
        if self.clusters:
            aid = training.tagger_help(domain, corpus.train, seed, encoded=seen)
        aid = aid._replace(others=aid.others and self.others)
        with (
            patch.object(classifier_training, "RARITY", rarity),
            patch.object(classifier_training, "JOINT", classifier_training.JOINT if self.joint else 0.0),
            patch.object(tagger_training, "learn_gazetteer", learner),
            patch.dict(tagger_training._CRF, max_iterations=iterations),
        ):
            model = training.train_recogniser(domain, corpus.train, seed, encoded=seen, aid=aid)
        if self.fit or model.fit is None:
            return model
        same = np.zeros_like(model.fit.present)  # every intent is like the domain at large
        return replace(model, fit=replace(model.fit, present=same, absent=same))


_ALL = {"rarity": True, "skips": True, "affixes": True, "fit": True, "known": True}
STEPS = (
    Step("n-grams alike, no intent in the slots"),
    Step("n-grams by rarity", rarity=True),
    Step("pairs that skip a word", rarity=True, skips=True),
    Step("longer affixes, the neighbours' too", rarity=True, skips=True, affixes=True),
    Step("slots weighed by intent", rarity=True, skips=True, affixes=True, fit=True),
    Step("known values marked", rarity=True, skips=True, affixes=True, fit=True, known=True),
    Step("mean of two CRFs, word clusters", **_ALL, clusters=True),
    Step("others' requests where they help", **_ALL, clusters=True, others=True),
    Step('"not mine" among the intents', **_ALL, clusters=True, others=True, joint=True),
)


def _learn_nothing(
    names: Sequence[str], utterances: Sequence[Slotted]
) -> tuple[Gazetteer, list[list[tuple[int, int]]]]:
    return learn_gazetteer(names, [(runs, ()) for runs, _ in utterances])


def _skipped(utterance: str) -> list[int]:
    """The buckets of the pairs that leave a word out."""
    row = ["\x02", *(token.text for token in tokenise(utterance)), "\x03"]
    return [crc(f"s{a} {b}") % BUCKETS for a, b in zip(row, row[2:], strict=False)]


def measured(corpus: Corpus, *, seed: int = 0, steps: Sequence[Step] = STEPS, errors: int = 0) -> dict[str, Any]:
    """The figures of each step on a corpus, with differences to the first; `errors` of the last, the surest first."""
    truths = [example.truth for example in corpus.held]
    outcomes, readings = {}, {}
    with _shared():
        every = [(step, dict(_read(step, corpus, seed))) for step in steps]
    for step, read in every:
        sides = [_by_r0(corpus, domain, found) for domain, found in read.items()]
        outcomes[step.name] = results(
            [side.readings for side in sides],
            [side.scores for side in sides],
            truths,
            none_counts=corpus.has_out_of_scope,
        )
        readings[step.name] = {**_right_readings(corpus, read), "claims": _claims(corpus, read)}
    summary = summarise(outcomes, corpus.held, against=(steps[0].name,), seed=seed)
    kept = {name: {measure: summary[name][measure] for measure in (*_MEASURES, "nll")} for name in outcomes}
    return {
        "n": len(truths),
        "steps": {
            name: {**kept[name], **readings[name], "against_first": _differences(summary[name], steps[0].name)}
            for name in outcomes
        },
        "errors": _surest_errors(corpus, every[-1][1])[:errors],
    }


def _claims(corpus: Corpus, read: Mapping[str, Readings]) -> float:
    """The log loss of P(mine), summed over the domains: the mean over the held-out requests."""
    total = np.zeros(len(corpus.held))
    for domain, found in read.items():
        claims = np.array([n_best[0].domain_confidence if n_best else 0.0 for n_best in found], np.float64)
        total += log_loss(claims, np.array([example.truth.owned_by(domain) for example in corpus.held], np.float64))
    return float(total.mean())


def _surest_errors(corpus: Corpus, read: Mapping[str, Readings]) -> list[str]:
    """The requests whose best reading by R0 is not entirely right, the surest first: score, words, truth, reading."""
    found = []
    for i, example in enumerate(corpus.held):
        rated = [(_product(n_best[0]), n_best[0]) for each in read.values() if (n_best := each[i])]
        score, best = max(rated, key=lambda pair: pair[0], default=(0.0, None))
        if best is not None and not entirely_right(best, example.truth):
            truth = _said(example.truth.domain, example.truth.intent, example.truth.slots)
            read_as = _said(best.domain, best.intent, best.slots)
            found.append((score, f"{score:.2f}  {example.request.utterance}  {truth}  {read_as}"))
    return [line for _, line in sorted(found, key=lambda pair: -pair[0])]


def _product(h: Hypothesis) -> float:
    domain, intent, slots = h.domain_confidence, h.intent_confidence, h.slots_confidence
    return float(domain or 0.0) * float(intent or 0.0) * float(1.0 if slots is None else slots)


def _said(domain: str | None, intent: str | None, slots: Sequence[Slot]) -> str:
    return f"{domain}/{intent}({', '.join(f'{slot.name}={slot.value}' for slot in slots)})"


def _differences(one: Mapping[str, Any], first: str) -> dict[str, tuple[float, float, float]]:
    """The mean differences to the first step and their intervals; none for the first itself."""
    found = one["against"].get(first, {})
    return {measure: (found[measure].mean, found[measure].low, found[measure].high) for measure in found}


@contextmanager
def _shared() -> Iterator[None]:
    """Steps that differ in their taggers alone share classifiers, and the other way round."""
    kept: dict[Any, Any] = {}
    train_classifier, train_tagger, tagger_help = (
        training.train_classifier,
        training.train_tagger,
        training.tagger_help,
    )

    def once(key: Any, make: Callable[[], Any]) -> Any:
        if key not in kept:
            kept[key] = make()
        return kept[key]

    def classifier(domain: str, examples: Sequence[Example], encoded: Sequence[Encoded], seed: int) -> Any:
        key = (domain, classifier_training.RARITY, classifier_training.JOINT, sum(len(one.ngrams) for one in encoded))
        return once(key, lambda: train_classifier(domain, examples, encoded, seed))

    def tagger(own: Sequence[SlotRequest], others: Sequence[SlotRequest], *rest: Any) -> Any:
        words = tuple(text for (text, *_), _ in own)
        seen = sum(text.attributes.shape[1] for text, _ in own)
        key = (words, seen, len(others), bool(rest[0]), tagger_training.learn_gazetteer, *tagger_training._CRF.values())
        return once(key, lambda: train_tagger(own, others, *rest))

    def aid(domain: str, *rest: Any, **options: Any) -> Any:
        return once(("aid", domain), lambda: tagger_help(domain, *rest, **options))

    with (
        patch.object(training, "train_classifier", classifier),
        patch.object(training, "train_tagger", tagger),
        patch.object(training, "tagger_help", aid),
    ):
        yield


def _read(step: Step, corpus: Corpus, seed: int) -> Iterator[tuple[str, Readings]]:
    train, held = (
        [step.look(example.request.utterance or "") for example in part] for part in (corpus.train, corpus.held)
    )
    for domain in corpus.domains:
        with threadpool_limits(1):  # more threads wait for one another longer than they work
            found = step.train(domain, corpus, train, seed).recognise_many(held)
        yield domain, found


def _by_r0(corpus: Corpus, domain: str, found: Readings) -> Scored:
    return scored(baseline(domain, requests(corpus.held, found)), corpus.held, found)


def _right_readings(corpus: Corpus, read: Mapping[str, Readings]) -> dict[str, float]:
    """How often the first reading of the request's own domain is entirely right, and how often any of its five is."""
    owned = [(i, example.truth) for i, example in enumerate(corpus.held) if example.truth.domain is not None]
    right = [[entirely_right(h, truth) for h in read[truth.domain][i]] for i, truth in owned if truth.domain]
    return {"top": float(np.mean([any(row[:1]) for row in right])), "five": float(np.mean([any(row) for row in right]))}


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of each corpus; with --quick, of a small part of the last."""
    found = {}
    for name in CORPORA[-1:] if chosen.quick else chosen.corpora:
        corpus = read_corpus(chosen.data / name)
        if chosen.quick:
            corpus = replace(corpus, train=corpus.train[::_QUICK], held=corpus.held[::4])
        found[corpus.name] = measured(corpus, seed=chosen.seed, steps=STEPS[-chosen.last :], errors=chosen.errors)
    return found


def print_table(found: Mapping[str, Any]) -> None:
    """What each step gives, and how it differs from the first."""
    for name, corpus in found.items():
        print(f"{name}: {corpus['n']} held-out requests; per cent, NLL in nats")
        first, *_ = corpus["steps"]
        rows = [
            [
                step if step == first else f"+ {step}",
                *(f"{100 * one[measure]:.2f}" for measure in (*_MEASURES, "top", "five")),
                f"{one['nll']:.4f}",
                f"{one['claims']:.4f}",
                *(between(*one["against_first"][measure]) if step != first else "" for measure in _MEASURES),
            ]
            for step, one in corpus["steps"].items()
        ]
        head = (
            "recogniser",
            "accuracy",
            "IRER",
            "top",
            "best five",
            "NLL",
            "claims",
            "accuracy - first",
            "IRER - first",
        )
        table(head, rows)
        print("\n".join(corpus["errors"]))


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA, steps=len(STEPS), errors=True)
    show(NAME, chosen, figures(chosen), print_table)


if __name__ == "__main__":
    main()
