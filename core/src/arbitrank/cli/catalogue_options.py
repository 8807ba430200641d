"""Options of a catalogue to train the Shortlister on: its files, and the check that it did not lose its skills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import click

from arbitrank.cli import options
from arbitrank.cli.destination import Destination
from arbitrank.errors import InputError
from arbitrank.importers.catalogues import listed_skills
from arbitrank.shortlist.artifact import read_skills
from arbitrank.shortlist.gathering import GatheredSkills
from arbitrank.store.artifact import MANIFEST, read_manifest
from arbitrank.store.artifact_checks import printable
from arbitrank.store.kinds import SHORTLIST
from arbitrank.wire.catalogue_lines import CatalogueSkill

__all__ = ["CatalogueFiles", "catalogue_option"]

_SHRUNK = 0.5  # of the skills of the version before have to be there
_FEW = 4  # skills of which any may go
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
                    f"--catalogue {path}: no skill in it; expected a skill a line, see docs/how-to/catalogue.md"
                )

    def report(self, gathered: GatheredSkills) -> None:
        """Print the remarks on the catalogue on standard error."""
        cut = (
            [f"{len(self.cuts):,} texts are beyond the bounds and cut: {'; '.join(self.cuts[:3])}"] if self.cuts else []
        )
        for text in (*gathered.remarks(), *cut):
            options.note(printable(text))

    def check(self, gathered: GatheredSkills, destination: Destination) -> None:
        """Refuse a catalogue that lacks more than half of the skills of the version before it, unless --force is set.

        That version is the store's stable one, or the artifact that --out would replace. Exits with 1.
        """
        before, version = _before(destination)
        if before is None or len(before) < _FEW or self.force:
            return
        present = {(one.domain, one.name) for one in gathered.skills}
        missing = [name for name, domain, own in before if (domain, own) not in present]
        if len(missing) <= _SHRUNK * len(before):
            if missing:
                some = ", ".join(missing[:_SHOWN])
                options.note(printable(f"{len(missing):,} of the {len(before):,} skills of {version} are gone: {some}"))
            return
        some = ", ".join(islice(missing, _SHOWN))
        options.note(
            printable(
                f"{SHORTLIST}: {len(missing):,} of the {len(before):,} skills of {version} are missing, expected at "
                f"least half of them: {some}, …; give the whole catalogue by --catalogue FILE, or --force"
            )
        )
        raise SystemExit(1)


def _before(destination: Destination) -> tuple[list[tuple[str, str, str]] | None, str]:
    """Names, owners and own names of the version before, and that version; None where there is none."""
    if destination.out is not None:
        if not (destination.out / MANIFEST).is_file():
            return None, ""
        return read_skills(destination.out), f"{destination.out}, {read_manifest(destination.out).version}"
    stable = destination.store.state(SHORTLIST)[1].stable
    if stable is None:
        return None, ""
    return read_skills(destination.store.fetch(SHORTLIST, stable)), f"{stable}, which is stable in {destination.store}"


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
