"""Truths as lines of data give them: one or a list, with one domain, several, or several that are acceptable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from arbitrank.errors import InputError
from arbitrank.values import Slot, Truth

if TYPE_CHECKING:
    Labelling: TypeAlias = Truth
else:
    Labelling = Truth | tuple[Truth, ...]
"""Type of a field that is decoded from one truth or a list of them; `any_of` then makes it a `Truth`."""


def any_of(truths: Truth | Sequence[Truth]) -> Truth:
    """The truth of an utterance with several intents, from a list of them. Raises `ValueError` where it is empty."""
    if isinstance(truths, Truth):
        return truths
    if not truths:
        raise ValueError("Expected a truth or a list of at least one - at `$.truth`")
    first, *rest = truths
    return replace(first, also=(*first.also, *rest)) if rest else first


def corpus_truth(
    line: Mapping[str, Any],
    domain: str | UnsetType | None,
    domains: tuple[str | None, ...] | None,
    intent: str | None,
    slots: tuple[Slot, ...],
) -> Truth:
    """The truth of a line of a corpus; its `agents_ok` names the domains that answered acceptably, in place of others.

    The skill of a line without a domain is a domain of its own name. Raises `InputError` where the line names neither.
    """
    answered = line.get("agents_ok")
    if isinstance(answered, list):
        return Truth(None, intent, slots, tuple(name for name in answered if isinstance(name, str)))
    if domain is UNSET and domains is None:
        skill = line.get("skill")
        if isinstance(skill, str) and 0 < len(skill) <= 200:
            return Truth(skill, intent, slots)
        raise InputError("the object: lacks the field domain")
    return or_acceptable(Truth(None if domain is UNSET else domain, intent, slots, domains), line)


def or_acceptable(truth: Truth, line: Mapping[str, Any]) -> Truth:
    """The truth with the domains of the line's `acceptable`; in a line with a `skill`, that names skills instead."""
    names = line.get("acceptable")
    if "skill" in line or not isinstance(names, list) or not truth.owners:
        return truth
    more = tuple(name for name in names if isinstance(name, str))
    return replace(truth, domains=(*(truth.domains or ()), *more))
