"""JSON input: requests, corpora and hypotheses, one object or a file of lines; errors name the field and the value.

What is as expected is decoded by msgspec. Anything else is read field by field (`arbitrank.wire.lenient`), so that one
domain's unreadable hypothesis costs that domain alone its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec.structs import force_setattr

from arbitrank.errors import InputError
from arbitrank.truths import Labelling, any_of, or_acceptable
from arbitrank.values import Answer, Example, Request
from arbitrank.wire.json_lines import MAX_LINE, BadLine, lines_in, place, read_lines
from arbitrank.wire.json_text import converted, json_object
from arbitrank.wire.labelled import example_of, truth_of
from arbitrank.wire.lenient import MAX_HYPOTHESES, read_request
from arbitrank.wire.notices import Notice, Notices, unnoticed
from arbitrank.wire.offsets import Offsets
from arbitrank.wire.request_checks import KNOWN, check_keys, checked

__all__ = [
    "MAX_HYPOTHESES",
    "MAX_LINE",
    "BadLine",
    "Logged",
    "Outcome",
    "SkillName",
    "decode_example",
    "decode_logged",
    "decode_request",
    "identity",
    "lines_in",
    "names_another",
    "place",
    "read_examples",
    "read_lines",
    "read_requests",
]

T = TypeVar("T")

Outcome = Literal["accepted", "rejected"]
"""The user's reaction to an answer."""

SkillName = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
"""The name of a skill in a catalogue, that of a qualified one included."""


class _Outcomes(msgspec.Struct, frozen=True):
    """The fields that a line of a log has beside the request's and its truth."""

    answer: Answer | None = None
    recognised: bool = False
    time: float | None = None
    outcome: Outcome | None = None
    called: SkillName | None = None
    utterance_hash: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    arms: dict[str, Literal["stable", "canary"]] | None = None
    claims: dict[str, tuple[float, float]] = {}


class Logged(Request, frozen=True, omit_defaults=True, kw_only=True):
    """A line of a log: a request, with its truth where that is known and its answer where there was one.

    `recognised`: the hypotheses are the domains' own, not the caller's. `time`: when it was answered, in seconds since
    1970. `outcome`: the user's reaction, where it was reported; `called`: the skill that it is to, where the caller
    chose one. `utterance_hash` replaces an utterance that must not be kept. `request_id` and `traceparent` are of the
    call that brought it. `arms` says of each name beside whose stable version a candidate ran which of the two
    answered. `claims`: P(mine) and the greatest P(right) of each domain, before their competition.
    """

    truth: Labelling | None = None
    answer: Answer | None = None
    recognised: bool = False
    time: float | None = None
    outcome: Outcome | None = None
    called: SkillName | None = None
    utterance_hash: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    arms: dict[str, Literal["stable", "canary"]] | None = None
    claims: dict[str, tuple[float, float]] = {}  # noqa: RUF012 — msgspec copies it

    def __post_init__(self) -> None:
        if self.truth is not None:
            force_setattr(self, "truth", any_of(self.truth))


_Known = msgspec.defstruct(
    "_Known",
    [(name, msgspec.Raw, msgspec.Raw()) for name in sorted(KNOWN.difference(Request.__struct_fields__))],
    bases=(Request,), frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True,
)  # fmt: skip
"""A request that has no unknown key, and what else a line of a log has, not looked at."""

_decode_known: Callable[[bytes | str], Any] = msgspec.json.Decoder(_Known).decode
_decode_request = msgspec.json.Decoder(Request).decode
_decode_logged = msgspec.json.Decoder(Logged).decode
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


def identity(given: Any) -> str | None:
    """The text that a session or an account is told from others by; None without one.

    Of an object that is its `id`, where it has one, as the rest of it may change from turn to turn.
    """
    value = given.get("id", given) if isinstance(given, dict) else given
    if value in (None, "", {}):
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()


def names_another(named: str | None, session: Any) -> bool:
    """True where feedback names a session that is not that of the request, as the request gives it."""
    return named is not None and session is not None and named != identity(session)


def decode_request(raw: bytes | str, notice: Notice = unnoticed, *, strict: bool = False) -> Request:
    """One request from JSON; `notice` is called with remarks on what was read although it is not as expected.

    Domains whose hypotheses cannot be read are in the request's `refused`. Raises `InputError` that names the field,
    the value seen and the value expected where the whole cannot be read; with `strict` also where there is a domain
    refused or a remark.
    """
    if strict:
        notice = _raise
    try:
        request = _decoded(raw, notice)
    except _UNREADABLE:
        request = _bounded(_slowly, raw, notice)
    request = checked(request, notice)
    if strict and request.refused:
        raise InputError(next(iter(request.refused.values())))
    return request


def _decoded(raw: bytes | str, notice: Notice) -> Request:
    try:
        one = _decode_known(raw)
    except msgspec.ValidationError:  # perhaps only a key is unknown
        request = _decode_request(raw)
        check_keys(msgspec.json.decode(raw), notice)
        return request
    return Request(
        id=one.id, utterance=one.utterance, context=one.context, hypotheses=one.hypotheses, session=one.session,
        account=one.account, dialogue=one.dialogue, utterance_length=one.utterance_length, utterances=one.utterances,
        refused=one.refused,
    )  # fmt: skip


def decode_example(raw: bytes | str, notice: Notice = unnoticed, *, offsets: Offsets = "characters") -> Example:
    """One labelled request from a line of a corpus (`text`) or of hypotheses (`truth`).

    Raises `InputError` as `decode_request` does, and where a slot's offsets do not cut its value from the text.
    `offsets` is the unit that a corpus counts them in.
    """
    return _bounded(example_of, raw, notice, offsets)


def decode_logged(raw: bytes | str, notice: Notice = unnoticed) -> Logged:
    """One line of a log, or of a corpus or hypotheses file. Raises `InputError` as `decode_request` does."""
    try:
        line = _decode_logged(raw)
    except _UNREADABLE:
        line = _bounded(_logged_slowly, raw, notice)
    if line.utterance is not None or line.hypotheses is not None:
        if line.truth is not None and "acceptable" in (raw if isinstance(raw, str) else str(raw, "utf-8", "replace")):
            line = msgspec.structs.replace(line, truth=or_acceptable(line.truth, json_object(raw)))
        return checked(line, notice)
    # Neither an utterance nor hypotheses: perhaps a line of a corpus, whose utterance is called `text`.
    example = decode_example(raw, notice)
    return Logged(**msgspec.structs.asdict(example.request), truth=example.truth)


def read_requests(path: str, notices: Notices | None = None, *, strict: bool = False) -> Iterator[Request | BadLine]:
    """The requests of a JSON Lines file, `-` for standard input; a line that cannot be read comes as `BadLine`."""
    return _read(path, lambda line, notice: decode_request(line, notice, strict=strict), notices)


def read_examples(
    path: str | Path, notices: Notices | None = None, *, offsets: Offsets = "characters"
) -> Iterator[Example | BadLine]:
    """The labelled requests of a corpus or hypotheses file (JSON Lines, gzip accepted), bad lines as values."""
    return _read(str(path), lambda line, notice: decode_example(line, notice, offsets=offsets), notices)


def _read(path: str, decode: Callable[[bytes, Notice], T], notices: Notices | None) -> Iterator[T | BadLine]:
    for number, line in read_lines(path):
        if isinstance(line, BadLine):
            yield line
            continue
        where = place(path, number)
        try:
            yield decode(line, unnoticed if notices is None else notices.at(where))
        except InputError as error:
            yield BadLine(where, str(error))


def _raise(key: str, text: str) -> None:
    raise InputError(text)


def _bounded(read: Callable[..., T], raw: bytes | str, *settings: Any) -> T:
    try:
        return read(raw, *settings)
    except RecursionError:
        raise InputError("nested too deeply to be read") from None


# --------------------------------------------------------------------------------------------------------- requests


def _slowly(raw: bytes | str, notice: Notice) -> Request:
    line = json_object(raw)
    check_keys(line, notice)
    return read_request(line, notice)


def _logged_slowly(raw: bytes | str, notice: Notice) -> Logged:
    line = json_object(raw)
    if "text" in line and line.get("utterance") is None and line.get("hypotheses") is None:
        return Logged()  # a line of a corpus
    outcomes = converted({key: line[key] for key in _Outcomes.__struct_fields__ if key in line}, _Outcomes)
    truth = None if line.get("truth") is None else truth_of(line["truth"], line.get("utterance"), notice)
    request = msgspec.structs.asdict(read_request(line, notice))
    return Logged(**request, truth=truth, **msgspec.structs.asdict(outcomes))
