"""Checks of a domain's training, on a sample of its examples: what it writes, and that it is the same each time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import msgspec
import numpy as np

from arbitrank.errors import DataError
from arbitrank.guard import Fault, guarded
from arbitrank.store.artifact import file_digest, paths
from arbitrank.store.pickles import pickled
from arbitrank.testing.example_checks import given_examples
from arbitrank.testing.findings import DomainCheck, Finding, of_fault, seen, shown, warning
from arbitrank.testing.subject import Subject, one_thread

_FOLDERS = ("reranker", "recogniser")


@DomainCheck
def training_gives_a_model(subject: Subject) -> Iterator[Finding]:
    """`train` writes into `reranker` and `recogniser` and returns figures of JSON's types; `load` reads the files."""
    if not given_examples(subject):
        return
    found = guarded(lambda: subject.artifact)
    if isinstance(found, Fault):
        yield from of_fault(found, "train()")
        return
    out, report = found
    for path in paths(out):
        if path.partition("/")[0] not in _FOLDERS:
            fix = f'write it to out / "reranker" / {Path(path).name!r}'
            yield warning(f"train() wrote {path} at the top", "files in reranker/ and recogniser/", fix)
    encoded = guarded(msgspec.json.encode, dict(report))
    if isinstance(encoded, Fault):
        text = f"train() returned {shown(report)}: {encoded.reason}"
        yield seen(text, "figures of JSON's types", "turn numpy's numbers into float and int")
    model = guarded(subject.load, out)
    if isinstance(model, Fault):
        yield from of_fault(model, "load()")


@DomainCheck
def training_is_deterministic(subject: Subject) -> Iterator[Finding]:
    """The same data and seed give the same bytes, whatever numpy's global generator has drawn before."""
    if not _trainable(subject):
        return
    first = _digests(subject.artifact[0])
    np.random.random(7)
    yield from _other(first, _digests(subject.trained(subject.sample)[0]), "when trained again")


@DomainCheck
def two_trainings_at_once_are_undisturbed(subject: Subject) -> Iterator[Finding]:
    """Two trainings at once, in threads of one process, give what each gives alone: they share no file and no state."""
    if not _trainable(subject):
        return
    first, begin = _digests(subject.artifact[0]), Barrier(2)

    def train() -> Path:
        begin.wait()
        return subject.trained(subject.sample)[0]

    # Around both: threads of libraries and filters of warnings are the process's, and the first to end sets them back.
    with one_thread(), warnings.catch_warnings(), ThreadPoolExecutor(2) as pool:
        warnings.simplefilter("ignore")
        both = [pool.submit(guarded, train) for _ in range(2)]
    for one in both:
        result = one.result()
        if isinstance(result, Fault):
            for finding in of_fault(result, "train()"):
                fix = "write into `out` alone, and keep no state"
                yield seen(f"of two trainings at once one fails: {finding.seen}", "both to end alike", fix)
            return
        differ = list(_other(first, _digests(result), "when two train at once"))
        if differ:
            yield from differ
            return


def _trainable(subject: Subject) -> bool:
    return bool(given_examples(subject)) and not isinstance(guarded(lambda: subject.artifact), Fault)


def _digests(folder: Path) -> dict[str, str]:
    return {path: file_digest(folder / path) for path in paths(folder)}


def _other(first: dict[str, str], second: dict[str, str], when: str) -> Iterator[Finding]:
    for path in sorted({*first, *second}):
        if first.get(path) != second.get(path):
            text = f"train() wrote another {path} {when}"
            yield seen(text, "the same bytes", "draw from numpy.random.default_rng(settings.seed), and keep no state")
            return


@DomainCheck
def artifact_holds_no_pickle(subject: Subject) -> Iterator[Finding]:
    """No file of the artifact is a pickle or holds one, whatever its name: reading a pickle runs code."""
    folders = [subject.artifact[0]] if _trainable(subject) else []
    if subject.shipped is not None:
        folders.append(subject.shipped)
    for folder in folders:
        for path in paths(folder):
            if reason := pickled(folder / path):
                fix = "write numbers as JSON or npz, LightGBM's models as text"
                yield seen(f"{path} is {reason}", "JSON, npz of numbers or text", fix)


@DomainCheck
def own_requests_alone_give_no_claim(subject: Subject) -> Iterator[Finding]:
    """Data without others' requests are refused, or their figures count none, so that `promote` refuses the weights."""
    own = (
        [example for example in subject.sample if example.truth.owned_by(subject.name)]
        if given_examples(subject)
        else []
    )
    if not own or not _trainable(subject):
        return
    found = guarded(subject.trained, own)
    if isinstance(found, Fault):
        if not isinstance(found.error, DataError):
            for finding in of_fault(found, "train()"):
                fix = f"raise DataError: {subject.name} learns from its own requests and others'"
                yield warning(f"on its own requests alone {finding.seen}", "DataError, or weights", fix)
        return
    for key in ("others", "silent"):
        if found[1].get(key):
            text = f"train() reports {key}: {found[1][key]!r} for its own requests alone"
            yield seen(text, "0, so that such weights are never promoted", f"leave {key!r} out of the figures")


TRAINING_CHECKS = (
    training_gives_a_model,
    training_is_deterministic,
    two_trainings_at_once_are_undisturbed,
    artifact_holds_no_pickle,
    own_requests_alone_give_no_claim,
)
