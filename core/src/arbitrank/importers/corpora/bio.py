"""Tokens with BIO tags, one on a line, sentences apart by a blank line: CoNLL, IOB, BIOES and BILOU.

The last column of tags counts; a column behind it, or a comment `# intent: NAME`, names the intent. The text is the
comment `# text: …` where the tokens are in it, else the tokens with a space between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora.files import SourceFile, lines_of, locale_in, split_in
from arbitrank.importers.corpora.items import CorpusOptions, Item, LeftOut, Utterance
from arbitrank.values import Slot

__all__ = ["read", "tagged"]

_TAG = re.compile(r"O|[BIESLUM]-.+")
_COMMENT = re.compile(r"#\s*(text|intent|id|sent_id|locale|lang)[\w-]*\s*[:=]\s*(.+)", re.IGNORECASE)

_MOSTLY = 0.9  # of the lines have a tag in the column of tags

_Row = tuple[str, list[str]]  # the place and the columns


def read(files: Sequence[SourceFile], options: CorpusOptions) -> Iterator[Item]:
    """The utterances of the files, each in the split that its path names."""
    for file in files:
        sentences = list(_sentences(file))
        column = _tag_column([columns for _, rows in sentences for _, columns in rows])
        if column is None and len(files) > 1:
            yield LeftOut("file without a column of tags", file.label)
            continue
        if column is None:
            raise DataError(f"{file.label}: has no column of tags, expected O, B-NAME and I-NAME behind the tokens")
        for comments, rows in sentences:
            yield from _utterance(comments, rows, column, file)


def tagged(tokens: Sequence[str], tags: Sequence[str], text: str | None = None) -> tuple[str, tuple[Slot, ...]]:
    """The text and the slots of tokens with their tags; the text is given where the tokens occur in it in order.

    Raises `InputError` for a tag of another form, and for another number of tags than of tokens.
    """
    if len(tokens) != len(tags):
        raise InputError(f"{len(tokens)} tokens and {len(tags)} tags, expected as many")
    spans, at = [], 0
    joined = " ".join(tokens)
    for token in tokens:
        start = -1 if text is None else text.find(token, at)
        if start < 0 or (text is not None and text[at:start].strip()):
            text, spans, at = joined, _joined_spans(tokens), len(joined)
            break
        at = start + len(token)
        spans.append((start, at))
    text = joined if text is None else text
    slots = [
        Slot(name, text[spans[first][0] : spans[last][1]], start=spans[first][0], end=spans[last][1])
        for name, first, last in _chunks(tags)
    ]
    return text, tuple(slots)


def _joined_spans(tokens: Sequence[str]) -> list[tuple[int, int]]:
    spans, at = [], 0
    for token in tokens:
        spans.append((at, at + len(token)))
        at += len(token) + 1
    return spans


def _chunks(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Names with their first and last tokens; `I-` without a beginning begins one, as in IOB1."""
    name, first = "", 0
    for i, tag in enumerate((*tags, "O")):
        if not _TAG.fullmatch(tag):
            raise InputError(f"{tag!r} is no tag, expected O, B-NAME or I-NAME")
        mark, _, inner = tag.partition("-")
        if name and (mark in ("O", "B", "S", "U") or inner != name):
            yield name, first, i - 1
            name = ""
        if mark != "O" and not name:
            name, first = inner, i
        if name and mark in ("E", "L", "S", "U"):
            yield name, first, i
            name = ""


def _sentences(file: SourceFile) -> Iterator[tuple[dict[str, str], list[_Row]]]:
    comments: dict[str, str] = {}
    rows: list[_Row] = []
    for where, line in (*lines_of(file), (file.label, "")):
        columns = line.split("\t") if "\t" in line else line.split()
        if not line.strip():
            if rows:
                yield comments, rows
            comments, rows = {}, []
        elif (comment := _COMMENT.match(line)) and not rows:
            comments[comment[1].lower()] = comment[2].strip()
        elif columns[0] == "-DOCSTART-" or (line.startswith("#") and not rows and len(columns) < 2):
            continue
        else:
            rows.append((where, [column.strip() for column in columns]))


def _tag_column(rows: Sequence[Sequence[str]]) -> int | None:
    """The last column behind the tokens whose entries are tags, apart from a few."""
    most = max((len(row) for row in rows), default=0)
    for i in range(most - 1, 0, -1):
        if sum(len(row) > i and _TAG.fullmatch(row[i]) is not None for row in rows) > _MOSTLY * len(rows):
            return i
    return None


def _utterance(comments: Mapping[str, str], rows: Sequence[_Row], column: int, file: SourceFile) -> Iterator[Item]:
    where = rows[0][0]
    if any(len(columns) <= column for _, columns in rows):
        yield LeftOut("sentence with a line without a tag", f"{where}: expected {column + 1} columns")
        return
    numbered = column > 1 and [columns[0] for _, columns in rows] == [str(i) for i in range(1, len(rows) + 1)]
    tokens = [columns[1 if numbered else 0] for _, columns in rows]
    intents = {
        columns[i] for _, columns in rows for i in range(column + 1, len(columns)) if columns[i] not in ("", "_")
    }
    if comments.get("intent"):
        intents = {comments["intent"]}
    if len(intents) > 1:
        yield LeftOut("sentence with several intents", f"{where}: {', '.join(sorted(intents))}")
        return
    if not intents:
        yield LeftOut("intent of a sentence, which has none", f"{where}: {' '.join(tokens)[:80]}")
    if not all(tokens):
        yield LeftOut("sentence with an empty token", where)
        return
    try:
        text, slots = tagged(tokens, [columns[column] for _, columns in rows], comments.get("text"))
    except InputError as error:
        yield LeftOut("sentence whose tags do not fit", f"{where}: {error}")
        return
    locale = comments.get("locale") or comments.get("lang") or locale_in(file.path.with_suffix(""))
    yield Utterance(
        where, text, next(iter(intents), None), slots, locale=locale, split=split_in(file.path),
        id=comments.get("id") or comments.get("sent_id"),
    )  # fmt: skip
