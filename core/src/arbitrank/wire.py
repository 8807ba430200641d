"""JSON input: requests, corpora and hypotheses, one object or a file of lines; errors name the field and the value."""

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
from msgspec import UNSET, UnsetType
from msgspec.structs import force_setattr

from arbitrank.errors import DataError, InputError
from arbitrank.truths import Labelling, any_of, corpus_truth, or_acceptable
from arbitrank.values import Answer, Confidence, Context, Example, Name, Request, Slot

T = TypeVar("T")

MAX_LINE = 1 << 20
"""Bytes of one JSON object at most."""

Outcome = Literal["accepted", "rejected"]
"""The user's reaction to an answer."""

MAX_HYPOTHESES = 10_000
"""Hypotheses of one request at most."""


class BadLine(NamedTuple):
    """A line that cannot be read: its place, as `FILE:LINE`, and the reason."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class _Corpus(msgspec.Struct, frozen=True, kw_only=True, rename={"utterance": "text"}):
    id: str | None = None
    utterance: str
    domain: Name | UnsetType | None = UNSET
    domains: tuple[Name | None, ...] | None = None
    intent: Name | None = None
    slots: tuple[Slot, ...] = ()
    locale: str | None = None
    context: Context = {}
    session: str | dict[str, Any] | None = None
    account: dict[str, Any] | None = None
    dialogue: str | dict[str, Any] | None = None


class _Labelled(Request, frozen=True, kw_only=True):
    truth: Labelling

    def __post_init__(self) -> None:
        force_setattr(self, "truth", any_of(self.truth))


class Logged(Request, frozen=True, omit_defaults=True, kw_only=True):
    """A line of a log: a request, with its truth where that is known and its answer where there was one.

    `recognised`: the hypotheses are the domains' own, not the caller's. `time`: when it was answered, in seconds since
    1970. `outcome`: the user's reaction, where it was reported. `utterance_hash` replaces an utterance that must not be
    kept.
    """

    truth: Labelling | None = None
    answer: Answer | None = None
    recognised: bool = False
    time: float | None = None
    outcome: Outcome | None = None
    utterance_hash: str | None = None

    def __post_init__(self) -> None:
        if self.truth is not None:
            force_setattr(self, "truth", any_of(self.truth))


_decode_request = msgspec.json.Decoder(Request).decode
_decode_logged = msgspec.json.Decoder(Logged).decode
_EXAMPLE_FIELDS = {
    "corpus": set(_Corpus.__struct_encode_fields__),
    "hypotheses": {*_Labelled.__struct_fields__, "answer"},
}


def decode_request(raw: bytes | str) -> Request:
    """One request from JSON. Raises `InputError` that names the field, the value seen and the value expected."""
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
        if line.truth is not None and "acceptable" in (raw if isinstance(raw, str) else str(raw, "utf-8", "replace")):
            return msgspec.structs.replace(line, truth=or_acceptable(line.truth, msgspec.json.decode(raw)))
        return line
    # Neither an utterance nor hypotheses: perhaps a line of a corpus, whose utterance is called `text`.
    example = decode_example(raw)
    if example.request.utterance is None:
        raise InputError("the line has neither an utterance nor hypotheses, expected one of them")
    return Logged(**_request_fields(example.request), truth=example.truth)


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
    """The lines of an open file as `read_lines` gives them; messages call it `path`."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line.removesuffix(b"\n")) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield number, BadLine(place(path, number), f"longer than the {MAX_LINE} bytes allowed")
        elif line.strip():
            yield number, line


def place(path: str | Path, number: int) -> str:
    """The place of a line for messages: `FILE:LINE`."""
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
    # A line of hypotheses names a domain in its truth only; this one is meant for a corpus.
    if isinstance(line, dict) and "domain" in line and not {"text", "truth", "hypotheses"} & line.keys():
        raise InputError("the object: lacks the field text")
    if kind == "corpus":
        corpus = msgspec.convert(line, _Corpus)
        for i, slot in enumerate(corpus.slots):
            if slot.start is not None and slot.end is not None:
                seen = corpus.utterance[slot.start : slot.end]
                if seen != slot.value:
                    where = f"slots[{i}]: text[{slot.start}:{slot.end}]"
                    raise InputError(f"{where} is {seen!r}, expected its value {slot.value!r}")
        fields = _request_fields(corpus)
        if corpus.locale is not None:
            fields["context"] = {"locale": corpus.locale, **corpus.context}
        truth = corpus_truth(line, corpus.domain, corpus.domains, corpus.intent, corpus.slots)
    else:
        labelled = msgspec.convert(line, _Labelled)
        fields, truth = _request_fields(labelled), or_acceptable(labelled.truth, line)
    request = Request(**fields)
    _check_request(request)
    return Example(request, truth, {key: value for key, value in line.items() if key not in _EXAMPLE_FIELDS[kind]})


def _request_fields(line: Request | _Corpus) -> dict[str, Any]:
    """The fields of the request in a line; a line of a corpus lacks some of them."""
    return {name: getattr(line, name) for name in Request.__struct_fields__ if hasattr(line, name)}


def _check_request(request: Request) -> None:
    if request.hypotheses is not None and len(request.hypotheses) > MAX_HYPOTHESES:
        raise InputError(f"hypotheses: {len(request.hypotheses)} of them, expected at most {MAX_HYPOTHESES}")
    for key, value in request.context.items():
        if key.startswith("preference."):
            try:
                msgspec.convert(value, Confidence)
            except msgspec.ValidationError:
                problem = "out of range" if isinstance(value, int | float) else "invalid"
                raise InputError(
                    f"context[{key!r}]: {_short(value)} is {problem}, expected a number in [0, 1]"
                ) from None


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
    """A validation error of msgspec as `FIELD: VALUE is invalid, expected …`; the value is looked up in the text."""
    expected, _, path = message.partition(" - at `$")
    expected = expected.replace("Expected ", "expected ").replace("`", "")
    path = path.rstrip("`")
    if "missing required field" in expected:
        field = expected.replace("Object missing required field ", "lacks the field ")
        return f"{path.lstrip('.') or 'the object'}: {field}"
    range_ = "a finite number" if ".features" in path else "a number in [0, 1]"
    bounded = re.fullmatch(r"expected float (>=|<=).*|Number out of range", expected) is not None
    if bounded or re.fullmatch(r"expected float( \| null)?, got \w+", expected):
        expected = f"expected {range_}"
    expected = re.sub(r"expected object( \| null)?, got \w+", "expected an object", expected)
    expected = re.sub(r"expected object \| array( \| null)?, got \w+", "expected an object or a list of them", expected)
    where = path.lstrip(".") or "the line"
    try:
        seen: Any = json.loads(raw)
    except (ValueError, RecursionError):  # what follows the invalid field is invalid too
        return f"{where}: {expected}"
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", path):
        if isinstance(seen, dict) and name in seen:
            seen = seen[name]
        elif isinstance(seen, list) and index.isdigit() and int(index) < len(seen):
            seen = seen[int(index)]
        else:
            break
    return f"{where}: {_short(seen)} is {'out of range' if bounded else 'invalid'}, {expected}"


def _explain_malformed(raw: bytes | str, error: Exception) -> str:
    try:
        value = json.loads(raw.rstrip())
    except RecursionError:
        return "nested too deeply to be read"
    except json.JSONDecodeError as problem:
        return f"not JSON: {problem.msg}: column {problem.colno}; expected one complete JSON object per line"
    except ValueError as problem:
        return f"not JSON: {problem}; expected one complete JSON object per line"
    for path, seen in _non_finite(value):
        return f"{path.lstrip('.')}: {seen} is out of range, expected a finite number"
    return f"not JSON: {error}; expected one complete JSON object per line"


def _non_finite(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path or "the line", value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _non_finite(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _non_finite(inner, f"{path}[{i}]")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
