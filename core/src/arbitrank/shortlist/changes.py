"""Changes of a catalogue after the training, applied to a Shortlister."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.store.catalogue_log import CatalogueChange, CatalogueChanges, SkillKey, changes_after
from arbitrank.store.history import History

__all__ = ["changed", "changed_catalogue", "with_log"]


def changed(shortlister: Shortlister, changes: CatalogueChanges) -> Shortlister:
    """A Shortlister with changes of its catalogue; those that it has already do nothing."""
    before = _without(shortlister, changes.removed)
    after = before.with_owned((one.domain, one.skill) for one in changes.skills)
    return replace(_without(after, changes.gone), change=changes.number)


def changed_catalogue(catalogue: SkillCatalogue, changes: CatalogueChanges) -> SkillCatalogue:
    """A catalogue with changes, under the names that a Shortlister serves."""
    before = catalogue.without(_names(catalogue, changes.removed))
    after = before.with_skills((one.domain, one.skill) for one in changes.skills)
    return after.without(_names(after, changes.gone))


def _without(shortlister: Shortlister, keys: Iterable[SkillKey]) -> Shortlister:
    gone = _names(shortlister.catalogue, keys)
    return shortlister.without(gone) if gone else shortlister


def _names(catalogue: SkillCatalogue, keys: Iterable[SkillKey]) -> list[str]:
    """The unique names of the present ones of some skills."""
    numbers = (catalogue.number_of(key.domain, key.name) for key in keys)
    return [catalogue[number][0] for number in numbers if number is not None]


def with_log(shortlister: Shortlister, log: History[CatalogueChange]) -> Shortlister:
    """A Shortlister with the changes of a log since its training. Raises `StoreError` where they cannot be read."""
    changes = changes_after(log, shortlister.change)
    return shortlister if changes is None else changed(shortlister, changes)
