"""Common values of the types that assistants have built in, and whose values their exports do not hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["in_words", "values_of"]

_NEUTRAL: dict[str, Sequence[str]] = {  # in figures, whatever the language
    r"percent": ("5%", "10%", "25%", "50%", "75%", "100%"),
    r"year": ("1999", "2010", "2024", "2025"),
    r"phone": ("555 0100", "020 7946 0018", "1-800-555-0199"),
    r"e ?mail": ("ann@example.com", "info@example.org"),
    r"url": ("example.com", "www.example.org"),
    r"number|cardinal|integer|digit": (
        "1", "2", "3", "4", "5", "7", "10", "12", "15", "20", "50", "100"),
}  # fmt: skip

_ENGLISH: dict[str, Sequence[str]] = {
    r"ordinal": ("first", "second", "third", "fourth", "fifth", "last"),
    r"duration|period": ("5 minutes", "ten minutes", "half an hour", "an hour", "2 hours", "three days", "a week"),
    r"temperature": ("20 degrees", "65 degrees", "18 celsius", "zero degrees"),
    r"currency|money|price": ("5 dollars", "ten euros", "20 pounds", "99 cents"),
    r"month": ("january", "march", "june", "september", "december"),
    r"day ?of ?week|weekday": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    r"date": ("today", "tomorrow", "on monday", "next friday", "this weekend", "may 5th", "the 21st of june"),
    r"time": ("at 7", "7 am", "half past nine", "noon", "8:30 pm", "tonight", "at midnight"),
    r"colou?r": ("red", "green", "blue", "yellow", "white", "black", "orange", "purple"),
    r"cit(y|ies)": ("london", "paris", "new york", "berlin", "tokyo", "san francisco", "madrid"),
    r"countr": ("france", "germany", "japan", "brazil", "india", "canada"),
    r"state|region": ("california", "texas", "bavaria", "ontario"),
    r"language": ("english", "french", "german", "spanish", "japanese"),
    r"(first|given) ?name|person|contact": ("anna", "ben", "maria", "john", "fatima", "wei"),
    r"last ?name": ("smith", "garcia", "kim", "müller"),
    r"address|street": ("12 main street", "5 church road", "221b baker street"),
    r"\bage\b": ("5 years old", "18", "forty", "two months"),
}

_PREFIX = re.compile(r"^@?(?:amazon|sys|snips|builtin|wit|duckling|prebuilt)[.$:/]", re.IGNORECASE)


def in_words(name: str) -> str:
    """The words that a list's name is made of, without the system's prefix: of `AMAZON.FirstName`, first name."""
    bare = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _PREFIX.sub("", name))
    return re.sub(r"[\W_]+", " ", bare).strip().lower() or name


def values_of(kind: str, english: bool) -> Sequence[str]:
    """Common values of a built-in type, as `AMAZON.DATE`, or of a list that is named like one; none of another."""
    name = in_words(kind)
    for table in (_NEUTRAL, _ENGLISH if english else {}):
        for pattern, values in table.items():
            if re.search(pattern, name):
                return values
    return ()
