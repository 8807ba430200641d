"""Requests on which the answers of a model are checked: usual ones of its domain, and such as stress it."""

from __future__ import annotations

from time import perf_counter

import msgspec

from arbitrank.arbitration.probes import answer_to, probes
from arbitrank.guard import Fault, guarded
from arbitrank.testing.subject import Subject
from arbitrank.values import Request

__all__ = ["USUAL", "every", "pace", "usual"]

USUAL = 40
"""Requests of the domain's own examples."""

_PASS = 10.0  # seconds that one pass over all requests should take
_FEWEST = 3  # requests of a pass, however slow the model is


def usual(subject: Subject) -> list[Request]:
    """Requests of its phrases and examples, without hypotheses."""
    examples = guarded(lambda: subject.sample)
    found = [] if isinstance(examples, Fault) else examples[:: max(len(examples) // USUAL, 1)]
    bare = [msgspec.structs.replace(one.request, hypotheses=None) for one in found if one.request.utterance]
    return [*(Request(utterance=phrase) for phrase in subject.phrases), *bare]


def every(subject: Subject) -> list[Request]:
    """The usual requests, and the probes of the self-test; some of them where the model is slow."""
    stressing = guarded(lambda: list(probes(subject.domain)))  # needs the skills, which a check of its own is about
    requests = [*usual(subject), *([] if isinstance(stressing, Fault) else stressing)]
    step = min(max(int(pace(subject) * len(requests) / _PASS), 1), len(requests) // _FEWEST or 1)
    return requests[::step]


def pace(subject: Subject) -> float:
    """Seconds that a usual request takes, measured once."""
    if subject.pace is None and (model := subject.model) is not None:
        began = perf_counter()
        for request in usual(subject)[:1]:
            answer_to(subject.name, model, request)
        subject.pace = perf_counter() - began
    return subject.pace or 0.0
