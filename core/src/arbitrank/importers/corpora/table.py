"""Tables: CSV or TSV with a header line, whose columns are named by the caller or known by their usual names.

`slots` holds a JSON list of slots, as in our own corpus; `tags` BIO tags, one a token of the text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora.bio import tagged
from arbitrank.importers.corpora.files import SourceFile, split_in
from arbitrank.importers.corpora.items import CorpusOptions, Item, LeftOut, Utterance, slot_at
from arbitrank.importers.options import domain_name
from arbitrank.values import Slot
from arbitrank.wire.json_text import short

__all__ = ["read", "read_table"]

_USUAL = {
    "text": ("text", "utterance", "query", "sentence", "utt", "phrase", "example", "sentences", "question"),
    "intent": ("intent", "label", "category", "intents", "labels", "intent_label", "class"),
    "domain": ("domain", "scenario", "skill", "service"),
    "slots": ("slots", "entities"),
    "tags": ("tags", "slot_labels", "bio", "iob", "slot_tags"),
    "id": ("id", "utterance_id", "slurp_id", "answerid"),
    "locale": ("locale", "language", "lang"),
    "split": ("split", "partition", "dataset"),
}
_SPLITS = {"train": "train", "training": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev",
           "devel": "dev", "test": "test", "testing": "test", "eval": "test"}  # fmt: skip
_ENDINGS = (".csv", ".tsv", ".tab", ".txt")


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances of the tables, one a row."""
    for file in files:
        if len(files) > 1 and file.path.suffix.lower() not in _ENDINGS:
            yield LeftOut("file of another kind", file.label)
        else:
            yield from read_table(file, options)


def read_table(file: SourceFile, options: CorpusOptions) -> Iterator[Item]:
    """The utterances of one table. Raises `DataError` where it has no column for the text."""
    text = file.text
    head = text.partition("\n")[0]
    delimiter = max("\t,;|", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        columns = _columns(file, header, options.columns)
        others = [i for i, name in enumerate(header) if name and i not in columns.values()]
        for row in reader:
            where = f"{file.label}:{reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise DataError(f"{where}: {len(row)} columns, expected {len(header)} as in the header; quote cells "
                                f"that hold {delimiter!r}")  # fmt: skip
            cells = {field: row[i].strip() for field, i in columns.items()}
            extra = {header[i]: row[i] for i in others if row[i]}
            yield from _utterance(where, cells, extra, file)
    except csv.Error as error:
        raise DataError(f"{file.label}:{reader.line_num}: not CSV: {error}") from None


def _columns(file: SourceFile, header: Sequence[str], named: Mapping[str, str]) -> dict[str, int]:
    found = {}
    lower = [name.lower() for name in header]
    for field, usual in _USUAL.items():
        if field in named:
            if named[field] not in header:
                raise InputError(f"{file.label}: --column {field}={named[field]}: no such column, has {_shown(header)}")
            found[field] = header.index(named[field])
        else:
            taken = [header.index(name) for name in named.values() if name in header]
            place = next((lower.index(name) for name in usual if name in lower), None)
            if place is not None and place not in taken:
                found[field] = place
    if "text" not in found:
        raise DataError(f"{file.label}: no column of texts among {_shown(header)}; name it: --column text=NAME")
    return found


def _shown(header: Sequence[str]) -> str:
    return ", ".join(map(short, header[:20])) or "nothing"


def _utterance(where: str, cells: Mapping[str, str], extra: Mapping[str, str], file: SourceFile) -> Iterator[Item]:
    text, domain, intent = cells["text"], cells.get("domain"), cells.get("intent") or None
    split = cells.get("split")
    if split and split.lower() not in _SPLITS:
        raise DataError(f"{where}: {short(split)} is no split, expected one of {', '.join(_SPLITS)}")
    try:
        slots = _slots(text, cells.get("slots"))
        if cells.get("tags"):
            text, slots = tagged(text.split(), cells["tags"].split(), text)
    except InputError as error:
        yield LeftOut("row whose slots do not fit", f"{where}: {error}")
        return
    out = domain is not None and domain.lower() in ("", "null", "none", "oos", "out_of_scope")
    yield Utterance(
        where, text, intent, slots, out or intent in ("oos", "out_of_scope"),
        domain=domain_name(domain) if domain and not out else None, locale=cells.get("locale") or None,
        split=_SPLITS[split.lower()] if split else split_in(file.path), id=cells.get("id") or None, extra=extra,
    )  # fmt: skip


def _slots(text: str, cell: str | None) -> tuple[Slot, ...]:
    """The slots of a JSON list; of one without offsets, the words are looked for in the text."""
    if not cell:
        return ()
    try:
        found = msgspec.convert(json.loads(cell), list[Slot])
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise InputError(f"slots: {short(cell)} is invalid, expected a JSON list of name and value: {error}") from None
    slots = []
    for slot in found:
        start, end = slot.start, slot.end
        if start is None or end is None:
            if text.count(slot.value) != 1 or not slot.value:
                slots.append(slot)
                continue
            start = text.index(slot.value)
            end = start + len(slot.value)
        slots.append(slot_at(text, slot.name, start, end, ("characters", "utf16"), slot.value, slot.resolved))
    return tuple(slots)
