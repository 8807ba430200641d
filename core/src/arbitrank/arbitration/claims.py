"""Claims: the readings on one request that mean the same, each stated by one or several domains of a group.

The domains of a group name their intents and slots alike, as several recognisers of one bot do. Where the best readings
of two of them are the same, in intent and in slots by name and value, they do not compete: they agree on one claim.
Any other domain is a claim of its own. `claims_of` finds the claims of one request, `all_claims` those of many.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.errors import InputError
from arbitrank.normal_text import comparable
from arbitrank.probability import Floats
from arbitrank.values import Hypothesis, Ranked

Groups = Sequence[Sequence[str]]
Keys = NDArray[np.int64]
ReadingKey = tuple[str, tuple[tuple[str, str], ...]]

ALONE = -1
"""The group of a domain that is in none."""


def named_groups(texts: Iterable[str], where: str = "--group") -> tuple[tuple[str, ...], ...]:
    """The groups in texts that name their domains, as `bert,luis`. Raises as `checked_groups`."""
    groups = tuple(tuple(name.strip() for name in text.split(",")) for text in texts)
    checked_groups(groups, where)
    return groups


def checked_groups(groups: Any, where: str = "groups") -> None:
    """Raise `InputError` for what is no groups, a group of fewer than two domains, and a domain in two, or twice."""
    if not _names(groups):
        raise InputError(f"{where}: {groups!r:.80} is invalid, expected lists of domains, as [['bert', 'luis']]")
    seen: dict[str, int] = {}
    for i, group in enumerate(groups):
        if len(group) < 2:
            named = f"{group[0]!r} alone" if group else "no domain"
            raise InputError(f"{where}[{i}]: {named}, expected at least 2 domains that mean the same")
        for name in group:
            if not name:
                raise InputError(f"{where}[{i}]: a domain without a name, expected the names of domains")
            if name in seen:
                other = "twice" if seen[name] == i else f"in {where}[{seen[name]}] too"
                raise InputError(f"{where}[{i}]: {name} is {other}, expected each domain in one group, once")
            seen[name] = i


def _names(groups: Any) -> bool:
    """True for lists of lists of texts."""
    lists = (list, tuple)
    return isinstance(groups, lists) and all(
        isinstance(group, lists) and all(isinstance(name, str) for name in group) for group in groups
    )


def group_remarks(groups: Groups, domains: Collection[str]) -> Iterator[str]:
    """Remarks on domains of groups that are not among those there are, and on groups of which one domain is left."""
    known = sorted(domains)
    for group in groups:
        gone = [name for name in group if name not in domains]
        for name in gone:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield f"groups: {name} is no domain here (there are: {', '.join(known)}){hint}"
        if gone and len(group) - len(gone) < 2:
            yield f"groups: of {', '.join(group)} fewer than two are here, so none agree"


def group_numbers(groups: Groups) -> dict[str, int]:
    """The number of its group, by domain."""
    return {name: i for i, group in enumerate(groups) for name in group}


def reading_key(reading: Hypothesis | Ranked) -> ReadingKey:
    """The intent and the slots, by which readings of domains that mean the same are compared.

    Values are compared without regard to case, blanks and the encoding of accents, slots in any order.
    """
    return reading.intent, tuple(sorted((slot.name, comparable(slot.value)) for slot in reading.slots))


def key_number(reading: Hypothesis | Ranked) -> int:
    """The key of a reading as a number of 63 bits, the same in every process."""
    intent, slots = reading_key(reading)
    text = "\0".join((intent, *(part for slot in slots for part in slot)))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") >> 1


def claims_of(domains: Sequence[str], best: Sequence[Hypothesis], groups: Mapping[str, int]) -> list[int] | None:
    """The claim of each domain's best reading: the place of the first domain that states it.

    `groups` are the numbers of the domains' groups. None where no two domains agree.
    """
    first: dict[tuple[int, ReadingKey], int] = {}
    claims = list(range(len(domains)))
    for i, (name, reading) in enumerate(zip(domains, best, strict=True)):
        number = groups.get(name, ALONE)
        if number != ALONE:
            claims[i] = first.setdefault((number, reading_key(reading)), i)
    return claims if any(claim != i for i, claim in enumerate(claims)) else None


def without_agreeing(ranked: Sequence[Ranked], places: Sequence[int], groups: Groups) -> list[int]:
    """Those of the places of a merged list that state another claim than each of the places before."""
    numbers, seen, kept = group_numbers(groups), set[tuple[int, ReadingKey]](), []
    for i in places:
        number = numbers.get(ranked[i].domain, ALONE)
        if number != ALONE:
            claim = number, reading_key(ranked[i])
            if claim in seen:
                continue
            seen.add(claim)
        kept.append(i)
    return kept


class GroupClaims(NamedTuple):
    """The claims of one group's domains on n requests: `same`, shape (k, k, n), marks the domains that agree.

    `domains` are their numbers, `size`, shape (k, n), how many state each one's claim, at least 1.
    """

    domains: NDArray[np.int64]
    same: NDArray[np.bool_]
    size: Floats

    def at(self, places: NDArray[np.bool_] | NDArray[np.int64]) -> GroupClaims:
        """Those of some of the requests."""
        return GroupClaims(self.domains, self.same[:, :, places], self.size[:, places])

    def total(self, values: Floats) -> Floats:
        """The sum of the values, shape (k, n), over the domains that state each one's claim: equal for all of them."""
        return np.asarray((self.same * values[None]).sum(axis=1))

    def most(self, values: Floats) -> Floats:
        """The greatest of the values over the domains that state each one's claim."""
        return np.asarray(np.where(self.same, values[None], -np.inf).max(axis=1, initial=-np.inf))


def all_claims(keys: Keys, has: NDArray[np.bool_], groups: Sequence[int]) -> list[GroupClaims]:
    """The claims of each group that two of the domains are in; `keys` and `has` have shape (domains, n).

    `groups` is the number of each domain's group, `ALONE` for none.
    """
    numbers = np.asarray(groups, np.int64)
    found = []
    for number in sorted(set(numbers.tolist()) - {ALONE}):
        places = np.flatnonzero(numbers == number)
        if len(places) > 1:
            here, own = has[places], keys[places]
            same = (own[:, None] == own[None]) & here[:, None] & here[None]
            found.append(GroupClaims(places, same, np.maximum(same.sum(axis=1), 1).astype(np.float64)))
    return found


def pooled(z: Sequence[float], agreement: Sequence[float], claims: Sequence[int]) -> tuple[list[float], list[int]]:
    """The log-odds of each domain's claim, and how many domains state it.

    They are the mean over these m domains of z + (m − 1) · agreement: at agreement 0 as though one of them had spoken,
    which is right where they agree in their mistakes too.
    """
    members: dict[int, list[int]] = {}
    for i, claim in enumerate(claims):
        members.setdefault(claim, []).append(i)
    of = {
        claim: math.fsum(z[i] + (len(own) - 1) * agreement[i] for i in own) / len(own) for claim, own in members.items()
    }
    return [of[claim] for claim in claims], [len(members[claim]) for claim in claims]


def pooled_all(z: Floats, agreement: Floats, claims: Sequence[GroupClaims]) -> tuple[Floats, Floats]:
    """`pooled` for n requests: the log-odds and the numbers of domains, shape (domains, n); −inf stays."""
    z, sizes = z.copy(), np.ones_like(z)
    for one in claims:
        own = np.where(np.isfinite(z[one.domains]), z[one.domains], 0.0)
        more = (one.size - 1.0) * one.total(np.broadcast_to(agreement[one.domains, None], own.shape))
        mean = (one.total(own) + more) / one.size
        z[one.domains] = np.where(np.isfinite(z[one.domains]), mean, -np.inf)
        sizes[one.domains] = one.size
    return z, sizes
