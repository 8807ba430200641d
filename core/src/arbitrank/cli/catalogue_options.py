"""Options of a catalogue to train the Shortlister on: its files, and the check that it did not lose its skills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from arbitrank.cli import options
from arbitrank.cli.destination import Destination
from arbitrank.errors import InputError
from arbitrank.importers.catalogues import listed_skills
from arbitrank.normal_text import printable
from arbitrank.shortlist.artifact import ArtifactSkills, read_skills
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.gates import missing_skills, shrunk, shrunk_text
from arbitrank.shortlist.gathering import GatheredSkills, ListedSkills, counted
from arbitrank.store.artifact import MANIFEST, read_manifest
from arbitrank.store.catalogue_log import CatalogueChanges, SkillKey, changes_after
from arbitrank.store.kinds import SHORTLIST
from arbitrank.wire.catalogue_lines import CatalogueSkill, owner_problem

__all__ = ["CatalogueFiles", "VersionBefore", "catalogue_option"]

_SHOWN = 5


class CatalogueFiles(NamedTuple):
    """The files of a catalogue; `cuts` receives what was cut of their texts."""

    paths: Sequence[Path]
    force: bool
    cuts: list[str]

    def skills(self) -> Iterator[tuple[str, CatalogueSkill]]:
        """The skills of all files, with their places. Raises `DataError` at the first line that cannot be read."""
        for path in self.paths:
            n = 0
            for n, found in enumerate(listed_skills(path, self.cuts), 1):  # noqa: B007
                yield found
            if not n:
                raise InputError(
                    f"--catalogue {path}: no skill in it, expected a skill a line; see docs/how-to/catalogue.md"
                )

    def listed(self, before: VersionBefore | None, destination: Destination) -> ListedSkills:
        """The skills of all files with what the store's log changed since the version before."""
        if destination.out is not None:
            return ListedSkills(self.skills())
        known = 0 if before is None else before.found.change
        changes = changes_after(destination.store.catalogue_log(), known)
        if changes is not None:
            added = {SkillKey(one.domain, one.name) for one in changes.present}
            removed = (changes.removed | changes.gone) - added
            options.note(
                f"changes {known + 1} to {changes.number} of the catalogue log, in all: "
                f"{counted(len(added), 'skill')} added or replaced, {len(removed):,} removed"
            )
            changes = _without_stages(changes)
        return ListedSkills.with_changes(self.skills(), changes, known)

    def report(self, gathered: GatheredSkills) -> None:
        """Print the remarks on the catalogue on standard error."""
        cut = f"{len(self.cuts):,} texts are beyond the bounds and cut: {'; '.join(self.cuts[:3])}"
        for text in (*gathered.remarks(), *([cut] if self.cuts else ())):
            options.note(printable(text))

    def check(self, skills: SkillCatalogue, before: VersionBefore | None) -> None:
        """Refuse a catalogue that lacks more than half of the skills of the version before, unless --force is set.

        Exits with 1.
        """
        if before is None:
            return
        missing = missing_skills(before.found, skills)
        if shrunk(before.found, missing) and not self.force:
            options.note(
                f"{SHORTLIST}: nothing is trained: {shrunk_text(before.found, missing)}. "
                f"The version before is {before}. Give the whole catalogue with --catalogue FILE; "
                "or accept the loss with --force"
            )
            raise SystemExit(1)
        if missing:
            some = f"{', '.join(missing[:_SHOWN])}{', …' if len(missing) > _SHOWN else ''}"
            options.note(
                printable(f"{len(missing):,} of the {len(before.found.names):,} skills of {before} are gone: {some}")
            )


def _without_stages(changes: CatalogueChanges) -> CatalogueChanges:
    """The changes without skills of owners that none may have, which a log of before holds; they are remarked on."""
    refused = [SkillKey(one.domain, one.name) for one in changes.present if owner_problem(one.domain)]
    if refused:
        some = ", ".join(f"{key.name!r} of {key.domain!r}" for key in refused[:_SHOWN])
        more = ", …" if len(refused) > _SHOWN else ""
        options.note(
            printable(f"{counted(len(refused), 'skill')} of the log left out, whose owner is a stage: {some}{more}")
        )
    return changes._replace(gone=changes.gone.union(refused))


class VersionBefore(NamedTuple):
    """The version that a training replaces, and its skills."""

    name: str
    found: ArtifactSkills

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, destination: Destination) -> VersionBefore | None:
        """The stable version of the store, or the artifact that --out would replace; None where there is none."""
        if destination.out is not None:
            if not (destination.out / MANIFEST).is_file():
                return None
            name = f"{destination.out}, {read_manifest(destination.out).version}"
            return cls(name, read_skills(destination.out))
        stable = destination.store.state(SHORTLIST)[1].stable
        if stable is None:
            return None
        name = f"{stable}, which is stable in {destination.store}"
        return cls(name, read_skills(destination.store.fetch(SHORTLIST, stable)))


catalogue_option = options.gathered(
    "catalogue",
    lambda catalogue, force: CatalogueFiles(catalogue, force, []),
    click.option(
        "--catalogue",
        type=options.PATH,
        metavar="FILE",
        multiple=True,
        help="Skills as JSON Lines or CSV, as `arbitrank import --catalogue` makes them. May be repeated.",
    ),
    click.option("--force", is_flag=True, help="Accept a catalogue that lacks more than half of the skills before."),
)
"""The options of a catalogue, which the verb receives as `catalogue: CatalogueFiles`."""
