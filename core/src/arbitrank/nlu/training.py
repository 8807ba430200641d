"""Training of the reference recogniser, and the cross-fitted hypotheses that re-rankers learn from.

This module alone imports scikit-learn and python-crfsuite; nothing that serves requests imports it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
import pycrfsuite
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from arbitrank.domain import Progress, Spread
from arbitrank.errors import DataError
from arbitrank.nlu.classifier import SHORTEST, Classifier
from arbitrank.nlu.encoded import Encoded, encode
from arbitrank.nlu.gazetteer import PER_NAME, learn_gazetteer
from arbitrank.nlu.intent_slots import learn_intent_slots
from arbitrank.nlu.recogniser import Recogniser
from arbitrank.nlu.tagger import Tagger, slot_names, spans
from arbitrank.nlu.text import BUCKETS, crc, tokenise
from arbitrank.values import Example, Hypothesis, Slot, Truth

INVERSE_REGULARISATION = 30.0
"""C of the maximum-entropy models; chosen once for all corpora, on their dev splits."""

RARITY = 0.7
"""The power of an n-gram's inverse document frequency in its weight; chosen like the regularisation."""

FOLDS = 5
_encode = msgspec.msgpack.Encoder().encode
_decode_readings = msgspec.msgpack.Decoder(list[tuple[Hypothesis, ...]]).decode
_RARE = 2_000  # with more examples than this, n-grams that occur once are left out
_CRF = {"c1": 0.05, "c2": 0.1, "max_iterations": 100, "feature.possible_transitions": True}
_MARK = "known "  # prefix of a gazetteer's mark; the other attributes are bare numbers


def train_recogniser(
    domain: str, examples: Sequence[Example], seed: int = 0, *, encoded: Sequence[Encoded] | None = None
) -> Recogniser:
    """The recogniser of `domain`, from its own examples and all others, which are its negatives.

    `encoded` are the examples' utterances, where the caller has encoded them already. Raises `DataError` where no
    example is the domain's own.
    """
    encoded = encode_all(examples) if encoded is None else encoded
    own = [i for i, example in enumerate(examples) if example.truth.owned_by(domain)]
    if not own:
        raise DataError(f"domain {domain}: none of the {len(examples)} examples is its own; give it some to learn from")
    classifier = _train_classifier(domain, examples, encoded, seed)
    mine = [(_text(examples[i]), examples[i].truth.seen_by(domain)) for i in own]
    tagger = _train_tagger(mine, [encoded[i] for i in own])
    if tagger is None:
        return Recogniser(domain, classifier, None, None)
    rows = [(truth.intent or domain, {slot.name for slot in truth.slots}) for _, truth in mine]
    return Recogniser(
        domain, classifier, tagger, learn_intent_slots(slot_names(tagger.labels), classifier.intents, rows)
    )


def encode_all(examples: Sequence[Example]) -> list[Encoded]:
    """The examples' utterances, encoded; an absent utterance is empty."""
    return [encode(_text(example)) for example in examples]


def cross_fit(
    domain: str,
    examples: Sequence[Example],
    *,
    folds: int = FOLDS,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
    encoded: Sequence[Encoded] | None = None,
    spread: Spread | None = None,
) -> list[tuple[Hypothesis, ...]]:
    """The hypotheses of each example from a recogniser that did not see it in training, in the examples' order.

    Examples with the same words share a fold. A re-ranker trained on hypotheses of the recogniser's own training data
    would learn from confidences that do not occur in service. The folds are spread by `spread`, or over `jobs`
    processes; the hypotheses are the same.
    """
    if progress:
        progress("cross-fitting", 0, folds)
    fold_of = _fold_of(examples, folds, seed)
    if spread is None:
        encoded = encode_all(examples) if encoded is None else encoded
        every = list(examples)  # a file of examples cannot be sent to another process
        tasks = (delayed(_fit_and_recognise)(domain, every, encoded, fold_of == f, seed) for f in range(folds))
        finished: Iterable[list[tuple[Hypothesis, ...]]] = Parallel(n_jobs=jobs, return_as="generator")(tasks)
    else:
        with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
            path = Path(folder) / "examples"
            path.write_bytes(_encode(list(examples)))  # once for all folds
            parts = spread(f"{__name__}:fit_fold", [[domain, str(path), folds, seed, f] for f in range(folds)])
        finished = map(_decode_readings, parts)
    hypotheses: list[tuple[Hypothesis, ...]] = [()] * len(examples)
    for f, recognised in enumerate(finished):
        for i, n_best in zip(np.flatnonzero(fold_of == f).tolist(), recognised, strict=True):
            hypotheses[i] = n_best
        if progress:
            progress("cross-fitting", f + 1, folds)
    return hypotheses


def fit_fold(domain: str, path: str, folds: int, seed: int, number: int) -> bytes:
    """The hypotheses of one fold, in MessagePack, by a recogniser trained on the others; examples from a file."""
    examples, encoded, fold_of = _shared(Path(path), folds, seed)
    return _encode(_fit_and_recognise(domain, examples, encoded, fold_of == number, seed))


@lru_cache(maxsize=1)
def _shared(path: Path, folds: int, seed: int) -> tuple[list[Example], list[Encoded], NDArray[np.int64]]:
    """The examples in the file, read and encoded once by a process for all its folds."""
    examples = msgspec.msgpack.decode(path.read_bytes(), type=list[Example])
    return examples, encode_all(examples), _fold_of(examples, folds, seed)


def _fold_of(examples: Sequence[Example], folds: int, seed: int) -> NDArray[np.int64]:
    words = (" ".join(token.text for token in tokenise(_text(example))) for example in examples)
    return np.array([crc(f"{seed}/{text}") % folds for text in words], np.int64)


def _fit_and_recognise(
    domain: str, examples: Sequence[Example], encoded: Sequence[Encoded], held: NDArray[np.bool_], seed: int
) -> list[tuple[Hypothesis, ...]]:
    """The hypotheses of the held examples by a recogniser trained on the rest; none where that has no own example."""
    rest, read = np.flatnonzero(~held).tolist(), [encoded[i] for i in np.flatnonzero(held).tolist()]
    learnt = [examples[i] for i in rest]
    if not any(example.truth.owned_by(domain) for example in learnt):
        return [()] * len(read)
    # One thread in every process: sums in another order would give other weights.
    with threadpool_limits(1):
        return train_recogniser(domain, learnt, seed, encoded=[encoded[i] for i in rest]).recognise_many(read)


def _text(example: Example) -> str:
    return example.request.utterance or ""


def _train_classifier(domain: str, examples: Sequence[Example], encoded: Sequence[Encoded], seed: int) -> Classifier:
    matrix, buckets, rarity = _design([one.ngrams for one in encoded])
    mine = np.array([example.truth.owned_by(domain) for example in examples])
    own = (example.truth for example, is_own in zip(examples, mine.tolist(), strict=True) if is_own)
    names = [truth.seen_by(domain).intent or domain for truth in own]
    intents = tuple(sorted(set(names)))
    weights = np.zeros((len(buckets) + 1, 1 + len(intents)), np.float32)
    bias = np.zeros(1 + len(intents), np.float32)
    if mine.all():
        bias[0] = np.log(len(mine) + 1.0)  # no requests of other domains: the odds of the rule of succession
    else:
        # liblinear is the fastest of scikit-learn's solvers on sparse rows, and single-threaded.
        model = LogisticRegression(C=INVERSE_REGULARISATION, solver="liblinear", random_state=seed)
        model.fit(matrix, mine)
        weights[:-1, 0], bias[0] = model.coef_[0], model.intercept_[0]
    if len(intents) > 1:
        model = LogisticRegression(C=INVERSE_REGULARISATION, solver="lbfgs", max_iter=200)
        model.fit(matrix[mine], names)
        # Two classes come as one column: the second against the first.
        coef, intercept = model.coef_, model.intercept_
        if len(intents) == 2:
            coef, intercept = np.vstack([-coef / 2, coef / 2]), np.concatenate([-intercept / 2, intercept / 2])
        weights[:-1, 1:], bias[1:] = coef.T, intercept
    rarity = np.append(rarity, np.float32(0.0))
    return Classifier(intents, buckets, rarity, _as_shipped(weights * rarity[:, None]), bias)


def _design(rows: Sequence[NDArray[np.uint32]]) -> tuple[sp.csr_matrix, NDArray[np.uint32], NDArray[np.float32]]:
    """The utterances as vectors of length 1, their n-grams, and the inverse document frequency of each n-gram."""
    counts = np.bincount(np.concatenate(rows), minlength=BUCKETS)
    buckets = np.flatnonzero(counts >= (2 if len(rows) > _RARE else 1))
    # The +2 keeps an n-gram of every utterance from the weight 0 where there is only one utterance.
    rarity = np.log((2.0 + len(rows)) / (1.0 + counts[buckets])) ** RARITY
    rarity = rarity.astype(np.float16).astype(np.float32)
    sizes = np.array([len(row) for row in rows])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    ones = np.ones(int(starts[-1]))
    whole = sp.csr_matrix((ones, np.concatenate(rows).astype(np.int32), starts), shape=(len(rows), BUCKETS))
    matrix = whole[:, buckets] @ sp.diags(rarity.astype(np.float64))
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sp.diags(1.0 / np.maximum(lengths, SHORTEST)) @ matrix).tocsr(), buckets.astype(np.uint32), rarity


def _train_tagger(own: Sequence[tuple[str, Truth]], encoded: Sequence[Encoded]) -> Tagger | None:
    labelled = [bio_labels(utterance, truth.slots) for utterance, truth in own]
    labels = tuple(sorted({label for row in labelled for label in row} | {"O"}))
    if labels == ("O",):
        return None  # no slots, or none with known offsets
    utterances = [(one.runs, spans(row)) for one, row in zip(encoded, labelled, strict=True)]
    gazetteer, known = learn_gazetteer(slot_names(labels), utterances)
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        path = str(Path(folder) / "crf")
        trainer = pycrfsuite.Trainer(algorithm="lbfgs", params=_CRF, verbose=False)
        for one, row, marks in zip(encoded, labelled, known, strict=True):
            if row:
                named = [[str(attribute) for attribute in token] for token in one.attributes.tolist()]
                for token, mark in marks:
                    named[token].append(f"{_MARK}{mark}")
                trainer.append(named, row)
        trainer.train(path)
        crf = pycrfsuite.Tagger()
        crf.open(path)
        info = crf.info()
        crf.close()
    place = {label: i for i, label in enumerate(labels)}
    seen_in_training = {int(name) for name, _ in info.state_features if not name.startswith(_MARK)}
    hashes = np.array(sorted(seen_in_training), np.uint32)
    emissions = np.zeros((len(hashes) + 1, len(labels)), np.float32)
    worth = np.zeros((PER_NAME * len(gazetteer.names), len(labels)), np.float32)
    for (name, label), weight in info.state_features.items():
        if name.startswith(_MARK):
            worth[int(name.removeprefix(_MARK)), place[label]] = weight
        else:
            emissions[np.searchsorted(hashes, int(name)), place[label]] = weight
    transitions = np.zeros((len(labels), len(labels)), np.float32)
    for (before, after), weight in info.transitions.items():
        transitions[place[before], place[after]] = weight
    return Tagger(labels, hashes, _as_shipped(emissions), transitions, gazetteer, _as_shipped(worth))


def _as_shipped(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weights rounded as in an artifact, so that the measured model is the served one."""
    return weights.astype(np.float16).astype(np.float32)


def bio_labels(utterance: str, slots: Sequence[Slot]) -> list[str]:
    """The BIO label of each token.

    A slot's borders are moved out to whole tokens; of overlapping slots the first wins.
    """
    tokens = tokenise(utterance)
    labels = ["O"] * len(tokens)
    for slot in sorted(slots, key=lambda slot: (slot.start or 0, -(slot.end or 0))):
        if slot.start is None or slot.end is None:
            continue
        inside = [i for i, token in enumerate(tokens) if token.start < slot.end and token.end > slot.start]
        if inside and all(labels[i] == "O" for i in inside):
            labels[inside[0]] = f"B-{slot.name}"
            for i in inside[1:]:
                labels[i] = f"I-{slot.name}"
    return labels
