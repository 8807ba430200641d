"""Files of JSON documents: JSON Lines, one document over several lines, or several after one another."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any, NamedTuple

from arbitrank.errors import InputError
from arbitrank.wire.json_lines import MAX_LINE, BadLine, opened, other_kind, place
from arbitrank.wire.json_text import BOM, parsed

__all__ = ["MAX_DOCUMENTS", "Document", "documents", "documents_of"]

MAX_DOCUMENTS = 64 << 20
"""Bytes of a file at most that is not JSON Lines: it is read as a whole."""


class Document(NamedTuple):
    """A JSON value, and its place as `FILE:LINE`."""

    where: str
    value: Any


def documents(path: str, *, listed: bool = False) -> Iterator[Document | BadLine]:
    """The JSON documents of a file, `-` for standard input; one that cannot be read comes as `BadLine`.

    JSON Lines are read line by line. A list stands for its entries, unless `listed`: then only a list of lists does.
    """
    with opened(path) as file:
        for one in _documents(file, path):
            if isinstance(one, Document) and isinstance(one.value, list) and _is_several(one.value, listed):
                yield from (Document(f"{one.where}[{i}]", each) for i, each in enumerate(one.value))
            else:
                yield one


def documents_of(raw: bytes, name: str) -> Iterator[Document | BadLine]:
    """The JSON documents in the bytes of a file, which messages call `name`; lists stay whole."""
    yield from _documents(io.BytesIO(raw), name)


def _is_several(value: list[Any], listed: bool) -> bool:
    return not listed or (bool(value) and all(isinstance(each, list) for each in value))


def _documents(file: IO[bytes], path: str) -> Iterator[Document | BadLine]:
    before = 0
    first = _line(file)
    while first.isspace():
        before, first = before + 1, _line(file)
    if kind := other_kind(first, path):
        yield BadLine(place(path, before + 1), kind)
    elif _complete(first):
        yield from _by_line(chain([first], iter(lambda: _line(file), b"")), path, before)
    elif first:
        yield from _as_a_whole(first + file.read(MAX_DOCUMENTS), path, before)


def _line(file: IO[bytes]) -> bytes:
    """The next line without a byte order mark; of a longer one than is allowed, its beginning."""
    line = file.readline(MAX_LINE + 1)
    rest = line
    while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
        rest = file.readline(MAX_LINE + 1)
    return line.removeprefix(BOM) or b"\n" * bool(line)


def _complete(line: bytes) -> bool:
    """True where a line is a JSON object or list."""
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _by_line(lines: Iterator[bytes], path: str, before: int) -> Iterator[Document | BadLine]:
    for number, line in enumerate(lines, before + 1):
        where = place(path, number)
        if len(line.removesuffix(b"\n")) > MAX_LINE:
            yield BadLine(where, f"longer than the {MAX_LINE} bytes allowed")
        elif not line.isspace():
            yield _read(line, where)


def _read(raw: bytes | str, where: str) -> Document | BadLine:
    try:
        return Document(where, parsed(raw))
    except InputError as error:
        return BadLine(where, str(error))


def _as_a_whole(raw: bytes, path: str, before: int) -> Iterator[Document | BadLine]:
    """The documents of a text that is not JSON Lines; where it is not JSON, of its lines if some are complete."""
    if len(raw) >= MAX_DOCUMENTS:
        yield BadLine(place(path, before + 1), f"longer than {MAX_DOCUMENTS} bytes, expected JSON Lines: jq -c . FILE")
        return
    try:
        text = raw.decode()
    except UnicodeDecodeError as problem:
        start = raw.rfind(b"\n", 0, problem.start) + 1
        yield _read(raw[start:], place(path, before + 1 + raw.count(b"\n", 0, start)))
        return
    found: list[Document | BadLine] = []
    decoder, position, line = json.JSONDecoder(), 0, before + 1
    while rest := text[position:].lstrip():
        start = len(text) - len(rest)
        line += text.count("\n", position, start)
        try:
            _, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as problem:
            lines = raw.splitlines(keepends=True)
            if any(one[:1] in (b"{", b"[") and len(one.strip()) > 2 and _complete(one) for one in lines):
                found = [*_by_line(iter(lines), path, before)]
            elif isinstance(problem, json.JSONDecodeError) and "\n" in rest.rstrip():
                reason = f"not JSON: {problem.msg}: column {problem.colno}; expected complete JSON objects"
                found.append(BadLine(place(path, before + problem.lineno), reason))
            else:
                found.append(_read(rest, place(path, line)))
            break
        found.append(_read(text[start:position], place(path, line)))
        line += text.count("\n", start, position)
    yield from found
