"""Checks of a domain, one function a guarantee; each docstring is the guarantee.

A check is called with a domain and raises `CheckFailed` that names the guarantee's breach and what to do. Checks of
shipped weights and of training data pass where the domain has none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from arbitrank.arbitration.dispatch import Answered, query
from arbitrank.domain import Domain, Model
from arbitrank.selftest import problem
from arbitrank.store.artifact import read_card
from arbitrank.store.artifact_checks import verified
from arbitrank.store.kinds import is_domain
from arbitrank.store.loading import load_model
from arbitrank.training.example_file import data_digest
from arbitrank.training.scored_examples import DomainScales, read_example
from arbitrank.values import Example, Request

MAX_SHIPPED_BYTES = 10_000_000
"""The most bytes of weights that a package should ship."""

MAX_CARD_ECE = 0.05
"""The largest expected calibration error on the card of shipped weights, the gate's default limit."""

_FILES = {".json", ".npz", ".txt"}
_BLANK = ("", "   ", "👍")


class CheckFailed(AssertionError):
    """Raised when a domain does not fulfil a guarantee; says what was seen, what was expected and what to do."""


Check = Callable[[Domain], None]


def expect(holds: bool, otherwise: str) -> None:
    """Raise `CheckFailed` with the text `otherwise` where a condition does not hold."""
    if not holds:
        raise CheckFailed(otherwise)


def name_and_skills_are_valid(domain: Domain) -> None:
    """The name is of lower-case letters, digits, `_` and `-`, and each skill has a name and sample phrases."""
    expect(is_domain(domain.name), f"its name is {domain.name!r}, expected lower-case letters, digits, _ and -")
    expect(len(domain.skills) > 0, "it has no skills, expected one at least")
    for skill in domain.skills:
        expect(bool(skill.name and skill.phrases), f"skill {skill.name!r} has no sample phrases; give it some")


def training_data_is_reproducible(domain: Domain) -> None:
    """`examples()` yields the same examples each time it is called."""
    expect(_examples(domain) == list(domain.examples()), "examples() yields other examples when called again")


def training_data_has_own_and_foreign_requests(domain: Domain) -> None:
    """The examples hold the domain's own requests and requests of others or out of scope: it learns from both."""
    own = [example.truth.owned_by(domain.name) for example in _examples(domain)]
    if own:
        expect(any(own), f"no example is labelled {domain.name!r}, its own name")
        expect(not all(own), "all examples are its own; add requests of other domains and out-of-scope requests")


def slots_are_where_their_offsets_say(domain: Domain) -> None:
    """Each slot's value is the text between its offsets, and not empty."""
    for example in _examples(domain):
        text = example.request.utterance or ""
        for slot in example.truth.slots:
            cut = text[slot.start : slot.end] if slot.start is not None else slot.value
            expect(bool(slot.value) and cut == slot.value, f"{text!r}: slot {slot.name}: {slot.value!r}, not {cut!r}")


def utterances_are_clean_text(domain: Domain) -> None:
    """Utterances are of 1 to 200 characters, with single blanks, and without brackets of unexpanded patterns."""
    for example in _examples(domain):
        text = example.request.utterance
        if text is not None:
            expect(0 < len(text) <= 200, f"{text[:50]!r} has {len(text)} characters, expected 1 to 200")
            expect(text == " ".join(text.split()), f"{text!r} has blanks at its ends or several in a row")
            expect(not set(text) & set("{}[]|\\"), f"{text!r} has the brackets of a pattern")


def shipped_weights_are_intact(domain: Domain) -> None:
    """The shipped artifact verifies, is the domain's own, small, and holds numbers and text alone: no code."""
    folder = domain.shipped
    if folder is None:
        return
    manifest = verified(folder)
    expect(manifest.domain == domain.name, f"{folder} is an artifact of {manifest.domain!r}, not {domain.name!r}")
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    expect(size <= MAX_SHIPPED_BYTES, f"{folder} has {size} bytes, expected at most {MAX_SHIPPED_BYTES}")
    for path in files:
        expect(path.suffix in _FILES, f"{path}: expected JSON, npz or text files alone")
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                expect(all(a.dtype.kind in "fui" for a in arrays.values()), f"{path}: expected arrays of numbers")


def shipped_weights_are_of_the_present_data(domain: Domain) -> None:
    """The shipped weights were trained on what `examples()` yields now, some of it held out for the card."""
    folder, examples = domain.shipped, _examples(domain)
    if folder is None or not examples:
        return
    manifest = verified(folder)
    train = f"run: arbitrank train {domain.name} --out {folder}"
    scales = DomainScales.of(domain, {})
    read = [read_example(example, scales) for example in examples]
    expect(manifest.data_digest == data_digest(read), f"the data changed since the weights were trained; {train}")
    expect(manifest.rows < len(examples), f"nothing was held out for the card; {train}")


def shipped_weights_are_calibrated(domain: Domain) -> None:
    """The card of the shipped weights counts held-out requests and its ECE is at most 0.05."""
    if domain.shipped is None:
        return
    card = read_card(domain.shipped)
    expect(card.n > 0, "its card counts no held-out request")
    expect(card.ece <= MAX_CARD_ECE, f"its card has an ECE of {card.ece:.3f}, expected at most {MAX_CARD_ECE}")


def shipped_model_passes_the_self_test(domain: Domain) -> None:
    """The shipped model answers all probes with finite scores in range, the same when queried again."""
    if domain.shipped is not None:
        reason = problem(domain.shipped, domain.name, domain)
        expect(reason is None, f"its shipped weights fail the self-test: {reason}")


def loading_twice_gives_the_same_answers(domain: Domain) -> None:
    """Two models loaded from one folder recognise its phrases alike."""
    if domain.shipped is not None:
        first, second = _model(domain), domain.load(domain.shipped)
        for phrase in (phrase for skill in domain.skills for phrase in skill.phrases):
            request = Request(utterance=phrase)
            expect(list(first.recognise(request)) == list(second.recognise(request)), f"{phrase!r}: other hypotheses")


def text_without_words_is_out_of_scope(domain: Domain) -> None:
    """P(mine) of utterances without a word is below 0.2."""
    if domain.shipped is not None:
        for text in _BLANK:
            mine = probability_mine(domain, text)
            expect(mine < 0.2, f"{text!r}: P(mine) is {mine:.2f}, expected below 0.2")


CHECKS: tuple[Check, ...] = (
    name_and_skills_are_valid,
    training_data_is_reproducible,
    training_data_has_own_and_foreign_requests,
    slots_are_where_their_offsets_say,
    utterances_are_clean_text,
    shipped_weights_are_intact,
    shipped_weights_are_of_the_present_data,
    shipped_weights_are_calibrated,
    shipped_model_passes_the_self_test,
    loading_twice_gives_the_same_answers,
    text_without_words_is_out_of_scope,
)
"""All checks, in the order in which to read their failures."""


def probability_mine(domain: Domain, utterance: str | Request, **context: str | bool) -> float:
    """P(the request is the domain's) by its shipped weights. Raises `CheckFailed` where the domain fails.

    A `Request` may bring hypotheses of the domain; an utterance is recognised.
    """
    request = utterance if isinstance(utterance, Request) else Request(utterance=utterance, context=dict(context))
    outcome = query(domain.name, _model(domain), request, request.hypotheses)
    if not isinstance(outcome, Answered):
        raise CheckFailed(f"{request.utterance!r}: {outcome.reason}")
    return outcome.scores.mine


def _examples(domain: Domain) -> list[Example]:
    return _examples_of(type(domain), domain.name)


@lru_cache(maxsize=2)
def _examples_of(kind: Callable[[], Domain], name: str) -> list[Example]:
    return list(kind().examples())


def _model(domain: Domain) -> Model:
    if domain.shipped is None:
        raise CheckFailed("it ships no weights to answer with")
    return _model_of(type(domain), domain.shipped)


@lru_cache(maxsize=2)
def _model_of(kind: Callable[[], Domain], folder: Path) -> Model:
    return load_model(kind(), folder)
