"""Corpora from patterns: utterance patterns × a catalogue of works × situations, drawn from a seed.

A team that starts without logs writes what people would say and lets this module draw a corpus from it. A folder holds

- `works.tsv`: the catalogue, one work a line, tab-separated, with a header line. The columns are the team's own; one
  is `title`, and an optional `also` names, separated by commas, the other domains that have a work of that title.
- `lists.toml`: further values to draw from, `name = ["value", …]`.
- `patterns.toml`: what people say. `[own.INTENT]` for the domain's own intents, `[others.DOMAIN]` for what belongs to
  another domain, `[none.KIND]` for what is out of scope; each with `patterns` (a list of strings) and `count` (how many
  utterances to draw).  `[context.own]`, `[context.others.DOMAIN]` and `[context.none]` give for each context key the
  weights of its values, `device = {tv = 50, phone = 10, "" = 5}`, the empty value meaning that the key is absent; a
  section may have a `context` of its own, which wins key by key.  `[derived.KEY]` gives the value of a context key by
  the value of another: `[derived.has_screen] device = {tv = true, speaker = false}`.

In a pattern, `(a|b)` chooses and `[a]` may be left out; both nest. `{name}` draws a value and labels it as slot `name`;
`{name=source}` draws from `source` instead; `{=source}` draws without a label. A source is a column of the catalogue
or a list. All columns in one utterance come from one work, so `{title} by {artist}` is coherent. In `[others.DOMAIN]`
the work is one whose `also` names that domain; elsewhere it is any, the top-level `shared = 0.5` giving the share of
works that some other domain has too, so that shared titles are drawn as often as other domains request them.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from arbitrank.errors import DataError
from arbitrank.nlu.catalogue import Work, also_of, read_works
from arbitrank.values import Context, Example, Request, Slot, Truth

_CHOICE = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")
_PLACE = re.compile(r"\{(\w*)(?:=(\w+))?\}")


def generate(folder: Path, domain: str, seed: int = 0) -> list[Example]:
    """The corpus of `domain` that the folder describes, without duplicates; the same for the same files and seed.

    A section whose patterns do not yield `count` distinct utterances gives what it has. Raises `DataError` where a
    pattern names a source that is neither a column nor a list, or a section draws from no work at all.
    """
    works = read_works(folder)
    lists = tomllib.loads((folder / "lists.toml").read_text(encoding="utf-8-sig"))
    spec = tomllib.loads((folder / "patterns.toml").read_text(encoding="utf-8-sig"))
    examples: list[Example] = []
    seen: set[tuple[str, str | None]] = set()
    for owner, label, section, common in _sections(spec, domain):
        rng = random.Random(f"{seed}/{owner}/{label}")
        if owner in (domain, None):
            draws = _drawn(works, rng, spec.get("shared"))
        else:
            draws = _drawn([work for work in works if owner in also_of(work)], rng, None)
        situations = {**common, **section.get("context", {})}
        drawn = 0
        for _ in range(20 * section["count"]):
            text, slots = _expand(rng.choice(section["patterns"]), draws, lists, rng, f"{folder.name}: {owner}.{label}")
            if (text, owner) in seen:
                continue
            seen.add((text, owner))
            context = _draw_context(situations, spec.get("derived", {}), rng)
            truth = Truth(owner, label if owner is not None else None, slots if owner == domain else ())
            request = Request(id=f"{domain}-{owner or 'none'}-{label}-{drawn}", utterance=text, context=context)
            examples.append(Example(request, truth, {"kind": label} if owner is None else {}))
            drawn += 1
            if drawn == section["count"]:
                break
    return examples


def _sections(
    spec: Mapping[str, Any], domain: str
) -> Iterator[tuple[str | None, str, Mapping[str, Any], Mapping[str, Any]]]:
    """The owner, label and table of each section, and the context that it shares with others."""
    contexts = spec.get("context", {})
    for intent, section in spec.get("own", {}).items():
        yield domain, intent, section, contexts.get("own", {})
    for other, section in spec.get("others", {}).items():
        yield other, "other", section, contexts.get("others", {}).get(other, {})
    for kind, section in spec.get("none", {}).items():
        yield None, kind, section, contexts.get("none", {})


def _drawn(works: Sequence[Work], rng: random.Random, share: float | None) -> Iterator[Work]:
    """The works that a section draws from, without end, in rotation, so that none is favoured by chance.

    `share` of the draws are of works that another domain has too; None draws from all alike.
    """
    shared = [work for work in works if also_of(work)]
    single = [work for work in works if not also_of(work)]
    if share is None or not shared or not single:
        yield from _turns(rng, works)
    else:
        of_shared, of_single = _turns(rng, shared), _turns(rng, single)
        while True:
            yield next(of_shared if rng.random() < share else of_single)


def _turns(rng: random.Random, works: Sequence[Work]) -> Iterator[Work]:
    while works:
        yield from rng.sample(works, len(works))


def _draw_context(
    situations: Mapping[str, Mapping[Any, float]], derived: Mapping[str, Any], rng: random.Random
) -> Context:
    context: Context = {}
    for key, weights in situations.items():
        value = rng.choices(list(weights), list(weights.values()))[0]
        if value != "":
            context[key] = value
    for key, sources in derived.items():
        for source, table in sources.items():
            if context.get(source) in table:
                context[key] = table[context[source]]
    return context


def _expand(
    pattern: str, draws: Iterator[Work], lists: Mapping[str, Sequence[str]], rng: random.Random, where: str
) -> tuple[str, tuple[Slot, ...]]:
    while match := _CHOICE.search(pattern):
        choice = rng.choice(match[1].split("|")) if match[1] is not None else rng.choice(("", match[2]))
        pattern = pattern[: match.start()] + choice + pattern[match.end() :]
    pattern = " ".join(pattern.split())
    work: Work | None = None
    text, slots, rest = "", [], 0
    for place in _PLACE.finditer(pattern):
        name, source = place[1], place[2] or place[1]
        text += pattern[rest : place.start()]
        rest = place.end()
        if source in lists:
            value = rng.choice(lists[source])
        else:
            work = work or next(draws, None)
            if work is None:
                raise DataError(f"{where}: pattern {pattern!r} draws from the catalogue, but no work fits")
            if source not in work:
                raise DataError(f"{where}: pattern {pattern!r} names {source!r}, neither a column nor a list")
            value = work[source]
        if name:
            slots.append(Slot(name, value, start=len(text), end=len(text) + len(value)))
        text += value
    return text + pattern[rest:], tuple(slots)
