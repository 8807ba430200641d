"""Offsets in text elements, as .NET counts them: an accent or a joined emoji belongs to the character before.

An approximation of Unicode's grapheme clusters (UAX 29) without Hangul's jamo.
"""

from __future__ import annotations

import unicodedata

__all__ = ["in_characters"]

_JOINER = "\u200d"


def in_characters(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Offsets in text elements as offsets in characters; None where the text has fewer elements."""
    starts = [i for i in range(len(text)) if _begins(text, i)]
    starts.append(len(text))
    return (starts[start], starts[end]) if 0 <= start <= end < len(starts) else None


def _begins(text: str, i: int) -> bool:
    """True where a new element begins at a character."""
    c = text[i]
    if i == 0:
        return True
    if unicodedata.category(c) in ("Mn", "Me", "Mc") or c in "\u200c\u200d" or "\U0001f3fb" <= c <= "\U0001f3ff":
        return False
    if "\U000e0020" <= c <= "\U000e007f" or text[i - 1] == _JOINER or text[i - 1 : i + 1] == "\r\n":
        return False
    flags = 0  # pairs of regional indicators are flags
    while flags <= i and "\U0001f1e6" <= text[i - flags] <= "\U0001f1ff":
        flags += 1
    return flags == 0 or flags % 2 == 1
