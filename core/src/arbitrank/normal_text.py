"""Texts as a reader sees them: one form of accents (NFC), no invisible characters, plain spaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from unicodedata import combining, is_normalized, normalize

__all__ = ["BLANK", "INVISIBLE", "SPACE", "blank", "comparable", "composed", "printable", "visible_length"]

INVISIBLE = "\u00ad\u061c\u200c-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
"""Characters without a shape, which join, direct or style others, as ranges of a regular expression."""

SPACE = "\u200b"
"""The space of no width, which parts words as a space does."""

_FILLERS = "\\x00-\\x1f\\x7f-\\x9f\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufff0-\ufffb"

BLANK = f"{_FILLERS}{INVISIBLE}{SPACE}\U000e0000-\U000e0fff"
"""Characters that show nothing, white space aside, as ranges of a regular expression."""

_SEEN = re.compile(f"[^\\s{BLANK}]")

# Marks are sorted in quadratic time, so a long text is normalised piece by piece: before white space where there is
# some, and not before a mark or a letter that may join the one before.
_PIECE, _MARKS = 500, 30
_PIECES = re.compile(rf"(?s).{{1,{_PIECE}}}(?!\S)|.{{1,{_PIECE}}}(?![\u0300-\u036f\u1160-\u11ff])|.{{1,{_PIECE}}}")

_SHORT, _TEXTS = 100, 1024
"""Characters of a text that is remembered, and their number: all readings of a request have the same few values."""

_RANGES = (
    *(range(0x200C, 0x2010), range(0x202A, 0x202F), range(0x2060, 0x2065), range(0x2066, 0x2070)),
    *(range(0xFE00, 0xFE10), (0xAD, 0x61C, 0xFEFF)),
)
_SHOWN: dict[int, str | None] = {**{code: None for codes in _RANGES for code in codes}, ord(SPACE): " "}


def blank(text: str) -> bool:
    """True where nothing of the text is seen."""
    return not _SEEN.search(text)


def printable(text: str) -> str:
    """The text on one line, control characters replaced."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))


def comparable(text: str) -> str:
    """The text for comparison with another: casefolded, in NFC, without invisible characters, blanks as one space."""
    return _remembered(text) if len(text) <= _SHORT else _comparable(text)


def _comparable(text: str) -> str:
    if not text.isascii():
        text = _nfc(text.translate(_SHOWN))
    return " ".join(text.split()).casefold()


_remembered = lru_cache(_TEXTS)(_comparable)


def visible_length(text: str) -> int:
    """The number of characters that the text has in NFC, invisible ones aside."""
    return len(text) if text.isascii() else len(_nfc(text.translate(_SHOWN)))


def composed(text: str) -> tuple[str, Sequence[int] | None]:
    """The text in NFC, and the offset in `text` of each of its characters and of its end; None where they are equal."""
    if text.isascii() or is_normalized("NFC", text):
        return text, None
    pieces, offsets = [], list[int]()
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and end - start < _MARKS and _goes_on(text[start:end], text[end]):
            continue
        piece = normalize("NFC", text[start:end])
        pieces.append(piece)
        offsets += range(start, end) if len(piece) == end - start else [start] * len(piece)
        start = end
    return "".join(pieces), (*offsets, len(text))


def _nfc(text: str) -> str:
    if len(text) <= _PIECE:
        return normalize("NFC", text)
    return "".join(normalize("NFC", piece) for piece in _PIECES.findall(text))


def _goes_on(piece: str, character: str) -> bool:
    """True where a character belongs to the piece before it: as a mark, or since the two make one character."""
    apart = normalize("NFC", piece) + normalize("NFC", character)
    return bool(combining(character)) or normalize("NFC", piece + character) != apart
