"""MASSIVE: JSON Lines with `annot_utt`, in which `[slot : words]` marks a slot, one file a locale.

Without a domain of the caller's, an utterance is of the domain that its `scenario` names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from arbitrank.errors import InputError
from arbitrank.importers.corpora.files import SourceFile
from arbitrank.importers.corpora.items import CorpusOptions, Item, LeftOut, Utterance
from arbitrank.importers.corpora.placed import Placed, read_json_lines
from arbitrank.importers.options import domain_name
from arbitrank.values import Slot

_MARK = re.compile(r"\[\s*([^\[\]:]+?)\s*:\s*([^\[\]]*?)\s*\]")


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances of the files."""
    for file in files:
        if file.path.suffix not in (".jsonl", ".json") and len(files) > 1:
            yield LeftOut("file of another kind", file.label)
            continue
        for line in read_json_lines(file):
            yield from _utterance(line)


def _utterance(line: Placed) -> Iterator[Item]:
    text, annotated = line.text("utt"), line.text("annot_utt") if line.maybe("annot_utt") is not None else ""
    split = line.text_or("partition", None)
    if split not in (None, "train", "dev", "test"):
        raise line.at("partition").invalid("train, dev or test")
    try:
        slots = _slots(text, annotated)
    except InputError as error:
        yield LeftOut("utterance whose slots do not fit", f"{line.where}: {error}")
        return
    scenario = line.text_or("scenario", None)
    known = ("id", "locale", "partition", "intent", "utt", "annot_utt")
    id = line.maybe("id")
    yield Utterance(
        line.where, text, line.text_or("intent", None), slots,
        domain=None if scenario is None else domain_name(scenario), locale=line.text_or("locale", None), split=split,
        id=None if id is None else str(id.value), extra={k: v.value for k, v in line.entries() if k not in known},
    )  # fmt: skip


def _slots(text: str, annotated: str) -> tuple[Slot, ...]:
    """The slots marked in an annotated text, found again in the text in their order. Raises `InputError`."""
    slots, at, rest = [], 0, 0
    for match in _MARK.finditer(annotated):
        between = annotated[rest : match.start()].strip()
        rest = match.end()
        name, value = match[1], match[2]
        found = text.find(between, at)
        start = text.find(value, max(at, found + len(between)))
        if not value or start < 0 or found < 0:
            raise InputError(f"[{name} : {value}] is not found in the text {text[:80]!r}")
        slots.append(Slot(name, value, start=start, end=start + len(value)))
        at = start + len(value)
    if len(_MARK.sub("", annotated).split("[")) > 1:
        raise InputError(f"a bracket of {annotated[:80]!r} marks no slot, expected [NAME : WORDS]")
    return tuple(slots)
