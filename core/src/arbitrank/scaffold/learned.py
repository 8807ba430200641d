"""Learning of a new domain's data from a corpus: intents, slots, lists, patterns, contexts, and what was left out."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.corpora.items import ListValue
from arbitrank.importers.corpora.templates import number_of_texts
from arbitrank.learn.features import CORE_KEYS
from arbitrank.scaffold.delexicalised import delexicalised, joined, list_values
from arbitrank.values import Example
from arbitrank.wire.example_lines import example_line

__all__ = ["MOST", "LearnedData", "corpus_lines", "learned", "title_of"]

MOST = 4_000
"""Utterances that the patterns draw in all, and of a corpus that are not the domain's; of more, a share is taken."""

LONGEST = 200
"""Characters of an utterance at most."""

_LEAST = 20  # utterances that are drawn of an own intent, where its patterns and lists yield so many
_SHOWN = 3  # examples of a kind of what was left out
_FEW = 30  # requests that are not the domain's, below which common ones are added
_NEGATIVES = 100  # of common out-of-scope requests that are added at least
_KEY_VALUES = 50  # values of a context key at most

Section = tuple[str, str]
"""The kind of a section of `patterns.toml`, `own`, `others` or `none`, and its name."""


@dataclass
class LearnedData:
    """The content of `patterns.toml` and `lists.toml`, the intents, and context keys beside the core's.

    `phrases` are some of the domain's own utterances. `left_out`: by kind, the number and the first examples. `notes`:
    what a reader of the data should know. `few_others`: the corpus has hardly a request that is not the domain's.
    """

    patterns: dict[str, Any]
    lists: dict[str, list[Any]]
    intents: list[str]
    context_keys: list[str]
    phrases: list[str]
    left_out: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    few_others: bool = False
    notes: list[str] = field(default_factory=list)


class _LeftOut(dict[str, tuple[int, list[str]]]):
    def add(self, kind: str, example: str) -> None:
        n, shown = self.get(kind, (0, []))
        self[kind] = (n + 1, [*shown, example] if n < _SHOWN else shown)


def learned(
    examples: Sequence[Example],
    name: str,
    negatives: Mapping[str, Any],
    patterns: Mapping[str, Any] | None = None,
    lists: Mapping[str, Sequence[Any]] | None = None,
) -> LearnedData:
    """The data of the domain `name` that a corpus gives: its own requests, those of others, and out-of-scope ones.

    `patterns` and `lists` are of the source, where that has templates. `negatives` are `patterns` and `lists` that are
    taken where the corpus has no request that is not the domain's. Raises `InputError` where none is the domain's.
    """
    left = _LeftOut()
    texts: defaultdict[Section, Counter[str]] = defaultdict(Counter)
    counts: defaultdict[Section, Counter[str]] = defaultdict(Counter)
    values: list[ListValue] = []
    for section, example in _sections(examples, name, left):
        text = " ".join((example.request.utterance or "").split())
        if len(text) > LONGEST:
            left.add(f"utterance of more than {LONGEST} characters", f"{text[:60]!r}")
            continue
        try:
            owner = None if section[0] == "own" else section[1]
            found = delexicalised(example.request.utterance or "", example.truth.slots, owner)
        except InputError as problem:
            left.add("utterance without a pattern", f"{text[:60]!r}: {problem}")
            continue
        texts[section][text] += 1
        counts[section][found.pattern] += 1
        values += found.values
    _once_each(counts, left)
    if not any(kind == "own" for kind, _ in counts) and not (patterns or {}).get("own"):
        raise InputError(f"--from: no utterance of {name} with an intent in it{_told(left)}")
    data = LearnedData(_spec(texts, counts), list_values(values), [], [], _phrases(texts), left)
    _add(data, patterns or {}, lists or {})
    _context(data, examples, name)
    _raise_small(data)
    if (foreign := _total(data, "none", "others")) < _FEW:
        data.few_others = True
        _add_negatives(data, negatives, foreign)
    _bound(data)
    data.intents = list(data.patterns["own"])
    return data


def corpus_lines(examples: Sequence[Example], name: str) -> list[dict[str, Any]]:
    """Lines of a corpus with the examples that have an utterance of at most `LONGEST` characters.

    Of more than `MOST` that are not the domain's, every k-th is taken, with the weight k.
    """
    kept = [one for one in examples if 0 < len((one.request.utterance or "").strip()) <= LONGEST]
    others = sum(not one.truth.owned_by(name) for one in kept)
    step, n, lines = -(-others // MOST), 0, []
    for one in kept:
        weight = {}
        if not one.truth.owned_by(name):
            n += 1
            if n % step:
                continue
            weight = {"weight": step * one.weight} if step > 1 else {}
        request = msgspec.structs.replace(one.request, hypotheses=None)
        lines.append({**example_line(msgspec.structs.replace(one, request=request)), **weight})
    return lines


def title_of(intent: str) -> str:
    """A display name made of an intent's name: `PlayGame` and `play_game` give "play game"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_.\-:/+]+", " ", intent).split()
    return " ".join(words).lower()[:100] or intent


def _sections(examples: Iterable[Example], name: str, left: _LeftOut) -> Iterator[tuple[Section, Example]]:
    for example in examples:
        truth, text = example.truth, example.request.utterance or ""
        if not text.strip():
            left.add("line without an utterance", str(example.request.id))
        elif truth.also:
            left.add("utterance of several intents", repr(text[:60]))
        elif truth.owned_by(name) and not truth.intent:
            left.add("own utterance without an intent", repr(text[:60]))
        elif truth.owned_by(name):
            yield ("own", truth.intent or ""), example
        elif truth.owners:
            yield ("others", truth.owners[0]), example
        else:
            yield ("none", str(example.extra.get("kind") or "other")), example


def _once_each(counts: Mapping[Section, Counter[str]], left: _LeftOut) -> None:
    """Leave a pattern that several own intents have to the one that has it most often."""
    most: dict[str, Section] = {}
    own = [section for section in counts if section[0] == "own"]
    for section in own:
        for pattern, n in counts[section].items():
            if pattern not in most or n > counts[most[pattern]][pattern]:
                most[pattern] = section
    for section in own:
        for pattern in [pattern for pattern in counts[section] if most[pattern] != section]:
            del counts[section][pattern]
            left.add("pattern of several intents", f"{pattern[:60]!r} of {section[1]}, kept in {most[pattern][1]}")


def _told(left: _LeftOut) -> str:
    return "".join(f"; left out: {kind} ({n}): {'; '.join(shown)}" for kind, (n, shown) in left.items())


def _spec(texts: Mapping[Section, Counter[str]], counts: Mapping[Section, Counter[str]]) -> dict[str, Any]:
    """The sections of `patterns.toml`. An utterance that the corpus repeats may be drawn again."""
    spec: dict[str, Any] = {}
    again = any(sum(counter.values()) > len(counter) for counter in texts.values())
    if again:
        spec["again"] = True
    for kind in ("own", "others", "none"):
        for (of, label), counter in texts.items():
            if of == kind:
                patterns = [f"{pattern} ×{n}" if n > 1 else pattern for pattern, n in joined(counts[of, label]).items()]
                count = sum(counter.values()) if again else len(counter)
                spec.setdefault(kind, {})[label] = {"count": count, "patterns": patterns}
    return spec


def _phrases(texts: Mapping[Section, Counter[str]]) -> list[str]:
    """An utterance of each of the first own intents, short ones."""
    own = [counter for (kind, _), counter in texts.items() if kind == "own"]
    return [min(counter, key=lambda text: (abs(len(text) - 25), text))[:100] for counter in own[:4]]


def _add(data: LearnedData, patterns: Mapping[str, Any], lists: Mapping[str, Sequence[Any]]) -> None:
    """Add templates and lists of the source."""
    for kind, sections in patterns.items():
        for label, table in sections.items():
            into = data.patterns.setdefault(kind, {}).setdefault(label, {"count": 0, "patterns": []})
            into["count"] += table["count"]
            into["patterns"] += [text for text in table["patterns"] if text not in into["patterns"]]
    for name, values in lists.items():
        known = {str(_value(value)) for value in data.lists.get(name, ())}
        data.lists.setdefault(name, []).extend(value for value in values if str(_value(value)) not in known)


def _value(entry: Any) -> Any:
    return entry["value"] if isinstance(entry, Mapping) else entry


def _context(data: LearnedData, examples: Sequence[Example], name: str) -> None:
    """Add the weights of the values of those context keys whose values are texts, by section."""
    counts: defaultdict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for example in examples:
        owners = example.truth.owners
        section: tuple[str, ...] = ("others", owners[0]) if owners else ("none",)
        counts[("own",) if example.truth.owned_by(name) else section].append(example.request.context)
    every = {key for contexts in counts.values() for context in contexts for key in context}
    usable = {key for key in every if _few_texts(key, counts)}
    for key in sorted(every - usable):
        data.left_out[f"context key {key}"] = (1, ["its values are no texts, or too many"])
    data.context_keys = sorted(usable - set(CORE_KEYS))
    for place, contexts in counts.items():
        tables = {key: dict(Counter(context.get(key, "") for context in contexts)) for key in sorted(usable)}
        into = data.patterns.setdefault("context", {}) if usable else {}
        for part in place[:-1]:
            into = into.setdefault(part, {})
        into[place[-1]] = {key: table for key, table in tables.items() if set(table) != {""}}


def _few_texts(key: str, counts: Mapping[tuple[str, ...], list[Mapping[str, Any]]]) -> bool:
    values = {str(c[key]) if isinstance(c[key], str) else None for cs in counts.values() for c in cs if key in c}
    return None not in values and len(values) <= _KEY_VALUES


def _total(data: LearnedData, *kinds: str) -> int:
    """The utterances that the sections of these kinds draw."""
    return sum(table["count"] for kind in kinds for table in data.patterns.get(kind, {}).values())


def _add_negatives(data: LearnedData, negatives: Mapping[str, Any], foreign: int) -> None:
    """Add requests that are nobody's, with lists of their own, as there are few in the corpus."""
    data.notes.append(
        f"requests in the corpus that are not the domain's: {foreign}, expected {_FEW} at least; common ones in "
        "English were added to patterns.toml: replace them by requests of your neighbours and of nobody"
    )
    for name, values in negatives["lists"].items():
        data.lists[f"negatives.{name}"] = list(values)
    sections = data.patterns.setdefault("none", {})
    share = min(
        1.0, max(_total(data, "own"), _NEGATIVES) / sum(table["count"] for table in negatives["patterns"].values())
    )
    for kind, table in negatives["patterns"].items():
        texts = [re.sub(r"\{=(\w+)\}", r"{=negatives.\1}", text) for text in table["patterns"]]
        label = kind if kind not in sections else f"{kind}.common"
        sections[label] = {"count": max(1, round(share * table["count"])), "patterns": texts}


def _raise_small(data: LearnedData) -> None:
    """Raise the counts of small intents to `_LEAST`, where their patterns and lists yield so many utterances."""
    sizes = {name: len(values) for name, values in data.lists.items()}
    for table in data.patterns["own"].values():
        texts = sum(number_of_texts(text.partition(" ×")[0], sizes) for text in table["patterns"])
        table["count"] = max(table["count"], min(_LEAST, texts))


def _bound(data: LearnedData) -> None:
    """Scale the counts down to `MOST` in all."""
    total = _total(data, "own", "others", "none")
    if total > MOST:
        for table in (table for kind in ("own", "others", "none") for table in data.patterns.get(kind, {}).values()):
            table["count"] = max(1, round(table["count"] * MOST / total))
