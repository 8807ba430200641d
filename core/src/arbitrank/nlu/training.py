"""Training of the reference recogniser, and the cross-fitted hypotheses that re-rankers learn from.

This module and those that it gathers import scikit-learn and python-crfsuite; nothing that serves requests does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.domain import Progress, Spread
from arbitrank.errors import DataError
from arbitrank.nlu.classifier_training import train_classifier
from arbitrank.nlu.encoded import Encoded, encode
from arbitrank.nlu.intent_slots import learn_intent_slots
from arbitrank.nlu.recogniser import Recogniser
from arbitrank.nlu.tagger import slot_names
from arbitrank.nlu.tagger_training import SlotRequest, Values, others_help, train_tagger
from arbitrank.nlu.text import crc, tokenise
from arbitrank.nlu.word_clusters import Clusters, learn_clusters
from arbitrank.values import Example, Hypothesis

FOLDS = 5
_encode = msgspec.msgpack.Encoder().encode
_decode_readings = msgspec.msgpack.Decoder(list[tuple[Hypothesis, ...]]).decode


class TaggerHelp(NamedTuple):
    """Training data of a domain's tagger beside its own requests: word clusters, others' requests or not, values."""

    clusters: Clusters
    others: bool
    values: Values = MappingProxyType({})


def train_recogniser(
    domain: str,
    examples: Sequence[Example],
    seed: int = 0,
    *,
    encoded: Sequence[Encoded] | None = None,
    aid: TaggerHelp | None = None,
) -> Recogniser:
    """The recogniser of `domain`, from its own examples and all others, which are its negatives.

    `encoded` are the examples' utterances, where the caller has encoded them already, and `aid` what `tagger_help` has
    found. Raises `DataError` where no example is the domain's own.
    """
    encoded = encode_all(examples) if encoded is None else encoded
    own = [i for i, example in enumerate(examples) if example.truth.owned_by(domain)]
    if not own:
        raise DataError(f"domain {domain}: none of the {len(examples)} examples is its own; give it some to learn from")
    classifier = train_classifier(domain, examples, encoded, seed)
    aid = tagger_help(domain, examples, seed, encoded=encoded) if aid is None else aid
    requests = _slot_requests(domain, examples, encoded)
    tagger = train_tagger(requests.own, requests.others if aid.others else (), aid.clusters, aid.values)
    if tagger is None:
        return Recogniser(domain, classifier, None, None)
    truths = (examples[i].truth.seen_by(domain) for i in own)
    rows = [(truth.intent or domain, {slot.name for slot in truth.slots}) for truth in truths]
    return Recogniser(
        domain, classifier, tagger, learn_intent_slots(slot_names(tagger.labels), classifier.intents, rows)
    )


class _SlotRequests(NamedTuple):
    own: list[SlotRequest]
    others: list[SlotRequest]


def _slot_requests(domain: str, examples: Sequence[Example], encoded: Sequence[Encoded]) -> _SlotRequests:
    """The domain's own requests, and the others' that have slots."""
    found = _SlotRequests([], [])
    for example, text in zip(examples, encoded, strict=True):
        if example.truth.owned_by(domain):
            found.own.append(SlotRequest(text, example.truth.seen_by(domain).slots))
        elif example.truth.slots:
            found.others.append(SlotRequest(text, example.truth.slots))
    return found


def tagger_help(
    domain: str,
    examples: Sequence[Example],
    seed: int = 0,
    *,
    encoded: Sequence[Encoded] | None = None,
    values: Values = MappingProxyType({}),
) -> TaggerHelp:
    """The help for a domain's tagger that its examples have: nothing where the domain has no slots.

    `values` are slot values that the domain knows beside its examples, by the slot's name.
    """
    encoded = encode_all(examples) if encoded is None else encoded
    own, others = _slot_requests(domain, examples, encoded)
    if not any(slots for _, slots in own):
        return TaggerHelp({}, others=False)
    clusters = learn_clusters(encoded, seed)
    return TaggerHelp(clusters, others_help(own, others, clusters), values)


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
    aid: TaggerHelp | None = None,
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
    encoded = encode_all(examples) if encoded is None else encoded
    aid = tagger_help(domain, examples, seed, encoded=encoded) if aid is None else aid
    if spread is None:
        every = list(examples)  # a file of examples cannot be sent to another process
        tasks = (delayed(_fit_and_recognise)(domain, every, encoded, fold_of == f, seed, aid) for f in range(folds))
        finished: Iterable[list[tuple[Hypothesis, ...]]] = Parallel(n_jobs=jobs, return_as="generator")(tasks)
    else:
        with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
            path = Path(folder) / "examples"
            values = {name: list(every) for name, every in aid.values.items()}
            path.write_bytes(_encode(_Shared(list(examples), aid.others, values)))  # once for all folds
            parts = spread(f"{__name__}:fit_fold", [[domain, str(path), folds, seed, f] for f in range(folds)])
        finished = map(_decode_readings, parts)
    hypotheses: list[tuple[Hypothesis, ...]] = [()] * len(examples)
    for f, recognised in enumerate(finished):
        for i, n_best in zip(np.flatnonzero(fold_of == f).tolist(), recognised, strict=True):
            hypotheses[i] = n_best
        if progress:
            progress("cross-fitting", f + 1, folds)
    return hypotheses


class _Shared(msgspec.Struct, array_like=True):
    """Content of the file that folds share: the examples, and the part of the tagger's help that is not learned."""

    examples: list[Example]
    others: bool
    values: dict[str, list[str]]


def fit_fold(domain: str, path: str, folds: int, seed: int, number: int) -> bytes:
    """The hypotheses of one fold, in MessagePack, by a recogniser trained on the others; examples from a file."""
    examples, encoded, fold_of, aid = _shared(Path(path), folds, seed)
    return _encode(_fit_and_recognise(domain, examples, encoded, fold_of == number, seed, aid))


@lru_cache(maxsize=1)
def _shared(path: Path, folds: int, seed: int) -> tuple[list[Example], list[Encoded], NDArray[np.int64], TaggerHelp]:
    """Content of the file, read, encoded and clustered once by a process for all its folds."""
    shared = msgspec.msgpack.decode(path.read_bytes(), type=_Shared)
    encoded = encode_all(shared.examples)
    aid = TaggerHelp(learn_clusters(encoded, seed), shared.others, shared.values)
    return shared.examples, encoded, _fold_of(shared.examples, folds, seed), aid


def _fold_of(examples: Sequence[Example], folds: int, seed: int) -> NDArray[np.int64]:
    words = (" ".join(token.text for token in tokenise(_text(example))) for example in examples)
    return np.array([crc(f"{seed}/{text}") % folds for text in words], np.int64)


def _fit_and_recognise(
    domain: str,
    examples: Sequence[Example],
    encoded: Sequence[Encoded],
    held: NDArray[np.bool_],
    seed: int,
    aid: TaggerHelp,
) -> list[tuple[Hypothesis, ...]]:
    """The hypotheses of the held examples by a recogniser trained on the rest; none where that has no own example."""
    rest, read = np.flatnonzero(~held).tolist(), [encoded[i] for i in np.flatnonzero(held).tolist()]
    learnt = [examples[i] for i in rest]
    if not any(example.truth.owned_by(domain) for example in learnt):
        return [()] * len(read)
    # One thread in every process: sums in another order would give other weights.
    with threadpool_limits(1):
        model = train_recogniser(domain, learnt, seed, encoded=[encoded[i] for i in rest], aid=aid)
        return model.recognise_many(read)


def _text(example: Example) -> str:
    return example.request.utterance or ""
