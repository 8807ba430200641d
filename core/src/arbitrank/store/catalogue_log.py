"""The catalogue log of a store: skills that were added and removed since the Shortlister was trained.

.shortlist/catalogue/00000001.json    a change: skills added or replaced, and skills removed

It is a history like those of versions, signed and chained as they are: a change is there as a whole or not at all. A
Shortlister states the number of the last change that it was trained with, and later ones are applied to it in every
process that follows the store. So a training shortens what is read: changes before it stay as a record alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from arbitrank.errors import Conflict, InputError
from arbitrank.store.backend import StoreBackend
from arbitrank.store.history import MAX_ENTRY, Entry, History
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.seen_changes import SeenChanges
from arbitrank.store.signed_history import Trust
from arbitrank.store.signing import Keys
from arbitrank.values import Name
from arbitrank.wire.catalogue_lines import CatalogueSkill

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "MAX_SKILLS",
    "CatalogueChange",
    "CatalogueChanges",
    "SkillKey",
    "append_changes",
    "catalogue_log",
    "changes_after",
    "check_room",
]

MAX_SKILLS = 20_000
"""Skills at most that are changed after a training by adding some: each makes the next change slower.

A log may have more, as removals always find room and a rollback brings the changes of before: whatever was accepted is
served.
"""

_BYTES = MAX_ENTRY // 2  # of the skills of one change; the file is indented
_TRIES = 100  # of an append beside concurrent ones


class SkillKey(msgspec.Struct, frozen=True):
    """A skill by its owner and its own name."""

    domain: Name
    name: Name


class CatalogueChange(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """One change of the catalogue: `removed` skills, then `skills` added, in the place of those of the same key."""

    skills: tuple[CatalogueSkill, ...] = ()
    removed: tuple[SkillKey, ...] = ()


class CatalogueChanges(NamedTuple):
    """Changes up to a number as one: skills to remove, then those to add, then those of them to remove again.

    The last are `gone`: they were added and removed later. All that were ever added are here in their first order, so
    that a clash of names ends the same in a process that reads all changes at once and in one that reads each.
    """

    number: int
    removed: frozenset[SkillKey]
    skills: Sequence[CatalogueSkill]
    gone: frozenset[SkillKey] = frozenset()

    @property
    def changed(self) -> frozenset[SkillKey]:
        """The skills that they change."""
        return self.removed.union(SkillKey(one.domain, one.name) for one in self.skills)

    @property
    def present(self) -> list[CatalogueSkill]:
        """The added skills that were not removed later."""
        return [one for one in self.skills if SkillKey(one.domain, one.name) not in self.gone]


def catalogue_log(
    backend: StoreBackend, keys: Keys | None = None, seen: SeenChanges | None = None
) -> History[CatalogueChange]:
    """The catalogue log of a store; with `keys`, its changes have to be signed as those of `.shortlist`."""
    prefix = f"{SHORTLIST}/catalogue"
    return History(backend, prefix, CatalogueChange, Trust(keys, SHORTLIST, prefix) if keys else None, seen)


def append_changes(
    log: History[CatalogueChange],
    skills: Iterable[CatalogueSkill],
    removed: Iterable[SkillKey] = (),
    *,
    by: str | None = None,
    key: Ed25519PrivateKey | None = None,
) -> int:
    """Append removals, then skills, in changes of bounded size; the number of the last one.

    Each change is there as a whole or not at all. Raises `InputError` where there is nothing to change, `Conflict`
    where other processes append all the time.
    """
    log.check_key(key)
    number = 0
    for part_removed, part in _parts(list(removed), skills):
        for _ in range(_TRIES):
            latest = log.latest()
            number = latest.number + 1 if latest else 1
            change = CatalogueChange(number=number, skills=tuple(part), removed=tuple(part_removed))
            if by is not None:
                change = msgspec.structs.replace(change, by=by, via="service")
            if log.append(change, key):
                break
        else:
            raise Conflict(f"store {log.backend}: the catalogue is being changed by others; try again")
    if not number:
        raise InputError("no skill to add or to remove; expected one at least")
    return number


def check_room(changed: Set[SkillKey], added: Iterable[CatalogueSkill]) -> None:
    """Raise `Conflict` where skills cannot be added, beside those that were changed since the training.

    One that was changed already needs no more room.
    """
    new = {SkillKey(one.domain, one.name) for one in added} - changed
    if new and len(changed) + len(new) > MAX_SKILLS:
        raise Conflict(
            f"{len(new):,} skills to add, beside {len(changed):,} that were changed since the training, expected at "
            f"most {MAX_SKILLS:,} in the catalogue log; nothing is added; train with them: "
            "arbitrank shortlist train --catalogue FILE --promote"
        )


def changes_after(log: History[CatalogueChange], number: int) -> CatalogueChanges | None:
    """The changes after a number as one, None where there are none.

    Raises `StoreError` where one cannot be read or is not trusted.
    """
    latest = log.latest()
    if latest is None or latest.number <= number:
        return None
    removed: set[SkillKey] = set()
    skills: dict[SkillKey, CatalogueSkill] = {}
    gone: set[SkillKey] = set()
    for each in range(number + 1, latest.number + 1):
        change = latest if each == latest.number else log.entry(each)
        removed.update(change.removed)
        gone.update(skills.keys() & set(change.removed))
        for one in change.skills:
            skills[key := SkillKey(one.domain, one.name)] = one
            gone.discard(key)
    return CatalogueChanges(latest.number, frozenset(removed), tuple(skills.values()), frozenset(gone))


def _parts(
    removed: list[SkillKey], skills: Iterable[CatalogueSkill]
) -> Iterator[tuple[list[SkillKey], list[CatalogueSkill]]]:
    """Removals and skills in parts, each of which fits into a change."""
    gone: list[SkillKey] = []
    part: list[CatalogueSkill] = []
    size = 0
    every: Iterable[SkillKey | CatalogueSkill] = (*removed, *skills) if removed else skills
    for one in every:
        more = len(msgspec.json.format(msgspec.json.encode(one), indent=3))
        if size + more > _BYTES and size:
            yield gone, part
            gone, part, size = [], [], 0
        if isinstance(one, SkillKey):
            gone.append(one)
        else:
            part.append(one)
        size += more
    if size:
        yield gone, part
