"""Labelled lines of data: a corpus, whose utterance is its `text`, and hypotheses with their `truth`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import force_setattr

from arbitrank.errors import InputError
from arbitrank.truths import Labelling, any_of, corpus_truth, or_acceptable
from arbitrank.values import Context, Example, Name, Request, Slot, Truth
from arbitrank.wire.json_text import converted, json_object
from arbitrank.wire.lenient import read_request, read_slots, text_or_number
from arbitrank.wire.misnamed import meant_in_request
from arbitrank.wire.notices import Notice, named
from arbitrank.wire.offsets import Offsets, in_characters, misfit
from arbitrank.wire.request_checks import KNOWN, checked, checked_context


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


class _Labelled(msgspec.Struct, frozen=True):
    truth: Labelling

    def __post_init__(self) -> None:
        force_setattr(self, "truth", any_of(self.truth))


_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_EXAMPLE_FIELDS = {
    "corpus": set(_Corpus.__struct_encode_fields__),
    "hypotheses": {*Request.__struct_fields__, "truth", "answer"},
}


def example_of(raw: bytes | str, notice: Notice, offsets: Offsets) -> Example:
    """The example on a line of a corpus or of hypotheses, as `arbitrank.wire.decode_example` gives it."""
    odd = False
    try:
        line = msgspec.json.decode(raw)
    except _UNREADABLE:
        line, odd = json_object(raw), True
    if not isinstance(line, dict):
        line = json_object(raw)
    # A line of hypotheses names a domain in its truth only; this one is meant for a corpus.
    if "domain" in line and not {"text", "truth", "hypotheses"} & line.keys():
        raise InputError("the object: lacks the field text")
    kind = "corpus" if "text" in line else "hypotheses"
    request, truth = _corpus_line(line, offsets, notice) if kind == "corpus" else _labelled_line(line, odd, notice)
    return Example(request, truth, {key: value for key, value in line.items() if key not in _EXAMPLE_FIELDS[kind]})


def _corpus_line(line: dict[str, Any], offsets: Offsets, notice: Notice) -> tuple[Request, Truth]:
    try:
        corpus = msgspec.convert(line, _Corpus)
    except msgspec.ValidationError:
        corpus = converted(_mended(line, line.get("text"), notice), _Corpus)
    slots = corpus.slots
    if offsets == "utf16":
        slots = tuple(in_characters(corpus.utterance, slot) for slot in slots)
    for i, slot in enumerate(slots):
        if problem := misfit(corpus.utterance, slot, offsets):
            raise InputError(f"slots[{i}]: {problem}")
    fields = _request_fields(corpus)
    if corpus.locale is not None:
        fields["context"] = {"locale": corpus.locale, **corpus.context}
    fields["context"] = checked_context(fields["context"], notice)
    return Request(**fields), corpus_truth(line, corpus.domain, corpus.domains, corpus.intent, slots)


def _labelled_line(line: dict[str, Any], odd: bool, notice: Notice) -> tuple[Request, Truth]:
    """The request and its truth; an `odd` line holds what conversion by msgspec would let through."""
    if "truth" not in line:
        raise InputError("the object: lacks the field truth")
    for key in line.keys() - KNOWN if line.get("hypotheses") is None else ():
        if meant_in_request(key, line) == ("hypotheses", True):  # else it would be read as text alone
            raise InputError(f"{named(key)}: unknown key, expected hypotheses")
    try:
        request = read_request(line, notice) if odd else msgspec.convert(line, Request)
    except msgspec.ValidationError:
        request = read_request(line, notice)
    truth = truth_of(line["truth"], line.get("utterance"), notice)
    return checked(request, notice), or_acceptable(truth, line)


def truth_of(value: Any, utterance: Any, notice: Notice) -> Truth:
    """The truth in a line: one or a list of them. Raises `InputError`."""
    try:
        return msgspec.convert({"truth": value}, _Labelled).truth
    except msgspec.ValidationError:
        every = value if isinstance(value, list) else [value]
        mended = [_mended(one, utterance, notice) if isinstance(one, dict) else one for one in every]
        return converted({"truth": mended if isinstance(value, list) else mended[0]}, _Labelled).truth


def _mended(line: dict[str, Any], text: Any, notice: Notice) -> dict[str, Any]:
    """The fields of a line of a corpus, or of a truth, with null as absent, and numbers as texts where texts belong."""
    mended = {key: value for key, value in line.items() if value is not None or key == "domain"}
    if "id" in mended:
        mended["id"] = text_or_number(mended, "id", notice)
    if "slots" in mended:
        slots = read_slots(mended["slots"], "", text if isinstance(text, str) else "", notice)
        mended["slots"] = [msgspec.to_builtins(slot) for slot in slots]
    return mended


def _request_fields(line: Request | _Corpus) -> dict[str, Any]:
    """The fields of the request in a line; a line of a corpus lacks some of them."""
    return {name: getattr(line, name) for name in Request.__struct_fields__ if hasattr(line, name)}
