"""JSON in: requests, corpora and hypotheses, one object at a time or a file of lines; bad input explained by name."""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeVar

import msgspec

from arbitrank.errors import DataError, InputError
from arbitrank.values import Answer, Confidence, Context, Example, Name, Request, Slot, Truth

T = TypeVar("T")

MAX_LINE = 1 << 20
"""Bytes of one JSON object that are read; a longer one is refused."""

Outcome = Literal["accepted", "rejected"]
"""What a user made of an answer: had it done, or not."""

MAX_HYPOTHESES = 10_000
"""Hypotheses of one request that are read."""


class BadLine(NamedTuple):
    """A line that could not be read: where it stands, as `FILE:LINE`, and why."""

    where: str
    reason: str


class _Corpus(msgspec.Struct, frozen=True, kw_only=True):
    id: str | None = None
    text: str
    domain: Name | None
    intent: Name | None = None
    slots: tuple[Slot, ...] = ()
    locale: str | None = None
    context: Context = {}
    session: str | dict[str, Any] | None = None
    account: dict[str, Any] | None = None
    dialogue: str | dict[str, Any] | None = None


class _Labelled(Request, frozen=True, kw_only=True):
    truth: Truth


class Logged(Request, frozen=True, omit_defaults=True, kw_only=True):
    """A line of a log: a request, with the truth where somebody knows it and the answer where there was one.

    `recognised` says that the hypotheses are what the domains read, not what the caller brought. `time` is when it was
    answered, seconds since 1970. `outcome` is what became of the answer, where that was told. `utterance_hash` is for
    an utterance that was not to be kept.
    """

    truth: Truth | None = None
    answer: Answer | None = None
    recognised: bool = False
    time: float | None = None
    outcome: Outcome | None = None
    utterance_hash: str | None = None


_decode_request = msgspec.json.Decoder(Request).decode
_decode_logged = msgspec.json.Decoder(Logged).decode
_EXAMPLE_FIELDS = {"corpus": set(_Corpus.__struct_fields__), "hypotheses": {*_Labelled.__struct_fields__, "answer"}}


def decode_request(raw: bytes | str) -> Request:
    """One request from JSON. Raises `InputError` that names the field, what was seen and what was promised."""
    return _decoded(_decode_request, raw)


def decode_example(raw: bytes | str) -> Example:
    """One labelled request from a line of a corpus (`text`) or of hypotheses (`truth`).

    Raises `InputError` as `decode_request` does, and where a slot's offsets do not cut its value from the text.
    """
    return _decoded(_example, raw)


def decode_logged(raw: bytes | str) -> Logged:
    """One line of a log, or of a corpus or hypotheses file. Raises `InputError` as `decode_request` does."""
    line = _decoded(_decode_logged, raw)
    if line.utterance is not None or line.hypotheses is not None:
        return line
    # Neither words nor readings: perhaps a corpus' line, whose words are called `text`.
    example = decode_example(raw)
    if example.request.utterance is None:
        raise InputError("the line has neither an utterance nor hypotheses, promised one of them")
    fields = {name: getattr(example.request, name) for name in Request.__struct_fields__}
    return Logged(**fields, truth=example.truth)


def read_requests(path: str) -> Iterator[Request | BadLine]:
    """The requests of a JSON Lines file, `-` for standard input; a line that cannot be read comes as `BadLine`."""
    return _read(path, decode_request)


def read_examples(path: str | Path) -> Iterator[Example | BadLine]:
    """The labelled requests of a corpus or hypotheses file (JSON Lines, gzip accepted), bad lines as values."""
    return _read(str(path), decode_example)


def read_lines(path: str | Path) -> Iterator[tuple[int, bytes | BadLine]]:
    """The lines of a JSON Lines file that are not blank, undecoded, each with its number; a too long one is bad."""
    path = str(path)
    try:
        with _open(path) as file:
            yield from lines_in(file, path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def lines_in(file: IO[bytes], path: str) -> Iterator[tuple[int, bytes | BadLine]]:
    """The same of an open file, which people know as `path`."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line.removesuffix(b"\n")) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield number, BadLine(place(path, number), f"longer than the {MAX_LINE} bytes promised")
        elif line.strip():
            yield number, line


def place(path: str | Path, number: int) -> str:
    """Where a line stands, for people: `FILE:LINE`."""
    return f"{'standard input' if str(path) == '-' else path}:{number}"


def _read(path: str, decode: Callable[[bytes], T]) -> Iterator[T | BadLine]:
    for number, line in read_lines(path):
        if isinstance(line, BadLine):
            yield line
            continue
        try:
            yield decode(line)
        except InputError as error:
            yield BadLine(place(path, number), str(error))


def _open(path: str) -> IO[bytes]:
    if path == "-":
        return sys.stdin.buffer
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def _example(raw: bytes | str) -> Example:
    line = msgspec.json.decode(raw)
    kind = "corpus" if isinstance(line, dict) and "text" in line else "hypotheses"
    # A line of hypotheses names a domain in its truth only: this one is meant for a corpus.
    if isinstance(line, dict) and "domain" in line and not {"text", "truth", "hypotheses"} & line.keys():
        raise InputError("the object: lacks the field text")
    if kind == "corpus":
        corpus = msgspec.convert(line, _Corpus)
        _check_offsets(corpus)
        context = corpus.context
        if corpus.locale is not None:
            context = {"locale": corpus.locale, **context}
        request = Request(
            id=corpus.id,
            utterance=corpus.text,
            context=context,
            session=corpus.session,
            account=corpus.account,
            dialogue=corpus.dialogue,
        )
        truth = Truth(corpus.domain, corpus.intent, corpus.slots)
    else:
        labelled = msgspec.convert(line, _Labelled)
        request = Request(**{name: getattr(labelled, name) for name in Request.__struct_fields__})
        truth = labelled.truth
    _check_request(request)
    return Example(request, truth, {key: value for key, value in line.items() if key not in _EXAMPLE_FIELDS[kind]})


def _check_offsets(line: _Corpus) -> None:
    for i, slot in enumerate(line.slots):
        if slot.start is not None and slot.end is not None and line.text[slot.start : slot.end] != slot.value:
            seen = line.text[slot.start : slot.end]
            raise InputError(f"slots[{i}]: text[{slot.start}:{slot.end}] is {seen!r}, its value says {slot.value!r}")


def _check_request(request: Request) -> None:
    if request.hypotheses is not None and len(request.hypotheses) > MAX_HYPOTHESES:
        raise InputError(f"hypotheses: {len(request.hypotheses)} of them, at most {MAX_HYPOTHESES} are promised")
    for key, value in request.context.items():
        if key.startswith("preference."):
            try:
                msgspec.convert(value, Confidence)
            except msgspec.ValidationError:
                raise InputError(f"context[{key!r}]: saw {value!r}, promised a number in [0, 1]") from None


def _decoded(decode: Callable[[bytes | str], T], raw: bytes | str) -> T:
    try:
        value = decode(raw)
        if isinstance(value, Request):
            _check_request(value)
        return value
    except msgspec.ValidationError as error:
        raise InputError(_explain(str(error), raw)) from None
    except (msgspec.DecodeError, ValueError) as error:  # ValueError: no UTF-8, or an integer of thousands of digits
        raise InputError(_explain_malformed(raw, error)) from None
    except RecursionError:
        raise InputError("nested too deeply to be read") from None


def _explain(message: str, raw: bytes | str) -> str:
    """msgspec says what was promised and where; what was seen there is looked up in the text."""
    promised, _, path = message.partition(" - at `$")
    promised = promised.replace("Expected ", "promised ").replace("`", "")
    path = path.rstrip("`")
    if "missing required field" in promised:
        lack = promised.replace("Object missing required field ", "lacks the field ")
        return f"{path.lstrip('.') or 'the object'}: {lack}"
    number = "a finite number" if ".features" in path else "a number in [0, 1]"
    promised = re.sub(r"promised float (>=|<=).*", f"promised {number}", promised)
    promised = re.sub(r"promised float( \| null)?, got \w+", f"promised {number}", promised)
    promised = re.sub(r"promised object, got \w+", "promised an object", promised)
    promised = promised.replace("Number out of range", f"promised {number}")
    where = path.lstrip(".") or "the line"
    try:
        seen: Any = json.loads(raw)
    except (ValueError, RecursionError):  # what follows the bad field is bad too
        return f"{where}: {promised}"
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path):
        if isinstance(seen, dict) and name in seen:
            seen = seen[name]
        elif isinstance(seen, list) and index.isdigit() and int(index) < len(seen):
            seen = seen[int(index)]
        else:
            break
    return f"{where}: saw {_short(seen)}, {promised}"


def _explain_malformed(raw: bytes | str, error: Exception) -> str:
    try:
        value = json.loads(raw.rstrip())
    except RecursionError:
        return "nested too deeply to be read"
    except json.JSONDecodeError as problem:
        return f"not JSON: {problem.msg}: column {problem.colno}; promised one complete JSON object a line"
    except ValueError as problem:
        return f"not JSON: {problem}; promised one complete JSON object a line"
    for path, seen in _non_finite(value):
        return f"{path.lstrip('.')}: saw {seen}, promised a finite number"
    return f"not JSON: {error}; promised one complete JSON object a line"


def _non_finite(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path or "the line", value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _non_finite(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _non_finite(inner, f"{path}[{i}]")


def _short(value: Any, limit: int = 60) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
