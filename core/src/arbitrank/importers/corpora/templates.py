"""Templates of other systems, written as patterns of `arbitrank.nlu.patterns`.

Most systems share one notation: `(a|b)` chooses, `[a]` may be left out, `{slot}` is a place. Home Assistant adds
`<rule>`, `(a;b)` for any order, and `{list:slot}`. Characters that are signs in our notation and not in theirs become
places that draw one character without a label, `{=character_28}`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from arbitrank.errors import InputError
from arbitrank.importers.corpora.items import ListValue

__all__ = [
    "Notation",
    "characters",
    "literal",
    "number_of_texts",
    "pattern_of",
    "place",
    "plain_name",
    "sources",
    "wordings",
]

_SIGNS = frozenset("()[]{}|")
_PLACE = re.compile(r"\{([\w.-]*)(?:=([\w.-]+))?\}")
_Branches: TypeAlias = "list[list[str | _Branches]]"
_MANY = 1_000_000  # texts that are counted at most
_ORDERS = 5  # parts that are written out in any order, at most

MAX_PATTERN = 50_000
"""Characters of a pattern at most, rules included."""

MAX_DEPTH = 50
"""Brackets within brackets at most."""


@dataclass(frozen=True)
class Notation:
    """The notation of a system's templates: the signs that it has, and a function that makes a place of `{…}`.

    `rules` are templates by name, for `<name>`. `orders`: `;` separates parts that come in any order.
    """

    place: Callable[[str], str]
    brackets: bool = True
    optional: bool = True
    orders: bool = False
    escapes: bool = False
    rules: Mapping[str, str] | None = field(default=None)


def plain_name(name: str) -> str:
    """The name as patterns can have it: letters, digits, `_`, `-` and `.`; others become `_`."""
    return re.sub(r"[^\w.-]", "_", name.strip())[:200]


def place(slot: str, source: str) -> str:
    """A place of a pattern that draws a value of a source and labels it as a slot."""
    slot, source = plain_name(slot), plain_name(source)
    return f"{{{slot}}}" if slot == source else f"{{{slot}={source}}}"


def literal(text: str) -> str:
    """A text as a pattern that yields it; of white space, one space."""
    text = "".join(_character(c) if c in _SIGNS else c for c in " ".join(text.split()))
    return _without_weight(text)


def _without_weight(text: str) -> str:
    """The text with what would be read as a weight drawn as a character: × after a blank, `x 3`, `* 3` at the end."""
    text = re.sub(r"(?<= )×", _character("×"), text)
    return re.sub(r"(?<= )[x*](?= ?\d+$)", lambda found: _character(found[0]), text)


def characters(pattern: str) -> Iterator[ListValue]:
    """The lists of the single characters that a pattern draws."""
    for code in set(re.findall(r"\{=character_([0-9a-f]+)\}", pattern)):
        yield ListValue(f"character_{code}", chr(int(code, 16)))


def sources(pattern: str) -> set[str]:
    """The names of the sources that a pattern draws from."""
    return {match[2] or match[1] for match in _PLACE.finditer(pattern)}


def pattern_of(template: str, notation: Notation) -> str:
    """A template as a pattern. Raises `InputError` where a bracket is not closed, a rule is not known, or the pattern
    would be endless or too long."""
    branches = _Parser(template, notation, ()).branches()
    text = " ".join((f"({'|'.join(branches)})" if len(branches) > 1 else branches[0]).split())
    return _without_weight(text)


def wordings(pattern: str, most: int) -> tuple[list[str], bool]:
    """The texts that a pattern without places yields, each once; True where these are all, and not the first `most`."""
    found = _texts(_parsed(pattern), most + 1)
    words = dict.fromkeys(" ".join(_PLACE.sub(_drawn_character, text).split()) for text in found[:most])
    return [text for text in words if text], len(found) <= most


def number_of_texts(pattern: str, sizes: Mapping[str, int]) -> int:
    """The number of texts that a pattern yields, equal ones counted each, by the sizes of its sources."""

    def number(branches: _Branches) -> int:
        return sum(math.prod(map(of_part, branch)) for branch in branches)

    def of_part(part: str | _Branches) -> int:
        if not isinstance(part, str):
            return min(number(part), _MANY)
        return math.prod(sizes.get(match[2] or match[1], 1) for match in _PLACE.finditer(part))

    return min(number(_parsed(pattern)), _MANY)


def _parsed(pattern: str) -> _Branches:
    """The alternatives of a pattern; what may be left out has the empty one as its last."""
    stack: list[_Branches] = [[[]]]
    for piece in re.findall(r"[()\[\]|]|[^()\[\]|]+", pattern):
        if piece in "([":
            stack.append([[]])
        elif piece in ")]" and len(stack) > 1:
            branches = stack.pop()
            stack[-1][-1].append(branches if piece == ")" else [*branches, []])
        elif piece == "|":
            stack[-1].append([])
        else:
            stack[-1][-1].append(piece)
    return stack[0]


def _texts(branches: _Branches, most: int) -> list[str]:
    """The first texts of alternatives, each once."""
    found: dict[str, None] = {}
    for branch in branches:
        texts = [""]
        for part in branch:
            choices = [part] if isinstance(part, str) else _texts(part, most)
            texts = list(dict.fromkeys(itertools.islice((t + c for t in texts for c in choices), most)))
        found |= dict.fromkeys(texts)
        if len(found) >= most:
            break
    return list(found)[:most]


def _drawn_character(match: re.Match[str]) -> str:
    code = (match[2] or "").removeprefix("character_")
    return chr(int(code, 16)) if code != match[2] and re.fullmatch("[0-9a-f]{1,5}", code) else match[0]


def _character(c: str) -> str:
    return f"{{=character_{ord(c):x}}}"


class _Parser:
    """A recursive-descent parser of one template; `within` are the rules that it is part of."""

    def __init__(self, text: str, notation: Notation, within: Sequence[str]) -> None:
        self._text, self._notation, self._within = text, notation, within
        self._at = 0
        self._depth = 0

    def branches(self, closing: str = "") -> list[str]:
        """The alternatives up to the closing bracket, or to the end where that is empty."""
        done: list[str] = []
        parts: list[str] = []
        branch, size = "", 0
        while self._at < len(self._text):
            c = self._text[self._at]
            self._at += 1
            if c == closing:
                return [*done, *self._orders(parts, branch)]
            if c == "|" and self._notation.brackets:
                done += self._orders(parts, branch)
                parts, branch = [], ""
            elif c == ";" and self._notation.orders and closing:
                parts.append(branch)
                branch = ""
            else:
                piece = self._one(c)
                branch += piece
                size += len(piece)
            if size > MAX_PATTERN:
                raise InputError(f"longer than {MAX_PATTERN:,} characters with its rules")
        if closing:
            raise InputError(f"a bracket is not closed, expected {closing}")
        return [*done, branch]

    def _orders(self, parts: list[str], branch: str) -> list[str]:
        if len(parts) >= _ORDERS:
            raise InputError(f"{len(parts) + 1} parts in any order, expected at most {_ORDERS}")
        return [" ".join(order) for order in itertools.permutations([*parts, branch])]

    def _one(self, c: str) -> str:
        notation = self._notation
        if c == "\\" and notation.escapes and self._at < len(self._text):
            self._at += 1
            return literal(self._text[self._at - 1]) or self._text[self._at - 1]
        if c in "([" and (notation.brackets if c == "(" else notation.optional):
            return self._bracket(c)
        if c == "{":
            return self._place()
        if c == "<" and notation.rules is not None:
            return self._rule(notation.rules)
        if c in ")]}" and (c == "}" or notation.brackets):
            raise InputError(f"{c} closes no bracket")
        return _character(c) if c in _SIGNS else c

    def _bracket(self, c: str) -> str:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InputError(f"more than {MAX_DEPTH} brackets within brackets")
        branches = self.branches(")" if c == "(" else "]")
        self._depth -= 1
        inner = "|".join(branches)
        return f"({inner})" if c == "(" else f"[({inner})]" if len(branches) > 1 else f"[{inner}]"

    def _place(self) -> str:
        double = self._text.startswith("{", self._at)
        end = self._text.find("}}" if double else "}", self._at)
        if end < 0:
            raise InputError("a brace is not closed, expected }")
        name = self._text[self._at + double : end].strip()
        self._at = end + 1 + double
        if not name or set(name) & _SIGNS - {"|"}:
            raise InputError(f"{{{name}}} names no slot")
        return self._notation.place(name)

    def _rule(self, rules: Mapping[str, str]) -> str:
        end = self._text.find(">", self._at)
        name = self._text[self._at : end].strip()
        if end < 0 or name not in rules:
            raise InputError(f"the rule <{name[:80]}> is not known" if end >= 0 else "a rule's name is not closed by >")
        if name in self._within:
            raise InputError(f"the rule <{name}> is part of itself")
        self._at = end + 1
        parser = _Parser(rules[name], self._notation, (*self._within, name))
        parser._depth = self._depth + 1
        if parser._depth > MAX_DEPTH:
            raise InputError(f"more than {MAX_DEPTH} brackets and rules within each other")
        branches = parser.branches()
        return f"({'|'.join(branches)})" if len(branches) > 1 else branches[0]
