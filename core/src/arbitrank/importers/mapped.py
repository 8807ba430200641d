"""Any payload, by a mapping file that tells where it has what.

    scale = "0..100"
    none = ["fallback"]

    [reading]
    utterance = "request.text"
    each = "result.candidates"             # a list, or an object: then @key is the name of each, @value what it holds
    domain = "skill"                       # inside each; "=lights" is the text lights itself
    intent = "action.name"
    domain_confidence = "score"

    [reading.slots]
    each = "params"
    name = "@key"
    value = "@value.words"

    [reading.features]
    margin = "scores[1]"

    [reading.context]
    locale = "request.language"

A path is names with dots between, `[N]` for an entry of a list, and "…" around a name that has other signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.options import ImportOptions, stated
from arbitrank.importers.readings import request_of, score, slot_at, slots_of
from arbitrank.values import Hypothesis, Request, Slot
from arbitrank.wire.json_text import short
from arbitrank.wire.lenient import text_or_number
from arbitrank.wire.notices import unnoticed

_STEP = re.compile(r'\.?(?:\[(\d{1,9})\]|"([^"]*)"|([^.\[\]"]+))')
_SPLIT = "."


class SlotPaths(msgspec.Struct, frozen=True):
    """Paths of slots: of the list or object of them, and inside each."""

    each: str
    name: str = "name"
    value: str = "value"
    start: str | None = None
    end: str | None = None
    length: str | None = None
    confidence: str | None = None
    resolved: str | None = None


class ReadingPaths(msgspec.Struct, frozen=True):
    """Paths of a payload: of its text, of the list or object of readings, and inside each."""

    intent: str
    each: str = ""
    utterance: str | None = None
    id: str | None = None
    domain: str | None = None
    skill: str | None = None
    domain_confidence: str | None = None
    intent_confidence: str | None = None
    slots_confidence: str | None = None
    slots: SlotPaths | None = None
    features: dict[str, str] = {}
    context: dict[str, str] = {}


def mapped(payload: Any, options: ImportOptions) -> Request:
    """The request that the mapping makes of a payload."""
    if not options.reading:
        raise InputError("no [reading], expected one in the file of --map, which tells where the payload has what")
    paths = stated(options.reading, ReadingPaths, "--map: reading.")
    if isinstance(slots := options.reading.get("slots"), dict):
        stated(slots, SlotPaths, "--map: reading.slots.")
    text = _text(payload, paths.utterance, "")
    text = options.utterance if text is None else text
    readings = []
    for one, where in _entries(payload, paths.each, ""):
        intent = _text(one, paths.intent, where)
        if not intent or options.is_none(intent):
            continue
        domain = _text(one, paths.domain, where)
        if domain is not None and options.is_none(domain):
            continue
        target = options.moved(None, intent) if domain is None else options.target(domain, intent)
        readings.append(_reading(one, where, paths, target, text, options))
    context = {key: found for key, path in paths.context.items() if (found := _at(payload, path)) is not None}
    request = request_of(text, readings, options, context)
    return msgspec.structs.replace(request, id=_text(payload, paths.id, ""))


def _reading(
    one: Any, where: str, paths: ReadingPaths, target: tuple[str, str], text: str | None, options: ImportOptions
) -> Hypothesis:
    features = {}
    for name, path in paths.features.items():
        value = _at(one, path)
        if isinstance(value, bool):
            value = float(value)
        if value is None:
            continue
        if not isinstance(value, int | float) or not -1e300 < value < 1e300:
            raise InputError(f"{_joined(where, path)}: {short(value)} is invalid, expected a finite number")
        features[name] = float(value)
    return Hypothesis(
        *target,
        _score(one, where, paths, "domain_confidence", options),
        _score(one, where, paths, "intent_confidence", options),
        tuple(_slots(one, where, paths.slots, text, options)) if paths.slots else (),
        _score(one, where, paths, "slots_confidence", options),
        _text(one, paths.skill, where),
        features,
    )


def _score(one: Any, where: str, paths: ReadingPaths, field: str, options: ImportOptions) -> float | None:
    path = getattr(paths, field)
    return None if path is None else score(_at(one, path), _joined(where, path), options.scale(field))


def _slots(one: Any, where: str, paths: SlotPaths, text: str | None, options: ImportOptions) -> Iterator[Slot]:
    for each, at in _entries(one, paths.each, where):
        name = _text(each, paths.name, at)
        value = _at(each, paths.value)
        if name is None or value is None:
            continue
        confidence = None
        if paths.confidence is not None:
            confidence = score(
                _at(each, paths.confidence), _joined(at, paths.confidence), options.scale("slots_confidence")
            )
        start, end = _offset(each, paths.start, at), _offset(each, paths.end, at)
        if end is None and start is not None and (length := _offset(each, paths.length, at)) is not None:
            end = start + length
        resolved = None if paths.resolved is None else _at(each, paths.resolved)
        if start is None or end is None:
            for slot in slots_of(name, value, None, text):
                yield msgspec.structs.replace(slot, confidence=confidence, resolved=resolved or slot.resolved)
            continue
        words = value if isinstance(value, str) else None
        made = slot_at(
            name,
            text,
            (start, end),
            words=words,
            value=resolved if words is not None else value,
            confidence=confidence,
            units=("characters", "utf16"),
            options=options,
        )
        if made is not None:
            yield made


def _offset(one: Any, path: str | None, where: str) -> int | None:
    value = None if path is None else _at(one, path)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0 or value % 1:
        raise InputError(f"{_joined(where, path or '')}: {short(value)} is invalid, expected a number of characters")
    return int(value)


def _entries(value: Any, path: str, where: str) -> Iterator[tuple[Any, str]]:
    """The entries of the list or object at a path; without a path the value itself."""
    if not path:
        yield value, where
        return
    found, at = _at(value, path), _joined(where, path)
    if isinstance(found, list):
        for i, one in enumerate(found):
            yield one, f"{at}[{i}]"
    elif isinstance(found, dict):
        for key, one in found.items():
            yield _Entry(key, one), f"{at}[{key!r}]"
    elif found is not None:
        raise InputError(f"{at}: {short(found)} is invalid, expected a list or an object")


class _Entry(dict[str, Any]):
    """An entry of an object: what it holds, where that is an object, with its name as `@key` and all as `@value`."""

    def __init__(self, key: str, value: Any) -> None:
        super().__init__(value if isinstance(value, dict) else {})
        self.update({"@key": key, "@value": value})


def _text(value: Any, path: str | None, where: str) -> str | None:
    if path is None:
        return None
    if path.startswith("="):
        return path[1:]
    found = _at(value, path)
    try:
        return text_or_number({"": found}, "", unnoticed)
    except InputError:
        raise InputError(f"{_joined(where, path)}: {short(found)} is invalid, expected a text") from None


def _at(value: Any, path: str) -> Any:
    """The value at a path, None where there is none."""
    for step in _steps(path):
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


@lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[str | int, ...]:
    """The steps of a path. Raises `InputError` where it is none."""
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None:
            raise InputError(
                f"--map: path {short(path)}: unreadable from {short(path[position:])}, expected NAME.NAME[N]"
            )
        index, quoted, name = found.groups()
        steps.append(int(index) if index is not None else name if quoted is None else quoted)
        position = found.end()
    return tuple(steps)


def _joined(where: str, path: str) -> str:
    return f"{where}.{path}" if where else path
