"""Checks of the weights that a domain answers with: intact, of the present data, calibrated as their card says.

They are those that its package ships, or where it is checked with a store, the stable ones in there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from arbitrank.feature_names import change_on
from arbitrank.selftest import problem
from arbitrank.store.artifact import read_card, read_manifest, unproven
from arbitrank.store.artifact_checks import verified
from arbitrank.testing.example_checks import given_examples
from arbitrank.testing.findings import DomainCheck, Finding, expect, seen, warning
from arbitrank.testing.subject import Subject
from arbitrank.training.build import held_out
from arbitrank.training.example_file import data_digest, select
from arbitrank.training.figures import measure
from arbitrank.training.scored_examples import DomainScales, read_example
from arbitrank.values import Request

MAX_SHIPPED_BYTES = 10_000_000
"""The most bytes of weights that a package should ship."""

MAX_CARD_ECE = 0.05
"""The largest expected calibration error on the card of shipped weights, the gate's default limit."""

_FILES = {".json", ".npz", ".txt"}
_READ = 60  # own requests whose features are compared
_MEASURED = 600  # held-out requests on which the card is tried


@DomainCheck
def shipped_weights_are_intact(subject: Subject) -> Iterator[Finding]:
    """The artifact verifies, is the domain's own, small, and holds numbers and text alone: no code."""
    for folder in dict.fromkeys((subject.weights, subject.shipped)):
        if folder is not None:
            yield from _damage(subject, folder)


def _damage(subject: Subject, folder: Path) -> Iterator[Finding]:
    shipped = folder == subject.shipped
    remedy = subject.training_shipped if shipped else subject.training
    manifest = verified(folder, remedy=remedy)
    if manifest.domain != subject.name:
        fix = 'name its own folder: Path(__file__).parent / "model"'
        yield seen(f"{folder} is an artifact of {manifest.domain!r}", repr(subject.name), fix)
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if shipped and size > MAX_SHIPPED_BYTES:
        yield seen(f"{folder} has {size} bytes", f"at most {MAX_SHIPPED_BYTES}", "train a smaller model")
    for path in files:
        if path.suffix not in _FILES:
            yield seen(f"{path}", "JSON, npz or text files alone", "write it as one of these")
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                expect(all(a.dtype.kind in "fui" for a in arrays.values()), f"{path}: expected arrays of numbers")


@DomainCheck
def shipped_weights_are_of_the_present_data(subject: Subject) -> Iterator[Finding]:
    """The weights were trained on what `examples()` yields now, some of it held out for the card."""
    folder, examples, train = subject.weights, given_examples(subject), subject.training
    if folder is None or not examples:
        return
    present = _digest(subject)
    told, fixes = [], []
    if subject.stable is not None and subject.shipped is not None and verified(subject.shipped).data_digest != present:
        told, fixes = ["the shipped weights"], [f"before a release, {subject.training_shipped}"]
    manifest = verified(folder)
    if manifest.domain != subject.name:
        return  # which another check tells; to train into another domain's folder would be no remedy
    if subject.stable is not None and manifest.data_digest != present:
        fixes.append(f"for those that answer, {train}" if told else train)
        told.append(f"the weights that answer ({subject.stable})")
    expected = "weights of the present data"
    if told:  # training by --data, as from a log, is no mistake
        text = f"{' and '.join(told)} were trained on other data than examples() yields now"
        yield warning(text, expected, "; ".join(fixes))
    elif manifest.data_digest != present:
        yield seen("the data changed since the weights were trained", expected, train)
    if manifest.data_digest != present:
        return
    used = manifest.negatives or ()
    if manifest.rows >= len(examples) + sum(one.requests for one in used):
        yield seen("nothing was held out for the card", "one example in ten", train)
    if (now := subject.negatives.used) != used:
        trained, added = (" and ".join(map(str, some)) or "no shared negatives" for some in (used, now))
        yield warning(f"the weights were trained with {trained}", f"{added}, as training adds them now", train)


@DomainCheck
def features_are_those_of_the_weights(subject: Subject) -> Iterator[Finding]:
    """The hypotheses' own features that the code makes are those that the weights were trained with."""
    if subject.weights is None or subject.model is None:
        return
    own = [one.request for one in given_examples(subject) if one.truth.domain == subject.name]
    requests = [Request(utterance=text) for text in subject.phrases] + own[:: -(-len(own) // _READ) or 1]
    if change := change_on(subject.model, [one for one in requests if one.hypotheses is None]):
        text = f"its hypotheses have changed since its weights were trained: {change}"
        yield warning(text, "the features that they learned from", subject.training)


@DomainCheck
def shipped_weights_are_calibrated(subject: Subject) -> Iterator[Finding]:
    """Their card counts held-out and others' requests, and has an ECE of at most 0.05, or near its floor."""
    folder, train = subject.weights, subject.training
    if folder is None:
        return
    if read_manifest(folder).domain != subject.name:
        return
    card = read_card(folder)
    if card.n == 0:
        yield seen("its card counts no held-out request", "some", train)
    limit = max(MAX_CARD_ECE, card.ece_floor + 0.02)
    if card.ece > limit:
        yield seen(f"its card has an ECE of {card.ece:.3f}", f"at most {limit:.3f}", f"give it more data, then {train}")
    if reason := unproven(subject.name, card):
        yield seen(reason.partition(";")[0], "others' requests too", f"add negatives, then {train}")


@DomainCheck
def shipped_model_keeps_to_its_card(subject: Subject) -> Iterator[Finding]:
    """On data that it did not see, the model's calibration is that of its card, within the card's interval."""
    folder, examples = subject.weights, given_examples(subject)
    if folder is None or not examples or subject.model is None:
        return
    card, manifest = read_card(folder), read_manifest(folder)
    if subject.stable is not None and manifest.data_digest != _digest(subject):
        return  # which of these examples it did not see is not known
    if manifest.negatives:
        examples = subject.training_examples
    unseen = select(examples, held_out(subject.name, examples))
    unseen = unseen[:: -(-len(unseen) // _MEASURED) or 1]  # of all sections of the data
    now = measure(subject.name, subject.model, unseen).card
    low, high = now.ece_interval
    if now.n and card.n and low > max(card.ece_interval[1], card.ece_band[1], now.ece_band[1]):
        text = f"on {now.n} held-out requests its ECE is {now.ece:.3f} (95 %: {low:.3f} to {high:.3f})"
        yield seen(text, f"that of its card, {card.ece:.3f} (at most {card.ece_interval[1]:.3f})", subject.training)


@DomainCheck
def shipped_model_passes_the_self_test(subject: Subject) -> Iterator[Finding]:
    """The model answers all probes with finite scores in range, the same when queried again."""
    folder = subject.weights
    if folder is not None and (reason := problem(folder, subject.name, subject.domain)):
        whose = "shipped" if subject.stable is None else "stable"
        yield seen(f"its {whose} weights fail the self-test: {reason}", "none", "correct the model, then train again")


def _digest(subject: Subject) -> str:
    """The digest of the present data, as training reads them."""
    scales = DomainScales.of(subject.domain, {})
    return data_digest([read_example(example, scales) for example in given_examples(subject)])


SHIPPED_CHECKS = (
    shipped_weights_are_intact,
    shipped_weights_are_of_the_present_data,
    features_are_those_of_the_weights,
    shipped_weights_are_calibrated,
    shipped_model_keeps_to_its_card,
    shipped_model_passes_the_self_test,
)
