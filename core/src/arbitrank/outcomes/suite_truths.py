"""Truths of cases: which slots they give, how a reading differs from them, and those that no case can have.

A truth without `slots` leaves them open, one with an empty list demands none. `Truth` does not tell the two apart, so
a case keeps beside its truth which of them, in the order of `Truth.each`, have slots given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from arbitrank.semer import distinct_slots
from arbitrank.store.suites import SuiteKind
from arbitrank.values import Ranked, Truth
from arbitrank.wire.json_text import short

NOTHING = "none"
"""The name of the answer that acts on no reading."""


def slots_given(truth: Any) -> tuple[bool, ...]:
    """True for each truth in the JSON of a line whose slots are given, if only as an empty list."""
    each = truth if isinstance(truth, list) else [truth]
    return tuple(given for one in each for given in (one.get("slots") is not None, *slots_given(one.get("also") or [])))


def slots_labelled(truth: Truth) -> tuple[bool, ...]:
    """True for each truth of a log or corpus whose slots count: there a truth with an intent names all its slots."""
    return tuple(one.intent is not None or bool(one.slots) for one in truth.each)


def truth_fields(truth: Truth, given: Sequence[bool]) -> dict[str, Any]:
    """The JSON of a truth, with an empty list of slots where none are demanded."""
    fields: list[dict[str, Any]] = [
        {**msgspec.to_builtins(one), **({"slots": []} if slots and not one.slots else {})}
        for one, slots in zip(truth.each, given, strict=True)
    ]
    return {**fields[0], **({"also": fields[1:]} if fields[1:] else {})}


def differences(chosen: Ranked | None, truth: Truth, given: Sequence[bool]) -> tuple[str, ...]:
    """Differences of an answer from the nearest truth, in words without values; none where it is right."""
    if chosen is None and truth.out_of_scope:
        return ()
    own = [
        _differences(chosen, one, slots)
        for one, slots in zip(truth.each, given, strict=True)
        if chosen is not None and one.owned_by(chosen.domain)
    ]
    return min(own, key=len) if own else (f"domain (expected {_right_domains(truth)})",)


def _differences(chosen: Ranked, truth: Truth, slots: bool) -> tuple[str, ...]:
    found = []
    if truth.intent is not None and chosen.intent != truth.intent:
        found.append(f"intent (expected {truth.intent})")
    if slots:
        wrong = distinct_slots(chosen.slots, truth.slots) ^ distinct_slots(truth.slots, truth.slots)
        if wrong:
            found.append(f"slots ({', '.join(sorted({name for name, _ in wrong}))})")
    return tuple(found)


def contradiction(domain: str, kind: SuiteKind, truth: Truth | None) -> str | None:
    """The fault of a new case that no right answer passes, as a message; None where there is none.

    A domain cannot be made to win a request that its truth gives to others alone, nor to lose one that is its alone.
    """
    if truth is None:
        return None
    seen = f"truth: {short(truth.domain) if len(truth.owners) < 2 else short(list(truth.owners))} is invalid"
    if kind == "must_win" and not truth.owned_by(domain):
        return (
            f"{seen}, expected {domain!r} among its domains, as {domain} has to win; correct or leave out the truth, "
            "or store the line with --must-not-win"
        )
    if kind == "must_not_win" and truth.owners == (domain,) and not truth.out_of_scope:
        return (
            f"{seen}, expected another domain than {domain!r}, or one beside it, as {domain} must not win; "
            "correct or leave out the truth, or store the line with --must-win"
        )
    return None


def _right_domains(truth: Truth) -> str:
    names = [*truth.owners, *([NOTHING] if truth.out_of_scope else [])]
    return " or ".join(names) if names else "no reading"
