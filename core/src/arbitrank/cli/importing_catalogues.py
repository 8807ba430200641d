"""arbitrank import --catalogue: skills in other formats as lines of a catalogue, and a report on them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from arbitrank.cli import options
from arbitrank.errors import InputError, os_errors
from arbitrank.importers.catalogues import CatalogueOptions, FoundSkill, catalogue_format, read_catalogue
from arbitrank.normal_text import printable
from arbitrank.shortlist.gathering import SkillCount, counted
from arbitrank.wire.json_lines import BadLine

__all__ = ["FILE", "import_catalogue"]

FILE = "catalogue.jsonl"
"""The file that is written into the folder of --out."""

_SHOWN = 3  # examples of what is left out


class CatalogueReport(NamedTuple):
    """The counts of an import: `left_out` by kind, with the first examples; `bad` could not be read."""

    format: str
    file: str | None
    skills: int
    owners: int
    clashing: int
    repeated: int
    bad: int
    left_out: dict[str, tuple[int, list[str]]]

    def as_json(self) -> dict[str, object]:
        """The report as it is printed with --json."""
        left = [{"kind": kind, "count": n, "examples": examples} for kind, (n, examples) in self.left_out.items()]
        return {**self._asdict(), "left_out": left}


def import_catalogue(
    format: str, path: Path, owner: str | None, *, out: Path | None, force: bool, as_json: bool
) -> None:
    """Import the catalogue at a path: write it into `out`, or print its lines, and report.

    Raises `InputError` where a skill could not be read; the others are imported.
    """
    if owner is not None and not 0 < len(owner.strip()) <= 200:
        raise InputError(f"--domain: {owner[:80]!r} is no owner's name, expected 1 to 200 characters")
    if as_json and out is None:
        raise InputError("--json reports on files; expected --out FOLDER")
    format = catalogue_format(format)
    count, bad = SkillCount(), 0
    left: dict[str, tuple[int, list[str]]] = {}
    with _target(out, force) as file:
        for item in read_catalogue(format, path, CatalogueOptions(owner and owner.strip())):
            if isinstance(item, FoundSkill):
                count.add(item.skill)
                file.write(msgspec.json.encode(item.skill) + b"\n")
            elif isinstance(item, BadLine):
                bad += 1
                options.note(printable(str(item)))
            else:
                n, examples = left.setdefault(item.kind, (0, []))
                left[item.kind] = n + 1, examples if len(examples) >= _SHOWN else [*examples, item.example]
        if not count.skills and not bad:
            raise InputError(f"{path}: no skill in it{_left_text(left)}")
    report = CatalogueReport(
        format, str(out / FILE) if out else None, count.skills, len(count.owners), len(count.clashing),
        count.repeated, bad, left,
    )  # fmt: skip
    if as_json:
        print(msgspec.json.encode(report.as_json()).decode())
    for text in _remarks(report, count):
        options.note(printable(text))
    if bad:
        rest = ", the others were imported" if count.skills else ""
        name = "standard input" if str(path) == "-" else path
        raise InputError(f"{bad} skill{'s' if bad > 1 else ''} of {name} could not be read{rest}")


@contextmanager
def _target(out: Path | None, force: bool) -> Iterator[BinaryIO]:
    """The file to write lines to: standard output, or a new one in `out`, placed there as a whole at the end."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    target = out / FILE
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file, expected a folder")
    if target.exists() and not force:
        raise InputError(f"--out: {out} has {FILE} already; name another folder, or replace with --force")
    with os_errors(InputError, f"--out: {out}"):
        out.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".import-", dir=out)
    with folder as work:
        with os_errors(InputError, f"--out: {out}"), (Path(work) / FILE).open("wb") as file:
            yield file
        os.replace(Path(work) / FILE, target)


def _remarks(report: CatalogueReport, count: SkillCount) -> Iterator[str]:
    """The report in words."""
    if report.skills:
        where = f" in {report.file}" if report.file else ""
        yield f"{counted(report.skills, 'skill')} of {counted(report.owners, 'owner')}{where}"
    if report.clashing:
        some = f"{', '.join(count.clashing[:_SHOWN])}{', …' if report.clashing > _SHOWN else ''}"
        names = "1 name has" if report.clashing == 1 else f"{report.clashing:,} names have"
        yield f"{names} several owners; training names these skills OWNER/NAME: {some}"
    if report.repeated:
        lines = counted(report.repeated, "line")
        yield f"{lines} of a skill that its owner has already; training joins their texts"
    for kind, (n, examples) in report.left_out.items():
        yield f"left out: {kind} ({n:,}): {'; '.join(examples)}{'; …' if n > len(examples) else ''}"


def _left_text(left: dict[str, tuple[int, list[str]]]) -> str:
    examples = "; ".join(f"{kind}: {examples[0]}" for kind, (_, examples) in left.items())
    return f"; left out: {printable(examples)}" if examples else ""
