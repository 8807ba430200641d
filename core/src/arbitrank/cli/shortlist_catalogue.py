"""arbitrank shortlist add, remove and skills: the catalogue of a store between two trainings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from arbitrank.cli import options
from arbitrank.cli.catalogue_options import CatalogueFiles
from arbitrank.errors import InputError
from arbitrank.importers.catalogues import listed_skills
from arbitrank.normal_text import printable
from arbitrank.shortlist.artifact import CATALOGUE, ArtifactSkills, read_skills
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.changes import changed_catalogue
from arbitrank.shortlist.gathering import GatheredSkills, ListedSkills, counted, gather_skills, qualified_name
from arbitrank.store.catalogue_log import SkillKey, changes_after, check_room
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.store import Store
from arbitrank.wire.catalogue_lines import CatalogueSkill

_NAMED = 5  # owners in an error
_SHRUNK = 0.5  # of the skills may be removed at once, unless --force is set


@click.command("add")
@click.argument("files", metavar="FILE...", type=options.PATH, nargs=-1, required=True)
@options.changed_store
def add(files: tuple[Path, ...], store: Store) -> None:
    """Add the skills of catalogues to the store's, without training; those of the same owner and name are replaced.

    Every process that follows the store finds them within one polling interval. The next training includes them.

    Example: arbitrank shortlist add skills.jsonl
    """
    catalogue = CatalogueFiles(files, False, [])
    gathered = gather_skills(catalogue.skills())
    catalogue.report(gathered)
    before = _stable(store)
    changes = changes_after(store.catalogue_log(), 0 if before is None else before.found.change)
    check_room(frozenset() if changes is None else changes.changed, gathered.skills)
    number = store.change_catalogue(gathered.skills)
    click.echo(f"{counted(len(gathered), 'skill')} added, change {number} of the catalogue of {store}")


@click.command("remove")
@click.argument("names", metavar="SKILL...", nargs=-1, required=True)
@click.option("--domain", metavar="NAME", help="The owner of the skills.")
@click.option("--force", is_flag=True, help="Remove more than half of the catalogue.")
@options.changed_store
def remove(names: tuple[str, ...], domain: str | None, force: bool, store: Store) -> None:
    """Remove skills from the store's catalogue, without training. SKILL is a name, or OWNER/NAME.

    Example: arbitrank shortlist remove tide_table --domain harbour
    """
    catalogue = _served(store)
    present = [SkillKey(owner, catalogue.own.get(number, name)) for number, name, owner in catalogue.present()]
    keys = dict[SkillKey, None]()
    for name in names:
        found = _meant(name, domain, present)
        if len(found) != 1:
            raise InputError(f"skill {name!r}: {_unclear(name, domain, found, present)}")
        keys[found[0]] = None
    if len(keys) > _SHRUNK * len(present) and not force:
        options.note(f"{len(keys):,} of {len(present):,} skills, more than half; remove them with --force")
        raise SystemExit(1)
    number = store.change_catalogue((), keys)
    click.echo(f"{counted(len(keys), 'skill')} removed, change {number} of the catalogue of {store}")


def _meant(name: str, domain: str | None, present: Sequence[SkillKey]) -> list[SkillKey]:
    """The present skills that a name stands for: with an owner at most one, alone those of all owners.

    A name with a slash is OWNER/NAME, or that of a skill without an owner, and never the own name of another owner's:
    once the skill that it means is removed, removing it again must not remove that one.
    """
    if domain is not None:
        return [one for one in present if one == SkillKey(domain, name)]
    if "/" not in name:
        return [one for one in present if one.name == name]
    return [one for one in present if name == qualified_name(one.domain, one.name) or one == SkillKey(name, name)]


def _unclear(name: str, domain: str | None, found: Sequence[SkillKey], present: Sequence[SkillKey]) -> str:
    """The problem of a name that stands for no skill, or for those of several owners."""
    owners = [one.domain for one in found or present if found or one.name == name]
    of = ", ".join(owners[:_NAMED]) + (", …" if len(owners) > _NAMED else "")
    if domain is not None:
        n = sum(one.domain == domain for one in present)
        seen = f"{domain} has no such skill, and {counted(n, 'other')}" if n else f"{domain} has no skill"
        return seen + (f"; {of} has one of this name" if owners else "; see: arbitrank shortlist skills")
    if found:
        return f"skills of {of}, expected one; name its owner: --domain NAME, or OWNER/NAME"
    seen = f"not in the catalogue of {len(present):,} skills"
    return seen + (f"; {of} has one of this name: --domain NAME" if owners else "; see: arbitrank shortlist skills")


@click.command("skills")
@options.store
def skills(store: Store) -> None:
    """Print the store's present catalogue, a skill a line: the stable version's and what was changed since.

    Example: arbitrank shortlist skills > skills.jsonl
    """
    for one in _present(store).skills:
        sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
    sys.stdout.flush()


def _served(store: Store) -> SkillCatalogue:
    """The catalogue under the names that are served: the stable version's, with the changes of the log."""
    before = _stable(store)
    known, catalogue = (0, SkillCatalogue()) if before is None else (before.found.change, before.found.catalogue())
    changes = changes_after(store.catalogue_log(), known)
    return catalogue if changes is None else changed_catalogue(catalogue, changes)


def _present(store: Store) -> GatheredSkills:
    """The skills of the stable version with the changes of the log. Raises `InputError` where there are none."""
    known, listed = 0, iter(())  # type: tuple[int, Iterator[tuple[str, CatalogueSkill]]]
    if (before := _stable(store)) is not None:
        known, listed = before.found.change, _texts(*before)
    changes = changes_after(store.catalogue_log(), known)
    found = gather_skills(ListedSkills.with_changes(listed, changes).skills)
    if not len(found):
        raise InputError(f"no skill in the catalogue of {store}; run: arbitrank shortlist add FILE")
    return found


class _Stable(NamedTuple):
    """The folder of the stable version, and its skills."""

    folder: Path
    found: ArtifactSkills


def _stable(store: Store) -> _Stable | None:
    stable = store.state(SHORTLIST)[1].stable
    if stable is None:
        return None
    folder = store.fetch(SHORTLIST, stable)
    return _Stable(folder, read_skills(folder))


def _texts(folder: Path, found: ArtifactSkills) -> Iterator[tuple[str, CatalogueSkill]]:
    """The skills of an artifact with their texts; of one that was made before 0.3, without."""
    if (folder / CATALOGUE).is_file():
        return listed_skills(folder / CATALOGUE, [])
    return ((printable(name), CatalogueSkill(own, domain)) for name, domain, own in found.owned())
