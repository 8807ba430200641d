"""Corpora from patterns: utterance patterns × a catalogue of works × situations, drawn from a seed.

A team that starts without logs writes what people would say and lets this module draw a corpus from it. A folder holds

- `works.tsv`, optional: the catalogue, one work a line, tab-separated, with a header line. The columns are the team's
  own; one is `title`, and an optional `also` names, separated by commas, the other domains that have a work of that
  title, the likeliest first. An optional `share`, in [0, 1], says how often people who say the title alone mean this
  work.
- `elsewhere.tsv`, optional: well-known titles that mean works of other domains alone, with the columns `title` and
  `also`.
- `lists.toml`: further values to draw from, `name = ["value", …]`. A value may be `{value = "…", resolved = "…"}`,
  the words with the canonical form that they stand for, which their slot keeps as `resolved`.
- `patterns.toml`: what people say. `[own.INTENT]` for the domain's own intents, `[others.DOMAIN]` for what belongs to
  another domain, `[none.KIND]` for what is out of scope; each with `patterns` (a list of strings) and `count` (how many
  utterances to draw).  `[context.own]`, `[context.others.DOMAIN]` and `[context.none]` give for each context key the
  weights of its values, `device = {tv = 50, phone = 10, "" = 5}`, the empty value meaning that the key is absent; a
  section may have a `context` of its own, which wins key by key.  `[derived.KEY]` gives the value of a context key by
  the value of another: `[derived.has_screen] device = {tv = true, speaker = false}`.

In a pattern, `(a|b)` chooses and `[a]` may be left out; both nest. One that ends in ` ×3` is drawn three times as
often; such patterns draw works in a rotation of their own, so that each work gets its share of them. `{name}` draws a
value and labels it as slot `name`; `{name=source}` draws from `source` instead; `{=source}` draws without a label. A
source is a column of the catalogue or a list. All columns in one utterance come from one work, so `{title} by
{artist}` is coherent. In `[others.DOMAIN]` the work is one whose `also` names that domain; in other sections it is
any, the top-level `shared = 0.5` giving the share of works that some other domain has too, so that shared titles are
drawn as often as other domains request them. Works are drawn in proportion to their `share`, and in `[others.DOMAIN]`
to what it leaves. `{=elsewhere}` draws a title of `elsewhere.tsv` that the section's domain has. `typed = 0.3` is the
share of the values of works and of these titles that are drawn as people type them: in lower case, without accents,
punctuation or a leading article. `again = true` lets the same words be drawn again, as people say them on many
devices; without it an utterance is drawn once for each domain.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from arbitrank.errors import DataError
from arbitrank.nlu.catalogue import Work, also_of, read_elsewhere, read_works, share_of
from arbitrank.nlu.catalogue_checks import columns_of, table_faults
from arbitrank.nlu.data_faults import DataFault, TomlText, misnamed, raise_for, read_toml
from arbitrank.nlu.drawing import current
from arbitrank.nlu.pattern_checks import PLACE, pattern_faults
from arbitrank.values import Context, Example, Request, Slot, Truth

_CHOICE = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")
_FIRST = 0.75
"""The likeliest other domain's part of what a work's share leaves."""

_GOLDEN = 0.618
"""A step that spreads numbers evenly over [0, 1)."""


def generate(folder: Path, domain: str, seed: int = 0) -> list[Example]:
    """The corpus of `domain` that the folder describes; the same for the same files and seed, and `drawing`, if any.

    A section whose patterns do not yield `count` distinct utterances gives what it has. Raises `DataFilesError` with
    every fault of the files, and `DataError` where a section draws from no work at all; warns (`DataFilesWarning`) of
    what can be drawn from all the same.
    """
    read, lists = _read(folder, domain)
    spec, few, how = read.values, [], current()
    how.used = True
    works = read_works(folder) if (folder / "works.tsv").is_file() else []
    elsewhere = read_elsewhere(folder)
    again, typed = spec.get("again", False), spec.get("typed", 0.0)
    examples: list[Example] = []
    seen: set[tuple[str, str | None]] = set()
    sections = list(_sections(spec, domain))
    sizes = how.sizes([section["count"] for _, _, section, _ in sections])
    for (owner, label, section, common), count in zip(sections, sizes, strict=True):
        rng = random.Random(f"{seed + how.seed}/{owner}/{label}")
        other = None if owner == domain else owner
        titles = [work["title"] for work in elsewhere if other in also_of(work)]
        plain, weighted = (
            _Sources(
                _left(works, other, rng) if other else _drawn(works, rng, spec.get("shared")), lists, titles, typed
            )
            for _ in range(2)
        )
        situations = {**common, **section.get("context", {})}
        patterns, drawn = _weighted(section["patterns"]), 0
        for _ in range(20 * count):
            pattern, weight = rng.choice(patterns)
            sources = weighted if weight > 1 else plain
            text, slots = _expand(pattern, sources, rng, f"{folder.name}: {owner}.{label}")
            if (text, owner) in seen and not again:
                continue
            seen.add((text, owner))
            context = _draw_context(situations, spec.get("derived", {}), rng)
            truth = Truth(owner, label if owner is not None else None, slots if owner == domain else ())
            request = Request(id=f"{_drawn_from(domain, owner, label)}{drawn}", utterance=text, context=context)
            examples.append(Example(request, truth, {"kind": label} if owner is None else {}))
            drawn += 1
            if drawn == count:
                break
        else:
            few += [] if how.count else [_few(read, spec, section, drawn)]
    raise_for([fault for fault in few if fault])
    return examples


def is_drawn(example: Example, domain: str) -> bool:
    """True for an example of `generate`, known by its id, wherever it was kept in the meantime."""
    owner = next(iter(example.truth.owners), None)
    label = example.extra.get("kind") if owner is None else example.truth.intent
    before, number = _drawn_from(domain, owner, label), example.request.id or ""
    return number.startswith(before) and number.removeprefix(before).isdecimal()


def _drawn_from(domain: str, owner: str | None, label: object) -> str:
    """The beginning of the ids of examples that a section yields."""
    return f"{domain}-{owner or 'none'}-{label}-"


def _read(folder: Path, domain: str) -> tuple[TomlText, dict[str, Any]]:
    """The patterns and the lists of a folder, checked. Raises and warns as `generate` does."""
    faults: list[DataFault] = []
    sources: set[str] | None = set()
    for name in ("works.tsv", "elsewhere.tsv"):
        if (folder / name).is_file():
            found = list(table_faults(folder / name, domain))
            faults += found
            named = columns_of(folder / name) if name == "works.tsv" else ("elsewhere",)
            unknown = any(fault.fatal and fault.line in (None, 1) for fault in found)
            sources = None if unknown or sources is None else sources | set(named)
        elif fix := misnamed(folder / name):
            faults.append(DataFault(str(folder / name), None, None, "no such file", "a table", fix))
            sources = None
    lists = read_toml(folder / "lists.toml", faults) if (folder / "lists.toml").exists() else None
    spec = read_toml(folder / "patterns.toml", faults)
    if spec is not None:
        faults += pattern_faults(spec, lists, sources, domain)
    raise_for(faults)
    assert spec is not None  # it is a fault otherwise
    return spec, lists.values if lists else {}


def _few(read: TomlText, spec: Mapping[str, Any], section: Mapping[str, Any], drawn: int) -> DataFault | None:
    """The remark on a section whose patterns yield less than half of its `count`; None for any other."""
    count = section["count"]
    if 2 * drawn >= count:
        return None
    named = ((kind, name) for kind in ("own", "others", "none") for name in spec.get(kind, {}))
    keys = (*next(one for one in named if spec[one[0]][one[1]] is section), "count")
    seen, expected = f"is {count}, of which the patterns yield {drawn}", "different utterances to draw"
    fix = f"add patterns and values, or write count = {max(drawn, 1)}"
    return DataFault(str(read.path), read.line_of(*keys), ".".join(keys), seen, expected, fix, fatal=False)


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


def _weighted(patterns: Sequence[str]) -> list[tuple[str, int]]:
    """The patterns with their weights, each as often as its weight says."""
    found: list[tuple[str, int]] = []
    for pattern in patterns:
        text, mark, digits = pattern.rpartition(" ×")
        text, weight = (text, int(digits)) if mark and digits.isdecimal() else (pattern, 1)
        found += [(text, weight)] * weight
    return found


class _Sources(NamedTuple):
    """The sources of the places in a section's patterns."""

    draws: Iterator[Work]
    lists: Mapping[str, Sequence[str | Mapping[str, Any]]]
    elsewhere: Sequence[str]
    typed: float


def _drawn(works: Sequence[Work], rng: random.Random, share: float | None) -> Iterator[Work]:
    """The works that a section draws from, without end, in rotation, so that none is favoured by chance.

    `share` of the draws are of works that another domain has too; None draws from all alike.
    """
    shared = [work for work in works if also_of(work)]
    single = [work for work in works if not also_of(work)]
    if share is None or not shared or not single:
        yield from _turns(rng, works, [share_of(work) for work in works])
    else:
        of_shared = _turns(rng, shared, [share_of(work) for work in shared])
        of_single = _turns(rng, single, [share_of(work) for work in single])
        while True:
            yield next(of_shared if rng.random() < share else of_single)


def _left(works: Sequence[Work], owner: str, rng: random.Random) -> Iterator[Work]:
    """The works whose titles `owner` has too, in proportion to what their own share leaves to it."""
    shared = [work for work in works if owner in also_of(work)]
    return _turns(rng, shared, [_share_left(work, also_of(work), owner) for work in shared])


def _share_left(work: Work, also: Sequence[str], owner: str) -> float:
    """Share of the title that is left to `owner`: of two other domains, the first named gets three quarters of it."""
    if not work.get("share"):
        return 1.0
    part = 1.0 if len(also) == 1 else _FIRST if also[0] == owner else (1.0 - _FIRST) / (len(also) - 1)
    return part * (1.0 - share_of(work))


def _turns(rng: random.Random, works: Sequence[Work], weights: Sequence[float]) -> Iterator[Work]:
    """The works in turns, each in proportion to its weight: the heaviest in every turn, the others in some."""
    highest = max(weights, default=0.0)
    credit = [i * _GOLDEN % 1.0 for i in range(len(works))]  # so that light works do not all come in the same turn
    while highest > 0.0:
        turn = []
        for i, weight in enumerate(weights):
            credit[i] += weight / highest
            if credit[i] >= 1.0:
                credit[i] -= 1.0
                turn.append(works[i])
        yield from rng.sample(turn, len(turn))


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


def _expand(pattern: str, sources: _Sources, rng: random.Random, where: str) -> tuple[str, tuple[Slot, ...]]:
    while match := _CHOICE.search(pattern):
        choice = rng.choice(match[1].split("|")) if match[1] is not None else rng.choice(("", match[2]))
        pattern = pattern[: match.start()] + choice + pattern[match.end() :]
    pattern = " ".join(pattern.split())
    work: Work | None = None
    text, slots, rest = "", [], 0
    for place in PLACE.finditer(pattern):
        name, source = place[1], place[2] or place[1]
        resolved = None
        text += pattern[rest : place.start()]
        rest = place.end()
        if source in sources.lists:
            drawn = rng.choice(sources.lists[source])
            value, resolved = (drawn, None) if isinstance(drawn, str) else (drawn["value"], drawn.get("resolved"))
        elif source == "elsewhere" and sources.elsewhere:
            value = _typed(rng.choice(sources.elsewhere), sources.typed, rng)
        else:
            work = work or next(sources.draws, None)
            if work is None:
                reason = f"draws {source!r}, which is no list, from the catalogue, but no work fits"
                raise DataError(f"{where}: pattern {pattern!r} {reason}")
            if source not in work:
                raise DataError(f"{where}: pattern {pattern!r} names {source!r}, neither a column nor a list")
            value = _typed(work[source], sources.typed, rng)
        if name:
            slots.append(Slot(name, value, start=len(text), end=len(text) + len(value), resolved=resolved))
        text += value
    return text + pattern[rest:], tuple(slots)


def _typed(value: str, share: float, rng: random.Random) -> str:
    """The value, in a share of cases as people type it."""
    if not share or rng.random() >= share:
        return value
    bare = "".join(c for c in unicodedata.normalize("NFKD", value) if not unicodedata.combining(c)).lower()
    bare = " ".join(re.sub(r"['’.]", "", bare).replace("&", " and ").split())
    bare = " ".join(re.sub(r"[^\w\s]", " ", bare).split()) or value
    return bare.removeprefix("the ") if rng.random() < 0.5 else bare
