"""Self-tests of a Shortlister and of a HypRank: their guarantees, checked on requests that stress them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.arbitration.probes import UTTERANCES
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.shortlister import Shortlister, Shortlisting
from arbitrank.values import Candidate, Ranked, Request

__all__ = ["hyprank_problem", "shortlister_problem"]

_SITUATIONS = (
    Request(),
    Request(
        account={"enabled": ["one", 5], "used": {"two": 3, "three": "often"}, "child": True},
        dialogue={"previous_skill": "skill0", "failed": True, "acts": ["offer"], "turn": 3},
        context={"preference.domain0": 1.0, "previous_domain": "domain0"},
    ),
    Request(
        account={"enabled": "all", "used": ["one"], "child": "yes"},
        dialogue={"previous_skill": 7, "failed": "yes", "acts": "offer", "turn": [1]},
        context={"preference.domain0": "much", "previous_domain": None},
    ),
    Request(dialogue="an id"),
)
_LENGTHS = (0, 1, 2, 17, 100)


def shortlister_problem(shortlister: Shortlister) -> str | None:
    """The first broken guarantee, None where there is none: sorted scores in [0, 1], no skill twice, repeatable."""
    stage = Shortlisting(shortlister)
    names = [name for _, name, _ in islice(shortlister.catalogue.present(), 20)]  # words that it knows
    requests = [replace(situation, utterance=text) for situation in _SITUATIONS for text in (*UTTERANCES, *names)]
    judged = [stage(request) for request in requests]
    if judged != [stage(request) for request in reversed(requests)][::-1]:
        return "the same request gets another shortlist later"
    if not all(none is UNSET or 0.0 <= none <= 1.0 for _, none in judged):
        return "a probability that no skill fits is out of range, expected a number in [0, 1]"
    lists = [candidates for candidates, _ in judged]
    if any(len({candidate.skill for candidate in candidates}) < len(candidates) for candidates in lists):
        return "a shortlist has a skill twice"
    return _bad_scores(lists)


def hyprank_problem(model: HypRank) -> str | None:
    """The first broken guarantee, None where there is none: the same readings, sorted, scores in [0, 1], repeatable."""
    lists = [(request, _merged(n)) for request in _SITUATIONS for n in _LENGTHS]
    scores = {f"skill{number}": number / max(_LENGTHS) for number in range(0, max(_LENGTHS), 2)}
    outputs = [model.sort(request, ranked, scores) for request, ranked in lists]
    if outputs != [model.sort(request, ranked, scores) for request, ranked in reversed(lists)][::-1]:
        return "the same list is sorted otherwise later"
    for (_, ranked), output in zip(lists, outputs, strict=True):
        if {one.intent for one in ranked} != {one.intent for one in output} or len(ranked) != len(output):
            return "a sorted list does not have the readings of the merged one"
    return _bad_scores(outputs) or _problem_of_tools(model)


def _problem_of_tools(model: HypRank) -> str | None:
    known = [] if model.tools is None else [*islice(model.tools.words.tools, 20), *islice(model.tools.tally.tools, 20)]
    requests = [replace(situation, utterance=text) for situation in _SITUATIONS for text in (*UTTERANCES, *known)]
    lists = [(request, _shortlist(n, known)) for request in requests for n in _LENGTHS]
    outputs = [model.sort_tools(request, found) for request, found in lists]
    if outputs != [model.sort_tools(request, found) for request, found in reversed(lists)][::-1]:
        return "the same shortlist is sorted otherwise later"
    for (_, found), output in zip(lists, outputs, strict=True):
        if sorted((one.skill, one.domain) for one in found) != sorted((one.skill, one.domain) for one in output):
            return "a sorted shortlist does not have the skills of the one before"
    return _bad_scores(outputs)


def _shortlist(n: int, known: Sequence[str]) -> tuple[Candidate, ...]:
    """A shortlist of n skills, best first, the known ones among them."""
    names = [*known, *(f"skill{number}" for number in range(n))][:n]
    return tuple(Candidate(name, f"domain{i % 5}", 1.0 - i / n) for i, name in enumerate(names))


def _merged(n: int) -> tuple[Ranked, ...]:
    """A merged list of n readings, best first, of half as many skills."""
    return tuple(
        Ranked(f"domain{i % 5}", f"intent{i}", (), p * p, p, p, skill=f"skill{i // 2}")
        for i, p in ((i, 1.0 - i / n) for i in range(n))
    )


def _bad_scores(lists: Iterable[Sequence[Candidate | Ranked]]) -> str | None:
    for entries in lists:
        scores = [-1.0 if entry.score is None else entry.score for entry in entries]
        if not all(0.0 <= score <= 1.0 for score in scores):
            return "a score is out of range, expected a number in [0, 1]"
        if scores != sorted(scores, reverse=True):
            return "a list is not sorted by its scores"
    return None
