"""Checks of a domain's own data: its files, its examples, and that they suffice."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from arbitrank.domain import Domain
from arbitrank.guard import Fault, guarded
from arbitrank.learn.described import checked_features
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.nlu.data_faults import DataFilesWarning
from arbitrank.testing.contract_checks import describe_gives_the_same_finite_names
from arbitrank.testing.findings import DomainCheck, Finding, Level, of_data, of_fault, of_text, seen, warning
from arbitrank.testing.subject import Subject
from arbitrank.training.plugin_calls import check_example, listed_examples
from arbitrank.training.scored_examples import DomainScales, read_example
from arbitrank.training.sufficiency import shortages
from arbitrank.values import Example, Hypothesis

_TOLD = 5  # findings of one kind
_KNOWN = "_known"  # the end of the features of a Catalogue's columns
_DESCRIBED = 200  # own examples that are described


@DomainCheck
def data_files_and_examples_can_be_read(subject: Subject) -> Iterator[Finding]:
    """`examples()` yields `Example` values, and its data files have no unknown key, slot or open bracket."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataFilesWarning)
        listed = guarded(listed_examples, subject.domain)
    for one in caught:
        if isinstance(one.message, DataFilesWarning):
            yield of_data(one.message.fault)
    if isinstance(listed, Fault):
        yield from of_fault(listed, "examples()")
        return
    if not listed:
        fix = f"implement examples(), or train with: arbitrank train {subject.name} --data PATH"
        level: Level = "broken" if subject.shipped is None else "warning"  # then nothing could serve
        yield seen("examples() gives no example", "own requests, and others' as negatives", fix, level)
    for number, example in enumerate(listed):
        checked = guarded(check_example, subject.name, number, example)
        if isinstance(checked, Fault):
            yield from of_fault(checked, "examples()")
            return


@DomainCheck
def training_data_is_reproducible(subject: Subject) -> Iterator[Finding]:
    """`examples()` yields the same examples each time it is called."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataFilesWarning)
        again = list(subject.domain.examples()) if given_examples(subject) else []
    for i, (first, second) in enumerate(zip(given_examples(subject), again, strict=False)):
        if first != second:
            text = f"examples() yields other examples when called again, example {i} first"
            yield seen(text, "the same each time", "draw from a random.Random(0) of your own")
            return
    if len(again) != len(given_examples(subject)):
        text = f"examples() yields {len(given_examples(subject))} examples, then {len(again)} when called again"
        yield seen(text, "the same each time", "return a new iterable each time")


@DomainCheck
def training_data_has_own_and_foreign_requests(subject: Subject) -> Iterator[Finding]:
    """The examples hold the domain's own requests and requests of others or out of scope: it learns from both."""
    own = [example.truth.owned_by(subject.name) for example in given_examples(subject)]
    if own and not any(own):
        owners = Counter(str(example.truth.domain) for example in given_examples(subject)).most_common(3)
        text = f"no example is labelled {subject.name!r}, its own name (seen: {', '.join(name for name, _ in owners)})"
        yield seen(text, "some of its own", f"write Truth({subject.name!r}, intent) for them")
    elif own and all(own):
        fix = "add requests of other domains, Truth(OTHER), and out-of-scope requests, Truth(None)"
        used = " and ".join(map(str, subject.negatives.used))
        text = f"all examples are its own ({len(own)})" + (f", so that training adds {used}" if used else "")
        install = "" if used else "; or pip install arbitrank-negatives"
        yield seen(text, "others' too, as negatives", f"{fix}{install}", "warning" if used else "broken")


@DomainCheck
def training_data_suffices(subject: Subject) -> Iterator[Finding]:
    """There are examples enough to learn from and to measure on, of each intent, and slots of each name in several.

    A column of a catalogue has a slot of its name.
    """
    examples = given_examples(subject)
    if not examples:
        return
    for one in islice(shortages(subject.name, examples), _TOLD + 1):
        yield warning(one.seen, f"{one.least} at least", one.fix)
    counts = Counter(one.truth.intent for one in examples if one.truth.owned_by(subject.name))
    if n := counts[None]:
        fix = f"write Truth({subject.name!r}, intent)"
        yield warning(f"{n} own examples have no intent, so no reading of them is right", "an intent", fix)
    yield from _columns_without_slots(subject.domain, [one for one in examples if one.truth.owned_by(subject.name)])


def _columns_without_slots(domain: Domain, own: Sequence[Example]) -> Iterator[Finding]:
    """The columns of a catalogue that no slot is named after, so that their features never say anything."""
    if not own or not isinstance(domain, ReferenceDomain):
        return
    described = (guarded(_described, domain, one) for one in islice(own, _DESCRIBED))
    known = [one for one in described if not isinstance(one, Fault)]  # the other check of `describe` finds faults
    slots = {slot.name for one in own for slot in one.truth.slots}
    for feature in known[0] if known else ():
        column = feature.removesuffix(_KNOWN)
        if column != feature and column not in slots and not any(one.get(feature) for one in known):
            have = f"theirs are {', '.join(sorted(slots))}" if slots else "they have none"
            text = f"no own example has a slot {column!r} ({have}), so {feature} is 0 for all"
            fix = f"call the slot {column!r}, or add a column of the slot's name to works.tsv and to Catalogue(…)"
            yield warning(
                text, f"a slot {column!r}: a column of a Catalogue serves the slot of its own name alone", fix
            )


def _described(domain: ReferenceDomain, example: Example) -> dict[str, float]:
    truth = example.truth
    return checked_features(domain.describe(Hypothesis(domain.name, truth.intent or "", slots=truth.slots)))


@DomainCheck
def scores_of_examples_are_on_their_scale(subject: Subject) -> Iterator[Finding]:
    """The scores of hypotheses that examples bring are in [0, 1], or on the scales that the domain states."""
    scales = DomainScales.of(subject.domain, {})
    for example in given_examples(subject):
        read = guarded(read_example, example, scales)
        if isinstance(read, Fault):
            fix = 'state it: scales = {"intent_confidence": "0..100"} in the domain; see docs/how-to/scales.md'
            one = of_text(f"example {example.request.id or example.request.utterance!r}: {read.error}")
            yield seen(one.seen, one.expected or "a number in [0, 1]", fix)
            return


@DomainCheck
def slots_are_where_their_offsets_say(subject: Subject) -> Iterator[Finding]:
    """Each slot's value is the text between its offsets, and not empty."""
    told = 0
    for example in given_examples(subject):
        text = example.request.utterance or ""
        for slot in example.truth.slots:
            cut = text[slot.start : slot.end] if slot.start is not None else slot.value
            if (not slot.value or cut != slot.value) and (told := told + 1) <= _TOLD:
                fix = "count characters, `end` not included"
                yield seen(f"{text!r}: slot {slot.name}: {slot.value!r}, not {cut!r}", "the text at its offsets", fix)


@DomainCheck
def utterances_are_clean_text(subject: Subject) -> Iterator[Finding]:
    """Utterances are of 1 to 200 characters, with single blanks, and without brackets of unexpanded patterns."""
    told = 0
    for example in given_examples(subject):
        text = example.request.utterance
        finding = None if text is None else _unclean(text)
        if finding is not None and (told := told + 1) <= _TOLD:
            yield finding


def _unclean(text: str) -> Finding | None:
    fix = "correct the pattern or the corpus line"
    if not 0 < len(text) <= 200:
        return seen(f"{text[:50]!r} has {len(text)} characters", "1 to 200", fix)
    if text != " ".join(text.split()):
        return seen(f"{text!r} has blanks at its ends or several in a row", "single blanks", fix)
    if set(text) & set("{}[]|\\"):
        return seen(f"{text!r} has the brackets of a pattern", "a text as people say it", fix)
    return None


def given_examples(subject: Subject) -> list[Example]:
    """The examples; none where they cannot be read, which `data_files_and_examples_can_be_read` finds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataFilesWarning)
        found = guarded(lambda: subject.examples)
    return [] if isinstance(found, Fault) else found


EXAMPLE_CHECKS = (
    data_files_and_examples_can_be_read,
    describe_gives_the_same_finite_names,
    training_data_is_reproducible,
    training_data_has_own_and_foreign_requests,
    training_data_suffices,
    scores_of_examples_are_on_their_scale,
    slots_are_where_their_offsets_say,
    utterances_are_clean_text,
)
