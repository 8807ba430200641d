"""Parts of a reading from another system's: scores, slots with their words and offsets, and the request as a whole."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions, Unit
from arbitrank.importers.text_elements import in_characters
from arbitrank.normal_text import comparable
from arbitrank.scales import DEFAULT, Scale, number_in, scale, word_of
from arbitrank.values import Context, Hypothesis, Request, Slot
from arbitrank.wire.json_text import explained, short
from arbitrank.wire.lenient import text_or_number
from arbitrank.wire.notices import unnoticed
from arbitrank.wire.offsets import cut
from arbitrank.wire.request_checks import checked

__all__ = ["decoded", "not_none", "request_of", "score", "slot_at", "slot_in", "slots_of", "words_of"]

T = TypeVar("T")

_SLACK = 1e-6  # rounding of float32, as a share of the scale's range
_UNIT = scale(DEFAULT)
_TYPES = {"str": "a text", "array": "a list", "int": "a whole number", "bool": "true or false", "object": "an object"}
_TYPE = re.compile(rf"expected ({'|'.join(_TYPES)})(?: \| \w+)*(?:, got \w+)?$")
_LENGTH = re.compile(r"expected str of length [<>]= \d+$")  # of names alone


def decoded(value: Any, kind: type[T], where: str = "") -> T:
    """The JSON value as a type. Raises `InputError` that names the field, below `where`, what was seen and expected."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text = explained(str(error), value)
    text = _TYPE.sub(lambda found: f"expected {_TYPES[found[1]]}", text)
    text = _LENGTH.sub(r"expected a text of 1 to 200 characters", text)
    if where:
        path, colon, rest = text.partition(": ")
        at = "" if path in ("the line", "the object") else path if path.startswith("[") else f".{path}"
        text = f"{where}{at}{colon}{rest}"
    raise InputError(text)


def score(value: Any, where: str, one: Scale = _UNIT) -> float | None:
    """A score of a scale as a number in [0, 1], null as None. Raises `InputError` where it is out of range.

    Within the rounding of float32, a number beyond the range is clipped.
    """
    if value is None or one.key == ("missing",):
        return None
    number: Any = number_in(value.strip().removesuffix("%")) if isinstance(value, str) and one.texts else value
    if _is_number(number):
        number = min(max(number, -1e308), 1e308)  # an integer may be beyond what a float holds
    if one.words:
        word = word_of(value) if isinstance(value, str) else f"{number:g}" if _is_number(number) else ""
        if word in one.words:
            return (one.words.index(word) + 0.5) / len(one.words)
    elif _is_number(number):
        p = one.read(number) if not math.isnan(number) else math.nan
        if -_SLACK <= p <= 1.0 + _SLACK:
            return min(max(p, 0.0), 1.0) + 0.0
        raise InputError(f"{where}: {short(value)} is out of range, expected {one.expected}")
    raise InputError(f"{where}: {short(value)} is invalid, expected {one.expected}")


def not_none(p: float | None) -> float | None:
    """1 - P(none of the system's intents), without the noise of the subtraction; None where that is unknown."""
    return None if p is None else round(1.0 - p, 12)


def words_of(value: Any) -> str:
    """A slot's value as its words: a text as it is, anything else as JSON, integral numbers without a fraction."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise InputError(f"{short(value)}: nested too deeply, expected a value of a slot") from None


def slot_in(name: str, words: str, text: str | None, confidence: float | None = None, resolved: Any = None) -> Slot:
    """A slot whose payload gives no offsets: those of its words, where they are in the text exactly once."""
    slot = Slot(name, words, confidence, resolved=_other(words, resolved))
    if text is None or not words:
        return slot
    start = text.find(words)
    if start < 0 and len(text.lower()) == len(text):
        text, words = text.lower(), words.lower()
        start = text.find(words)
    if start < 0 or text.find(words, start + 1) >= 0:
        return slot
    return msgspec.structs.replace(slot, start=start, end=start + len(words))


def slots_of(name: str, value: Any, words: Any, text: str | None) -> list[Slot]:
    """The slots of a value, one for each of a list; none of what is unfilled: null, or an empty text, list or object.

    `words` are those in the text that stand for the value, in a list for a list; None where they are not known. They
    are looked for in the text, and so is a value that is a text; any other value may be there with another meaning.
    """
    if isinstance(value, list) and (words is None or isinstance(words, list)):
        each = words if words is not None and len(words) == len(value) else [None] * len(value)
        return [slot for one, own in zip(value, each, strict=True) for slot in slots_of(name, one, own, text)]
    if value is None or value in ("", [], {}):
        return []
    own = words if isinstance(words, str) and words else words_of(value)
    return [slot_in(name, own, text if own in (words, value) else None, resolved=value)]


def slot_at(
    name: str,
    text: str | None,
    place: tuple[int | None, int | None],
    *,
    words: str | None = None,
    value: Any = None,
    confidence: float | None = None,
    units: tuple[Unit, ...],
    options: ImportOptions,
) -> Slot | None:
    """A slot with offsets, whose value is what they cut from the text; None where it has neither words nor a value.

    `words` are those that the payload has, and the offsets must cut; `value` is what it made of them. Offsets are
    counted in the first of `units` that fits. Where there are none, or none fits, which is remarked on, the words are
    looked for; a value without words or offsets is not, as it need not be in the text.
    """
    known = words or (value if isinstance(value, str) else None)
    start, end = place
    if text is not None and start is not None and end is not None:
        cuts = [made for unit in _units(units, options) if (made := _cut(name, text, start, end, unit))]
        meant = {comparable(each) for each in (known, None if value is None else words_of(value)) if each}
        same = [made for made in cuts if comparable(made.value) in meant]
        if same or (cuts and words is None):
            best = (same or cuts)[0]
            return msgspec.structs.replace(best, confidence=confidence, resolved=_other(best.value, value))
        options.notice(f"offsets of {name}", "a slot's offsets do not cut its words from the text, and are left out")
    elif words is None:
        text = None
    if known is None:
        if value is None:
            return None
        known = words_of(value)
    return slot_in(name, known, text, confidence, value)


def request_of(
    utterance: str | None, hypotheses: Iterable[Hypothesis], options: ImportOptions, context: Context | None = None
) -> Request:
    """The request, checked as one from JSON is. Raises `InputError` where a name is empty or too long."""
    made = Request(
        utterance=options.utterance if utterance is None else utterance,
        context=context or {},
        hypotheses=tuple(hypotheses),
    )
    return checked(decoded(msgspec.json.decode(msgspec.json.encode(made)), Request), options.notice)


def text_in(payload: Mapping[str, Any], *names: str) -> str | None:
    """The first of the fields that is there, a text. Raises `InputError` where it is of another type."""
    found = next((name for name in names if payload.get(name) is not None), names[0])
    return text_or_number(payload, found, unnoticed)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _units(units: tuple[Unit, ...], options: ImportOptions) -> tuple[Unit, ...]:
    return units if options.offsets is None else (options.offsets,)


def _cut(name: str, text: str, start: int, end: int, unit: Unit) -> Slot | None:
    """The slot that offsets of a unit cut from a text; None where they cut nothing."""
    if not 0 <= start < end:
        return None
    if unit == "elements":
        if (found := in_characters(text, start, end)) is None:
            return None
        start, end = found
    if unit != "utf16":
        return Slot(name, text[start:end], start=start, end=end) if end <= len(text) else None
    value, before = cut(text, start, end), cut(text, 0, start)
    if value is None or before is None:
        return None
    return Slot(name, value, start=len(before), end=len(before) + len(value))


def _other(words: str, value: Any) -> Any:
    """The value where it is not just the words."""
    return None if value is None or value in (words, [], {}) or words_of(value) == words else value
