"""Checks of claims: P(mine) of requests that are none of the domain's, without any other domain's scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from arbitrank.arbitration.dispatch import query
from arbitrank.arbitration.outcomes import Answered
from arbitrank.guard import Fault, guarded
from arbitrank.negatives.installed import installed_negatives, topic_of
from arbitrank.negatives.selection import in_turns, situated
from arbitrank.nlu.data_faults import near
from arbitrank.normal_text import comparable
from arbitrank.plugin_hooks import stated
from arbitrank.testing.example_checks import given_examples
from arbitrank.testing.findings import DomainCheck, Finding, warning
from arbitrank.testing.neighbours import neighbours_of
from arbitrank.testing.requests import pace
from arbitrank.testing.subject import Subject
from arbitrank.training.shared_negatives import suited_negatives
from arbitrank.values import Request

CLAIMED = 0.5
"""P(mine) from which on a request is claimed."""

MAX_NEGATIVES, MAX_NEIGHBOURS = 0.05, 0.2
"""The shares of shared negatives, and of a neighbour's own requests, that a domain should claim at most."""

_NEGATIVES = 200  # shared negatives that are tried
_STRANGE = 0.1  # P(mine) below which a sample phrase is none of its own
_TOLD = 5  # findings of one kind
_LEAST = 3  # claimed requests of which a warning is given
_TOPICS, _WORST = 3, 3  # that are quoted
_SECONDS = 20.0  # that the answers should take


@DomainCheck
def shared_negatives_are_not_claimed(subject: Subject) -> Iterator[Finding]:
    """P(mine) is below 0.5 for nearly all shared negatives that the domain has not learned from."""
    examples = given_examples(subject)
    if not examples or not _answers(subject) or subject.domain.fallback:
        return
    installed = installed_negatives()
    for text in installed.notes:
        yield warning(text, "", "tell its owner, or uninstall it")
    own = [one for one in examples if one.truth.owned_by(subject.name)]
    chosen = suited_negatives(subject.domain, (one.request.utterance or "" for one in own), installed)
    learned = {comparable(one.request.utterance or "") for one in (*examples, *subject.negatives.examples)}
    unseen = [one for one in chosen.examples if comparable(one.request.utterance or "") not in learned]
    tried = situated(in_turns(unseen, _NEGATIVES), own)
    found = list(_claims(subject, (one.request for one in tried)))
    claimed = [(mine, one) for mine, one in zip(found, tried, strict=False) if mine >= CLAIMED]
    if len(claimed) < _LEAST or len(claimed) <= MAX_NEGATIVES * len(found):
        return
    topics = Counter(topic_of(one) for _, one in claimed)
    of = Counter(topic_of(one) for one in tried[: len(found)])
    named = ", ".join(f"{topic} {n} of {of[topic]}" for topic, n in topics.most_common(_TOPICS))
    words = _quoted([(mine, one.request.utterance or "") for mine, one in claimed])
    text = f"it claims {len(claimed)} of {len(found)} requests that are none of its own ({named}): {words}"
    again = "add requests of these topics as negatives" if subject.negatives.used else "write shared_negatives = True"
    fix = f'{again}, or topics = ("{topics.most_common(1)[0][0]}",) where that is its own; then train'
    yield warning(text, f"P(mine) of at least {CLAIMED} for at most {MAX_NEGATIVES:.0%}", fix)


@DomainCheck
def neighbours_requests_are_not_claimed(subject: Subject) -> Iterator[Finding]:
    """P(mine) is below 0.5 for most own requests of each other installed domain; these are not scored themselves."""
    examples = given_examples(subject)
    if not examples or not _answers(subject) or subject.domain.fallback:
        return
    known = {comparable(one.request.utterance or "") for one in examples if one.truth.owned_by(subject.name)}
    neighbours = neighbours_of(subject.name)
    for neighbour in neighbours:
        if neighbour.reason:
            yield warning(f"the requests of {neighbour.name} cannot be read: {neighbour.reason}", "", "")
        tried = [one for one in neighbour.requests if comparable(one.utterance or "") not in known]
        found = list(_claims(subject, tried, len(neighbours)))
        claimed = [(mine, one.utterance or "") for mine, one in zip(found, tried, strict=False) if mine >= CLAIMED]
        if len(claimed) >= _LEAST and len(claimed) > MAX_NEIGHBOURS * len(found):
            text = f"it claims {len(claimed)} of {len(found)} own requests of {neighbour.name}: {_quoted(claimed)}"
            fix = f"add some as [others.{neighbour.name}]; see them: arbitrank examples {neighbour.name} -n 100"
            yield warning(text, f"P(mine) of at least {CLAIMED} for at most {MAX_NEIGHBOURS:.0%}", fix)


@DomainCheck
def topics_are_those_of_shared_negatives(subject: Subject) -> Iterator[Finding]:
    """Each of its `topics` is one of the installed shared negatives, where there are any."""
    known = sorted({topic_of(one) for each in installed_negatives().sets for one in each.examples} - {""})
    topics = guarded(stated, subject.domain, "topics")
    for topic in topics if known and not isinstance(topics, Fault) else ():
        if topic not in known:
            text = f"topics has {topic!r}, of which there are no shared negatives"
            fix = near(topic, known) or "leave it out"
            yield warning(text, f"one of {', '.join(known)}", fix)


@DomainCheck
def names_for_users_are_of_its_requests(subject: Subject) -> Iterator[Finding]:
    """Display names are of intents that its examples have, each of these has one, and it claims its sample phrases."""
    intents = {one.truth.intent for one in given_examples(subject) if one.truth.owned_by(subject.name)}
    named = {str(intent) for intent in intents if intent}
    titles = subject.domain.intent_titles if isinstance(subject.domain.intent_titles, Mapping) else {}
    for intent in [one for one in titles if one not in named][: _TOLD if named else 0]:
        text = f"intent_titles has {intent!r}, an intent of no example"
        fix = near(intent, sorted(named)) or "remove it, or add examples of it"
        yield warning(text, f"one of {', '.join(sorted(named)[: _TOLD * 2])}", fix)
    for intent in sorted(named - set(titles))[: _TOLD if titles else 0]:
        yield warning(f"the intent {intent} has no display name", "one for each intent", "add it to intent_titles")
    if subject.weights is None or not _answers(subject) or subject.domain.fallback:
        return
    found = list(_claims(subject, (Request(utterance=phrase) for phrase in subject.phrases)))
    if not any(found):
        return  # it recognises nothing itself: its readings come with requests
    strange = [(mine, phrase) for mine, phrase in zip(found, subject.phrases, strict=False) if mine < _STRANGE]
    if strange:
        fix = "write phrases in `skills` that its users say, or add such examples, then train"
        words = "; ".join(f"{phrase[:80]!r} {mine:.2f}" for mine, phrase in strange[:_WORST])
        yield warning(f"it does not claim its sample phrases {words}", f"P(mine) of at least {_STRANGE}", fix)


def _answers(subject: Subject) -> bool:
    """True where it ships a model that can be asked."""
    return subject.domain.shipped is not None and subject.model is not None


def _claims(subject: Subject, requests: Iterable[Request], parts: int = 1) -> Iterator[float]:
    """P(mine) of each request, as many as there is time for; 0 where it has no reading, or fails.

    `parts` share the time.
    """
    assert subject.model is not None  # otherwise nothing is asked
    most = int(_SECONDS / parts / max(pace(subject), 1e-3))
    for request, _ in zip(requests, range(most), strict=False):
        outcome = query(subject.name, subject.model, msgspec.structs.replace(request, hypotheses=None), None)
        yield outcome.scores.mine if isinstance(outcome, Answered) and outcome.hypotheses else 0.0


def _quoted(claimed: Sequence[tuple[float, str]]) -> str:
    """The worst requests in words, with P(mine)."""
    worst = sorted(claimed, reverse=True)[:_WORST]
    return "; ".join(f"{text[:80]!r} {mine:.2f}" for mine, text in worst)


CLAIM_CHECKS = (
    shared_negatives_are_not_claimed,
    neighbours_requests_are_not_claimed,
    names_for_users_are_of_its_requests,
    topics_are_those_of_shared_negatives,
)
