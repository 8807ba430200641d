"""Patterns of labelled utterances: the values of slots become places, equal patterns are counted, near ones joined."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from arbitrank.errors import InputError
from arbitrank.importers.corpora.items import ListValue
from arbitrank.importers.corpora.templates import characters, literal, place, plain_name
from arbitrank.values import Slot

__all__ = ["Delexicalised", "delexicalised", "joined", "list_values"]

_FIRST = 0xE000  # of the private characters that hold the places while the rest is written as a pattern
_LAST = 0xF8FF
_ALIKE = 3  # patterns are joined where one is at most so many times as frequent as the other


class Delexicalised(NamedTuple):
    """The pattern of an utterance, and the values of the lists that the pattern draws from."""

    pattern: str
    values: tuple[ListValue, ...]


def delexicalised(text: str, slots: Sequence[Slot], owner: str | None = None) -> Delexicalised:
    """The utterance with a place for each slot's value, in the language of `arbitrank.nlu.patterns`.

    Signs of that language stay characters. Places of another `owner` are without a label, their lists `OWNER.SLOT`.
    Raises `InputError` where a value is not in the text, or two overlap.
    """
    if any(_FIRST <= ord(c) <= _LAST for c in text):
        raise InputError("has private-use characters")
    spans = sorted((*_span(text, slot), slot) for slot in slots)
    values: list[ListValue] = []
    found, end = "", 0
    for i, (start, stop, slot) in enumerate(spans):
        if start < end:
            raise InputError(f"slot {slot.name} overlaps another one")
        found += text[end:start] + chr(_FIRST + i)
        end = stop
        values.append(ListValue(_list(slot, owner), " ".join(text[start:stop].split()), slot.resolved))
    pattern = literal(found + text[end:])
    values += characters(pattern)
    for i, (*_, slot) in enumerate(spans):
        drawn = place(slot.name, slot.name) if owner is None else f"{{={_list(slot, owner)}}}"
        pattern = pattern.replace(chr(_FIRST + i), drawn)
    return Delexicalised(pattern, tuple(values))


def _list(slot: Slot, owner: str | None) -> str:
    return plain_name(slot.name if owner is None else f"{owner}.{slot.name}")


def _span(text: str, slot: Slot) -> tuple[int, int]:
    """The offsets of a slot's value: those that it states, else of the only place where the text has it."""
    if slot.start is not None and slot.end is not None:
        return slot.start, slot.end
    folded, value = text.casefold(), slot.value.casefold()
    if len(folded) != len(text) or not value.strip() or folded.count(value) != 1:
        raise InputError(f"the value of slot {slot.name} is not found once in the text")
    return folded.index(value), folded.index(value) + len(value)


def joined(counts: Mapping[str, int]) -> dict[str, int]:
    """The patterns with those joined that differ in one word: `(a|b) c`, or `[a] c` where one lacks the word.

    The joined pattern yields what its parts yield, and has the sum of their counts. Only patterns of like counts are
    joined, as each word of a choice is drawn equally often.
    """
    rest = {tuple(pattern.split(" ")): n for pattern, n in counts.items()}
    alike: defaultdict[tuple[int, tuple[str, ...]], list[tuple[str, ...]]] = defaultdict(list)
    for words in rest:
        for i, word in enumerate(words):
            if len(words) > 1 and _plain(word):
                alike[i, (*words[:i], *words[i + 1 :])].append(words)
    found: dict[str, int] = {}
    for (i, others), near in sorted(alike.items(), key=lambda item: (-len(item[1]), item[0])):
        members = _of_like_counts([words for words in near if words in rest], rest)
        bare = others if others in rest and members and _like(rest[others], rest[members[0]]) else None
        if len(members) + (bare is not None) < 2:
            continue
        choice = "|".join(words[i] for words in members)
        part = f"[{choice}]" if bare and len(members) == 1 else f"[({choice})]" if bare else f"({choice})"
        pattern = " ".join((*others[:i], part, *others[i:]))
        found[pattern] = sum(rest.pop(words) for words in members) + (rest.pop(bare) if bare else 0)
    found |= {" ".join(words): n for words, n in rest.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _plain(word: str) -> bool:
    return not set(word) & set("{}×")


def _like(a: int, b: int) -> bool:
    return max(a, b) <= _ALIKE * min(a, b)


def _of_like_counts(members: list[tuple[str, ...]], counts: Mapping[tuple[str, ...], int]) -> list[tuple[str, ...]]:
    """The most frequent of the patterns and those of like counts."""
    if not members:
        return []
    most = max(counts[words] for words in members)
    return sorted(words for words in members if _like(counts[words], most))


def list_values(values: Sequence[ListValue]) -> dict[str, list[Any]]:
    """The lists by name as `lists.toml` has them: each value once, the commonest first."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    resolved: dict[tuple[str, str], Any] = {}
    for one in values:
        if one.value:
            counted[one.list][one.value] += 1
            if one.resolved not in (None, one.value):
                resolved.setdefault((one.list, one.value), one.resolved)
    return {
        name: [_entry(value, resolved.get((name, value))) for value, _ in counter.most_common()]
        for name, counter in sorted(counted.items())
    }


def _entry(value: str, resolved: Any) -> Any:
    return value if resolved is None else {"value": value, "resolved": resolved}
