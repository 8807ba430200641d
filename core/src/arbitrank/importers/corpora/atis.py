"""ATIS in its usual forms: `seq.in`, `seq.out` and `label`; `.iob` files, an utterance a line; tables with tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora.bio import tagged
from arbitrank.importers.corpora.files import SourceFile, lines_of, split_in
from arbitrank.importers.corpora.items import CorpusOptions, Item, LeftOut, Utterance
from arbitrank.importers.corpora.table import read_table

_TABLES = (".csv", ".tsv")


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances of the files, each in the split that its path names."""
    by_path = {file.path: file for file in files}
    for file in files:
        name, suffix = file.path.name, file.path.suffix.lower()
        if name == "seq.in":
            beside = [by_path.get(file.path.with_name(other)) for other in ("seq.out", "label")]
            if beside[0] is None or beside[1] is None:
                raise DataError(f"{file.label}: expected seq.out and label beside it")
            yield from _aligned(file, beside[0], beside[1])
        elif name in ("seq.out", "label"):
            if file.path.with_name("seq.in") not in by_path:
                raise DataError(f"{file.label}: expected seq.in beside it; import their folder")
        elif suffix in _TABLES:
            yield from read_table(file, options)
        elif "iob" in name or len(files) == 1:
            yield from _iob(file)
        else:
            yield LeftOut("file of another kind", file.label)


def _aligned(tokens: SourceFile, tags: SourceFile, labels: SourceFile) -> Iterator[Item]:
    columns = [[line for _, line in lines_of(file)] for file in (tokens, tags, labels)]
    for lines in columns:
        while lines and not lines[-1].strip():
            lines.pop()
    if len({len(lines) for lines in columns}) > 1:
        counts = ", ".join(str(len(lines)) for lines in columns)
        raise DataError(f"{tokens.label}: it, seq.out and label have {counts} lines, expected as many")
    for number, (text, its, label) in enumerate(zip(*columns, strict=True), 1):
        yield from _utterance(f"{tokens.label}:{number}", text.split(), its.split(), label.strip(), tokens)


def _iob(file: SourceFile) -> Iterator[Item]:
    """Lines of `BOS TOKENS EOS`, a tab, and as many tags, the last of which is the intent."""
    for where, line in lines_of(file):
        if not line.strip():
            continue
        left, tab, right = line.partition("\t")
        tokens, tags = left.split(), right.split()
        if not tab or len(tokens) != len(tags) or len(tokens) < 2:
            raise DataError(f"{where}: {len(tokens)} tokens and {len(tags)} tags, expected as many, behind a tab")
        inner = slice(1 if tokens[0] == "BOS" else 0, -1 if tokens[-1] == "EOS" else None)
        intent = tags[-1] if tokens[-1] == "EOS" and tags[-1] != "O" else ""
        yield from _utterance(where, tokens[inner], tags[inner], intent, file)


def _utterance(where: str, tokens: list[str], tags: list[str], intent: str, file: SourceFile) -> Iterator[Item]:
    try:
        text, slots = tagged(tokens, tags)
    except InputError as error:
        yield LeftOut("utterance whose tags do not fit", f"{where}: {error}")
        return
    yield Utterance(where, text, intent or None, slots, split=split_in(file.path))
