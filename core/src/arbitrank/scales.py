"""Scales of scores: how a domain's confidences, as its recogniser gives them, are read as numbers in [0, 1].

A scale is stated by a short text and is never guessed:

    0..1                a probability; the default, the only scale on which texts are refused
    LOW..HIGH           a number from LOW (no confidence) to HIGH (certainty): 0..100, -1..1, 2..0
    percent             0..100, also as a text: "85%"
    text                0..1, also as a text: "0.85"
    cosine              -1..1
    logprob             the natural logarithm of a probability; log10 and log2 for other bases
    logit               log-odds: log(p / (1 - p))
    margin              any number, 0 in the middle: of a classifier, or of a search engine
    rank                1 is the best
    low,medium,high     words in order, the lowest first; two or more
    missing             says nothing, such as a score that is always 1; whatever it is, it is ignored

Each of them is monotone. `arbitrank.scores` reads hypotheses by them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

from arbitrank.errors import InputError

FIELDS = ("domain_confidence", "intent_confidence", "slots_confidence")
"""The fields of a hypothesis that have a scale; a slot's own `confidence` is on that of `slots_confidence`."""

DEFAULT = "0..1"
"""The scale of scores for which none is stated."""

_FAR = 12.0  # of logarithms and log-odds: beyond it their exponentials are clipped by re-rankers, and flattened here
_LEAST = 1e-6
_SHOWN = 60
_RANGE = re.compile(r"([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\.\.([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)", re.I)
_ALMOST_RANGE = re.compile(r"[\[(]?(-?\d+(?:\.\d+)?)(?:-|–|—|,|;|:|to|\.+|…)(-?\d+(?:\.\d+)?)[\])]?")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.I | re.A)  # linear: one way to match


@dataclass(frozen=True)
class Scale:
    """A parsed scale. Two are equal if they read numbers alike, whatever their `text` and whether they read texts.

    `read` maps a number to [0, 1], or beyond it where the number is not on the scale; `expected` describes those that
    are. `words` are those of a list of words, in lower case.
    """

    key: tuple[str | float, ...]
    text: str = field(compare=False)
    expected: str = field(compare=False)
    read: Callable[[float], float] = field(compare=False, repr=False)
    texts: bool = field(default=True, compare=False)
    words: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return self.text


Scales = Mapping[str, Scale]
"""The scales of one domain by field; those of fields that are not in it are 0..1."""

NO_SCALES: Scales = MappingProxyType({})


def _linear(low: float, high: float, x: float) -> float:
    return (x - low) / (high - low)


def _exponential(unit: float, x: float) -> float:
    """exp(unit · x), flattened far below 0, where a re-ranker would see one clipped probability for all."""
    z = unit * x
    if z >= -_FAR:
        return math.exp(min(z, 1.0))  # above 0 it is out of range
    return _LEAST + (math.exp(-_FAR) - _LEAST) / (1.0 - (z + _FAR) / _FAR)


def _logistic(x: float) -> float:
    small = _exponential(1.0, -abs(x))
    small = small / (1.0 + small)
    return small if x < 0.0 else 1.0 - small


def _softsign(x: float) -> float:
    # Its log-odds grow with the logarithm of x: unlike a logistic curve it tells 30 from 60.
    return 0.5 + 0.5 * (x / (1.0 + abs(x)))


def _inverse(x: float) -> float:
    return 1.0 / (1.0 + x) if x >= 1.0 else math.inf


def _unread(x: float) -> float:
    return math.nan  # words, and scores that say nothing, are no numbers


_NAMED: dict[str, tuple[tuple[str | float, ...], str, Callable[[float], float]]] = {
    "percent": (("range", 0.0, 100.0), "a number in [0, 100]", partial(_linear, 0.0, 100.0)),
    "text": (("range", 0.0, 1.0), "a number in [0, 1]", partial(_linear, 0.0, 1.0)),
    "cosine": (("range", -1.0, 1.0), "a number in [-1, 1]", partial(_linear, -1.0, 1.0)),
    "logprob": (("exp", 1.0), "a logarithm, at most 0", partial(_exponential, 1.0)),
    "log10": (("exp", math.log(10.0)), "a logarithm, at most 0", partial(_exponential, math.log(10.0))),
    "log2": (("exp", math.log(2.0)), "a logarithm, at most 0", partial(_exponential, math.log(2.0))),
    "logit": (("logit",), "a finite number", _logistic),
    "margin": (("margin",), "a finite number", _softsign),
    "rank": (("rank",), "a rank, 1 or more", _inverse),
    "missing": (("missing",), "anything", _unread),
}
_MEANT = {
    "%": "percent", "percentage": "percent", "percents": "percent", "pct": "percent",
    "probability": DEFAULT, "prob": DEFAULT, "p": DEFAULT, "default": DEFAULT, "unit": DEFAULT,
    "string": "text", "str": "text", "number": "text",
    "cos": "cosine", "cosinesimilarity": "cosine", "similarity": "cosine",
    "log": "logprob", "ln": "logprob", "logprobability": "logprob", "loglikelihood": "logprob", "logsoftmax": "logprob",
    "logits": "logit", "logodds": "logit",
    "score": "margin", "unbounded": "margin", "svm": "margin", "bm25": "margin", "real": "margin",
    "ranking": "rank", "position": "rank",
    "words": "low,medium,high", "labels": "low,medium,high", "levels": "low,medium,high",
    "none": "missing", "null": "missing", "ignore": "missing", "ignored": "missing", "constant": "missing",
}  # fmt: skip
_KNOWN = f"LOW..HIGH, {', '.join(_NAMED)}, or words as low,medium,high"


@lru_cache(maxsize=1024)
def scale(text: str) -> Scale:
    """The scale that a text states. Raises `InputError` where it is none, naming the nearest one."""
    name = "".join(text.split()).casefold()
    if name in _NAMED:
        key, expected, read = _NAMED[name]
        return Scale(key, name, expected, read)
    if found := _RANGE.fullmatch(name):
        low, high = (float(end) + 0.0 for end in found.groups())
        if low == high or not math.isfinite(high - low):
            raise InputError(f"scale {short(text)}: no range, expected two different numbers, as 0..100")
        shown = f"{_digits(low)}..{_digits(high)}"
        expected = f"a number in [{_digits(min(low, high))}, {_digits(max(low, high))}]"
        return Scale(("range", low, high), shown, expected, partial(_linear, low, high), shown != DEFAULT)
    meant = _meant(name)
    if "," in name and not meant:
        return _words(text)
    hint = f"; did you mean {meant}?" if meant else ""
    raise InputError(f"scale {short(text)}: unknown, expected {_KNOWN}{hint}")


def _meant(name: str) -> str | None:
    """The scale that an unknown name is likely to mean."""
    if found := _ALMOST_RANGE.fullmatch(name):
        return "..".join(found.groups())
    if _NUMBER.fullmatch(name):
        return f"0..{name}"
    plain = name.replace("-", "").replace("_", "")
    if plain in _MEANT:
        return _MEANT[plain]
    near = get_close_matches(plain, [*_NAMED, *_MEANT], n=1)
    return _MEANT.get(near[0], near[0]) if near else None


def _words(text: str) -> Scale:
    words = tuple(word_of(word) for word in text.split(","))
    if "" in words or len(set(words)) < len(words):
        raise InputError(f"scale {short(text)}: expected two or more different words, the lowest first")
    return Scale(("words", *words), ",".join(words), f"one of {', '.join(words)}", _unread, words=words)


def domain_scales(stated: Mapping[str, str]) -> Scales:
    """The scales of a domain that are stated by field. Raises `InputError` for an unknown field or scale."""
    for name, text in stated.items():
        checked_field(name)
        if not isinstance(text, str):
            raise InputError(f"scale of {name}: {short(text)} is invalid, expected a text, as 0..100")
    found = {name: scale(stated[name]) for name in FIELDS if name in stated}
    return MappingProxyType({name: one for name, one in found.items() if one.text != DEFAULT})


def checked_field(name: str) -> str:
    """The field of that name. Raises `InputError` where a hypothesis has no score of that name."""
    if name in FIELDS:
        return name
    near = get_close_matches(str(name), FIELDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"scale of {short(name)}: no such score, expected {', '.join(FIELDS)}{hint}")


def shown(scales: Scales) -> dict[str, str]:
    """The texts of scales by field, as an answer shows them."""
    return {name: one.text for name, one in scales.items()}


def recorded(scales: Scales, scored: Collection[str] = FIELDS) -> dict[str, str]:
    """The texts of the scales of the fields that had scores, as an artifact records them; none where all are 0..1."""
    texts = {name: one.text for name, one in scales.items() if one != scale(DEFAULT)}
    return {name: texts.get(name, DEFAULT) for name in FIELDS if name in (scored or FIELDS)} if texts else {}


def word_of(text: str) -> str:
    """A word of a list, without regard to case and outer blanks."""
    return " ".join(text.split()).casefold()


def number_in(text: str) -> float | None:
    """The finite number in a text; None where it is none."""
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None


def short(value: Any) -> str:
    """A value as JSON in one line, cut where it is long; the name of its type where it is not one of JSON's."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    text = " ".join(text.split()).encode(errors="replace").decode()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _digits(x: float) -> str:
    return str(int(x)) if x.is_integer() and abs(x) < 1e15 else repr(x)


def unused(scales: Mapping[str, Mapping[str, str]], domains: Collection[str]) -> Iterator[str]:
    """A remark on each domain that has a scale and is not among those there are."""
    for name in sorted(scales.keys() - set(domains)):
        near = get_close_matches(name, domains, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield f"a scale is stated for {name}, which is no domain here (there are: {', '.join(sorted(domains))}){hint}"
