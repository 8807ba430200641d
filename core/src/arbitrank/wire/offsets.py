"""Offsets of slots in a text: characters, and UTF-16 code units as JavaScript, Java and C# count them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from arbitrank.values import Hypothesis, Slot
from arbitrank.wire.notices import Notice

__all__ = ["Offsets", "cut", "fitting", "in_characters", "misfit"]

Offsets = Literal["characters", "utf16"]
"""The unit of offsets: characters (code points), or UTF-16 code units, of which an emoji has two."""

_REMEDY = "its offsets fit as UTF-16 code units"


def cut(text: str, start: int, end: int) -> str | None:
    """The part of a text between offsets in UTF-16 code units; None where they split a character or exceed it."""
    return _cut(_units(text), start, end)


def _units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def _cut(units: bytes, start: int, end: int) -> str | None:
    if not 0 <= start <= end <= len(units) // 2:
        return None
    try:
        return units[2 * start : 2 * end].decode("utf-16-le")
    except UnicodeDecodeError:
        return None


def in_characters(text: str, slot: Slot) -> Slot:
    """The slot with its offsets, in UTF-16 code units, as characters; as it is where they are no such offsets."""
    if slot.start is None or slot.end is None or text.isascii():
        return slot
    found = cut(text, slot.start, slot.end)
    before = cut(text, 0, slot.start)
    if found is None or before is None:
        return slot
    return replace(slot, start=len(before), end=len(before) + len(found))


def misfit(text: str, slot: Slot, unit: Offsets) -> str | None:
    """The reason why a slot's offsets, in characters, do not cut its value from the text; None where they do."""
    if slot.start is None or slot.end is None or (seen := text[slot.start : slot.end]) == slot.value:
        return None
    problem = f"text[{slot.start}:{slot.end}] is {seen!r}, expected its value {slot.value!r}"
    if unit == "characters" and cut(text, slot.start, slot.end) == slot.value:
        return f"{problem}; {_REMEDY}, which `evaluate` and `train` read with --offsets utf16"
    return problem


def fitting(
    hypotheses: tuple[Hypothesis, ...], text: str | None, length: int | None, notice: Notice
) -> tuple[Hypothesis, ...]:
    """The hypotheses without offsets that exceed a text of this length (None: unknown) or are in reverse."""
    most = (1 << 31) + 1 if length is None else length
    units = b"" if text is None or text.isascii() or max(text) <= "\uffff" else _units(text)
    for hypothesis in hypotheses:
        for slot in hypothesis.slots:
            if slot.start is None and slot.end is None:
                continue
            if not _within(slot, most):
                return tuple(_fitted(one, most, text or "", units, notice) for one in hypotheses)
            if units:
                _remark(text or "", units, slot, notice)
    return hypotheses


def _within(slot: Slot, most: int) -> bool:
    return (slot.start or 0) <= (most if slot.end is None else slot.end) <= most


def _fitted(hypothesis: Hypothesis, most: int, text: str, units: bytes, notice: Notice) -> Hypothesis:
    slots: Sequence[Slot] = hypothesis.slots
    if all(_within(slot, most) for slot in slots):
        return hypothesis
    for slot in slots:
        _remark(text, units, slot, notice)
    notice("offsets beyond the text", "a slot's offsets are beyond the text or in reverse, and left out; expected "
           "0 <= start <= end <= the number of characters")  # fmt: skip
    fitted = (slot if _within(slot, most) else replace(slot, start=None, end=None) for slot in slots)
    return replace(hypothesis, slots=tuple(fitted))


def _remark(text: str, units: bytes, slot: Slot, notice: Notice) -> None:
    """Remark on offsets that cut a slot's value from the text's code units alone, which are none of a narrow text."""
    start, end, value = slot.start, slot.end, slot.value
    if start is None or end is None or not 0 < end - start <= 2 * len(value):
        return  # no character has more than two units; this also bounds the cost by the values' lengths
    if text[start:end] != value and _cut(units, start, end) == value:
        notice(
            "offsets as UTF-16", f"a slot's offsets do not cut its value from the text; {_REMEDY}, expected characters"
        )
