"""arbitrank import --corpus: corpora in other formats as our own, written into a folder, and a report on them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from arbitrank.cli import options
from arbitrank.cli.importing_catalogues import import_catalogue
from arbitrank.errors import InputError
from arbitrank.importers.corpora import CorpusOptions, Gathered, format_of, import_corpus
from arbitrank.importers.corpora.writing import files_of, write_files

__all__ = ["CorpusImport", "corpus_options"]


class CorpusImport(NamedTuple):
    """The options of `import --corpus`, as the verb receives them."""

    format: str | None
    out: Path | None
    force: bool
    locale: str | None
    columns: Sequence[str]
    out_of_scope: Sequence[str]
    as_json: bool
    catalogue: str | None = None

    def run(self, path: Path, domain: str | None) -> None:
        """Import the corpus, or the catalogue, at a path: write it into `out`, or print its lines, and report."""
        if self.catalogue is not None:
            import_catalogue(
                self.catalogue, path, domain, out=self.out, force=self.force, as_json=self.as_json
            )  # fmt: skip
            return
        format = format_of(self.format or "")
        if self.columns and format not in ("csv", "atis"):
            raise InputError(f"--column: the format {format} has no columns; expected it with --corpus csv")
        found = import_corpus(
            format, path, CorpusOptions(domain, self.locale, _columns(self.columns), tuple(self.out_of_scope))
        )
        files: dict[str, bytes] = {}
        if self.out is not None:
            files = files_of(found)
            write_files(files, self.out, self.force)
        elif found.patterns or self.as_json:
            what = "--json reports on files" if self.as_json else f"{path} has templates, which become files"
            raise InputError(f"{what}; expected --out FOLDER")
        else:
            for line in found.lines:
                sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
            sys.stdout.flush()
        if self.as_json:
            print(msgspec.json.encode(_report(found, format, domain, files)).decode())
        for text in _remarks(found, list(files), self.out):
            options.note(text)


def _make(
    corpus: str | None,
    out: Path | None,
    force: bool,
    locale: str | None,
    columns: Sequence[str],
    out_of_scope: Sequence[str],
    as_json: bool,
    catalogue: str | None,
) -> CorpusImport:
    if corpus is not None and catalogue is not None:
        raise InputError("--catalogue: not with --corpus, expected one of the two")
    options.needs("--corpus", corpus, locale=locale, column=columns, out_of_scope=out_of_scope)
    options.needs("--corpus or --catalogue", corpus or catalogue, out=out, force=force, json=as_json)
    return CorpusImport(corpus, out, force, locale, columns, out_of_scope, as_json, catalogue)


corpus_options = options.gathered(
    "corpus",
    _make,
    click.option("--corpus", metavar="FORMAT", help="Import a corpus in this format, from PATH."),
    click.option("--catalogue", metavar="FORMAT", help="Import skills, a catalogue in this format, from PATH."),
    click.option(
        "--out", type=options.PATH, metavar="FOLDER", help="With --corpus, --catalogue: write the files here."
    ),
    click.option("--force", is_flag=True, help="With --out: replace files that are there already."),
    click.option("--locale", metavar="LOCALE", help="With --corpus: import this locale alone, as en or en-US."),
    click.option(
        "--column",
        "columns",
        metavar="FIELD=NAME",
        multiple=True,
        help="With --corpus csv: the column of text, intent, domain, slots, tags, id, locale or split; repeatable.",
    ),
    click.option(
        "--out-of-scope",
        metavar="INTENT",
        multiple=True,
        help="With --corpus: an intent that means that nothing of the domain's is meant; may be repeated.",
    ),
    options.as_json,
)
"""The options of a corpus, which the verb receives as `corpus: CorpusImport`."""

_FIELDS = ("text", "intent", "domain", "slots", "tags", "id", "locale", "split")


def _columns(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals or not column or field not in _FIELDS:
            raise InputError(f"--column: {pair!r} is no pair, expected FIELD=NAME, FIELD one of {', '.join(_FIELDS)}")
        found[field] = column
    return found


def _report(found: Gathered, format: str, domain: str | None, files: dict[str, bytes]) -> dict[str, object]:
    return {
        "format": format,
        "domain": domain,
        "files": list(files),
        "utterances": {split: len(lines) for split, lines in found.splits.items()},
        "out_of_scope": sum(line.get("domain", "") is None for line in found.lines),
        "patterns": {
            intent: len(table["patterns"]) for section in found.patterns.values() for intent, table in section.items()
        },
        "lists": {name: len(values) for name, values in found.lists.items()},
        "left_out": [
            {"kind": kind, "count": count, "examples": examples} for kind, (count, examples) in found.left_out.items()
        ],
        "supplied": dict(found.supplied),
    }


def _remarks(found: Gathered, files: Sequence[str], out: Path | None) -> list[str]:
    """The report in words: counts, what was left out, and lists whose values are not of the source."""
    lines = list(found.lines)
    n_patterns = sum(len(table["patterns"]) for section in found.patterns.values() for table in section.values())
    counts = {
        "utterances": len(lines),
        "out of scope": sum(line.get("domain", "") is None for line in lines),
        "patterns": n_patterns,
        "lists": len(found.lists),
    }
    where = f" in {out}: {', '.join(files)}" if out is not None else ""
    remarks = [", ".join(f"{what}: {n:,}" for what, n in counts.items() if n) + where]
    if out is None and found.lists:
        remarks.append("lists are written with --out FOLDER")
    for kind, (count, examples) in found.left_out.items():
        more = "; …" if count > len(examples) else ""
        remarks.append(f"left out: {kind} ({count:,}): {'; '.join(examples)}{more}")
    for name, kind in found.supplied.items():
        values = ", ".join(str(value) for value in found.lists[name][:3])
        remarks.append(f"list {name}: no values in the source ({kind}); replace ours in lists.toml: {values}, …")
    return remarks
