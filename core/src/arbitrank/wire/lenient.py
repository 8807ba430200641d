"""Requests read field by field, where strict decoding fails: what cannot be read costs one domain its place.

`null` is an absent value. A hypothesis that cannot be read puts its domain into `Request.refused`, and none of that
domain's hypotheses stays; a value that can be read although it is of another type is, with a remark.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from arbitrank.errors import InputError
from arbitrank.values import Hypothesis, Request, Slot, Wording
from arbitrank.wire.json_text import short, whole
from arbitrank.wire.misnamed import MOST_UNKNOWN, meant_in_hypothesis, meant_in_slot
from arbitrank.wire.notices import Notice, named

__all__ = ["MAX_HYPOTHESES", "MAX_WORDINGS", "finite", "read_request", "read_slots", "text_or_number"]

MAX_HYPOTHESES = 10_000
"""Hypotheses of one request at most."""

MAX_WORDINGS = 100
"""Wordings of one utterance at most."""

_LONGEST = 200  # characters of a name
_FAR = 1 << 31  # characters that an offset counts at most
_NAMELESS = 10  # hypotheses without a domain that are reported one by one
_MOST = sys.float_info.max
_REASONS = 100  # domains whose reason is given in full
_HYPOTHESIS = frozenset(Hypothesis.__struct_fields__)
_SLOT = frozenset(Slot.__struct_fields__)
_WORDING = frozenset(Wording.__struct_fields__)

T = TypeVar("T")


def read_request(line: Mapping[str, Any], notice: Notice) -> Request:
    """The request in a JSON object. Raises `InputError` where the request as a whole cannot be read."""
    utterance = _optional(line, "utterance", str, "a text")
    hypotheses, refused = _hypotheses(_optional(line, "hypotheses", list, "a list"), utterance or "", notice)
    given = _optional(line, "refused", dict, "an object") or {}
    return Request(
        id=text_or_number(line, "id", notice),
        utterance=utterance,
        context=finite(_optional(line, "context", dict, "an object") or {}),
        hypotheses=hypotheses,
        session=_id_or_object(line, "session", notice),
        account=finite(_optional(line, "account", dict, "an object")),
        dialogue=_id_or_object(line, "dialogue", notice),
        utterance_length=_length(line),
        utterances=_wordings(_optional(line, "utterances", list, "a list") or [], notice),
        refused={**{key: reason for key, reason in given.items() if isinstance(reason, str)}, **refused},
    )


def finite(value: Any) -> Any:
    """A JSON value with null in the place of NaN and infinities, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, list) else value


def _id_or_object(line: Mapping[str, Any], field: str, notice: Notice) -> str | dict[str, Any] | None:
    value = line.get(field)
    return finite(value) if isinstance(value, dict) else text_or_number(line, field, notice)


def _optional(line: Mapping[str, Any], field: str, kind: type[T], expected: str) -> T | None:
    value = line.get(field)
    if value is None or isinstance(value, kind):
        return value
    raise InputError(f"{field}: {short(value)} is invalid, expected {expected}")


def text_or_number(line: Mapping[str, Any], field: str, notice: Notice, where: str = "") -> str | None:
    """A text, or a number as its text, None where it is absent."""
    value = line.get(field)
    if value is None or isinstance(value, str):
        return value
    if (text := _as_text(value)) is None or isinstance(value, bool):
        raise InputError(f"{where}{field}: {short(value)} is invalid, expected a text")
    notice(f"{field} as number", f"{where}{field}: a number, read as a text; expected a text")
    return text


def _as_text(value: Any) -> str | None:
    """The text of a number, true or false as JSON writes it; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value) if isinstance(value, int) else None


def _length(line: Mapping[str, Any]) -> int | None:
    value = line.get("utterance_length")
    if value is None or (length := _offset(value)) is not None:
        return None if value is None else length
    raise InputError(f"utterance_length: {short(value)} is invalid, expected a number of characters")


def _offset(value: Any) -> int | None:
    """A number of characters; None where the value is none. An integral float is an integer."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _FAR or value != int(value):
        return None
    return int(value)


# ------------------------------------------------------------------------------------------------------- hypotheses


def _hypotheses(
    found: list[Any] | None, utterance: str, notice: Notice
) -> tuple[tuple[Hypothesis, ...] | None, dict[str, str]]:
    """The hypotheses of the domains whose hypotheses can all be read, and the reasons of the others by domain.

    The reason of a hypothesis without a domain stands under its position.
    """
    if found is None:
        return None, {}
    if len(found) > MAX_HYPOTHESES:
        raise InputError(f"hypotheses: {len(found)} of them, expected at most {MAX_HYPOTHESES}")
    _check_keys(found)
    readable: list[Hypothesis] = []
    refused: dict[str, str] = {}
    nameless = 0
    for i, one in enumerate(found):
        where = f"hypotheses[{i}]"
        try:
            readable.append(_hypothesis(one, where, utterance, notice))
        except InputError as error:
            name = _domain_of(one)
            nameless += name is None
            if (name or where) not in refused and (name or nameless <= _NAMELESS):
                reason = str(error) if len(refused) < _REASONS else f"{where} cannot be read"
                refused[name or where] = reason
    if nameless > _NAMELESS:
        refused["hypotheses"] = f"{nameless - _NAMELESS} more cannot be read and name no domain"
    return tuple(one for one in readable if one.domain not in refused), refused


def _check_keys(hypotheses: list[Any]) -> None:
    """Raise `InputError` where hypotheses and their slots have more different unknown keys than can be compared."""
    objects = [one for one in hypotheses if isinstance(one, dict)]
    slots = [slot for one in objects for slot in _listed(one.get("slots")) if isinstance(slot, dict)]
    unknown = ({key for one in objects for key in one} - _HYPOTHESIS) | ({key for one in slots for key in one} - _SLOT)
    if len(unknown) > MOST_UNKNOWN:
        raise InputError(f"hypotheses: {len(unknown)} different unknown keys, expected at most {MOST_UNKNOWN}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _domain_of(one: Any) -> str | None:
    """The domain that an unreadable hypothesis names, also under a misspelt key; None where it names none."""
    if not isinstance(one, dict):
        return None
    names = [one.get("domain"), *(value for key, value in one.items() if meant_in_hypothesis(key, one) == "domain")]
    return next((name for name in names if isinstance(name, str) and 1 <= len(name) <= _LONGEST and whole(name)), None)


def _hypothesis(one: Any, where: str, utterance: str, notice: Notice) -> Hypothesis:
    if not isinstance(one, dict):
        raise InputError(f"{where}: {short(one)} is invalid, expected an object")
    if not whole(one):
        raise InputError(f"{where}: half of a surrogate pair, expected whole characters")
    for key in one.keys() - _HYPOTHESIS:
        if meant := meant_in_hypothesis(key, one):
            raise InputError(f"{where}.{named(key)}: unknown key, expected {meant}")
        notice(f"hypotheses[].{key}", f"{where}.{named(key)}: unknown key, ignored")
    return Hypothesis(
        _name(one, "domain", where),
        _name(one, "intent", where),
        one.get("domain_confidence"),
        one.get("intent_confidence"),
        read_slots(one.get("slots"), where, utterance, notice),
        one.get("slots_confidence"),
        text_or_number(one, "skill", notice, f"{where}."),
        _features(one.get("features"), f"{where}.features"),
    )


def _name(one: Mapping[str, Any], field: str, where: str) -> str:
    if field not in one:
        raise InputError(f"{where}: lacks the field {field}")
    value = one[field]
    if isinstance(value, str) and 1 <= len(value) <= _LONGEST:
        return value
    raise InputError(f"{where}.{field}: {short(value)} is invalid, expected a text of 1 to {_LONGEST} characters")


def _features(found: Any, where: str) -> dict[str, float]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"{where}: {short(found)} is invalid, expected an object of numbers")
    features = {}
    for key, value in found.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{where}.{named(key)}: {short(value)} is invalid, expected a finite number")
        if not -_MOST <= value <= _MOST:  # an integer may be too large for a float
            raise InputError(f"{where}.{named(key)}: {short(value)} is out of range, expected a finite number")
        features[key] = float(value)
    return features


def read_slots(found: Any, where: str, utterance: str, notice: Notice) -> tuple[Slot, ...]:
    """The slots of a hypothesis or a truth; one without a value is left out. Raises `InputError`."""
    where = f"{where}.slots" if where else "slots"
    if found is None:
        return ()
    if not isinstance(found, list):
        raise InputError(f"{where}: {short(found)} is invalid, expected a list of objects with name and value")
    slots = (_slot(one, f"{where}[{i}]", utterance, notice) for i, one in enumerate(found))
    return tuple(slot for slot in slots if slot is not None)


def _slot(one: Any, where: str, utterance: str, notice: Notice) -> Slot | None:
    if not isinstance(one, dict):
        raise InputError(f"{where}: {short(one)} is invalid, expected an object")
    for key in one.keys() - _SLOT:
        if meant := meant_in_slot(key, one):
            raise InputError(f"{where}.{named(key)}: unknown key, expected {meant}")
        notice(f"slots[].{key}", f"{where}.{named(key)}: unknown key, ignored")
    name, value, resolved = _name(one, "name", where), one.get("value"), one.get("resolved")
    if "value" not in one and resolved is None:
        raise InputError(f"{where}: lacks the field value")
    start, end = _read_offsets(one, where, notice)
    if isinstance(value, dict | list):
        notice("slots[].value as resolved", f"{where}.value: {'an object' if isinstance(value, dict) else 'a list'}, "
               "read as resolved; expected the words")  # fmt: skip
        value, resolved = None, value if resolved is None else resolved
    if value is None:
        if resolved is None:
            notice("slots[].value null", f"{where}.value: null, so the slot counts as absent")
            return None
        value = utterance[start:end] if start is not None and end is not None else ""
    elif not isinstance(value, str):
        if (text := _as_text(value)) is None:
            raise InputError(f"{where}.value: {short(value)} is invalid, expected a text")
        kind = "true or false" if isinstance(value, bool) else "a number"
        notice("slots[].value as number", f"{where}.value: {kind}, read as a text; expected the words")
        value = text
    return Slot(name, value, one.get("confidence"), start, end, resolved)


def _read_offsets(one: Mapping[str, Any], where: str, notice: Notice) -> tuple[int | None, int | None]:
    """The start and the end of a slot; neither where one of them is invalid, as the other says nothing alone."""
    start, end = one.get("start"), one.get("end")
    for field, value in (("start", start), ("end", end)):
        if value is not None and _offset(value) is None:
            notice("offsets invalid", f"{where}.{field}: invalid, and the slot's offsets left out; expected a number "
                   "of characters")  # fmt: skip
            return None, None
    return _offset(start), _offset(end)


# ---------------------------------------------------------------------------------------------------------- wordings


def _wordings(found: list[Any], notice: Notice) -> tuple[Wording, ...]:
    if len(found) > MAX_WORDINGS:
        raise InputError(f"utterances: {len(found)} of them, expected at most {MAX_WORDINGS}")
    wordings = (_wording(one, f"utterances[{i}]", notice) for i, one in enumerate(found))
    return tuple(one for one in wordings if one is not None)


def _wording(one: Any, where: str, notice: Notice) -> Wording | None:
    if one is None:
        return None
    if isinstance(one, str):
        one = {"text": one}
    if not isinstance(one, dict) or not isinstance(one.get("text"), str):
        raise InputError(f"{where}: {short(one)} is invalid, expected an object with text and confidence")
    for key in one.keys() - _WORDING:
        if meant_in_slot(key, {**one, "name": "", "value": "", "resolved": ""}) == "confidence":
            raise InputError(f"{where}.{named(key)}: unknown key, expected confidence")
        notice(f"utterances[].{key}", f"{where}.{named(key)}: unknown key, ignored")
    confidence = one.get("confidence")
    if confidence is not None and (
        isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0.0 <= confidence <= 1.0
    ):
        notice("utterances[].confidence", f"{where}.confidence: invalid and left out, expected a number in [0, 1]")
        confidence = None
    return Wording(one["text"], None if confidence is None else float(confidence))
