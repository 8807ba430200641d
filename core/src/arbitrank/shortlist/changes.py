"""Changes of a catalogue after the training, applied to a Shortlister."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.store.catalogue_log import CatalogueChange, CatalogueChanges, SkillKey, changes_after
from arbitrank.store.history import History

__all__ = ["changed", "with_log"]


def changed(shortlister: Shortlister, changes: CatalogueChanges) -> Shortlister:
    """A Shortlister with changes of its catalogue; those that it has already do nothing."""
    before = _without(shortlister, changes.removed)
    after = before.with_owned((one.domain, one.skill) for one in changes.skills)
    return replace(_without(after, changes.gone), change=changes.number)


def _without(shortlister: Shortlister, keys: Iterable[SkillKey]) -> Shortlister:
    catalogue = shortlister.catalogue
    numbers = (catalogue.number_of(key.domain, key.name) for key in keys)
    gone = [catalogue[number][0] for number in numbers if number is not None]
    return shortlister.without(gone) if gone else shortlister


def with_log(shortlister: Shortlister, log: History[CatalogueChange]) -> Shortlister:
    """A Shortlister with the changes of a log since its training. Raises `StoreError` where they cannot be read."""
    changes = changes_after(log, shortlister.change)
    return shortlister if changes is None else changed(shortlister, changes)
