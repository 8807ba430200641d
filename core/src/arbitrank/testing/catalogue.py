"""Checks of a domain's data folder: its catalogue of works, and the corpus that its patterns draw."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from arbitrank.learn.reference import ReferenceDomain
from arbitrank.nlu.catalogue import also_of, key_of, read_elsewhere, read_works, share_of
from arbitrank.nlu.patterns import generate
from arbitrank.testing.checks import expect
from arbitrank.values import Example, Hypothesis, Slot


def check_catalogue(
    folder: Path, creator: str, kinds: Collection[str], others: Collection[str], *, works: int = 300, shared: int = 60
) -> None:
    """Each work of `works.tsv` is complete and unique, and titles are shared with the other domains as demanded.

    A work may say how often its title means it, in (0, 1]; the works of one title at most 1 together. No title of
    `elsewhere.tsv` is a work's, and each names the domains that have it.

    `creator`: the column of who made a work. `kinds`: the values of the column `kind`. `others`: the domains that
    `also` may name. `works`: the least number of titles. `shared`: the least number of titles that are shared with any
    other domain; a third of it with each. Raises `CheckFailed`.
    """
    rows = read_works(folder)
    columns = {"title", creator, "year", "kind", "also"}
    for row in rows:
        expect(set(row) - {"share"} == columns, f"{row}: expected the columns {sorted(columns)}")
        expect(bool(row[creator]) and row["title"].strip() == row["title"] != "", f"{row}: a value is missing")
        expect(-3000 < int(row["year"]) < 2100, f"{row}: year out of range, expected -3000 to 2100")
        expect(0.0 < share_of(row) <= 1.0, f"{row}: share out of range, expected a number in (0, 1]")
        expect(set(also_of(row)) <= set(others), f"{row}: `also` names no other domain")
    shares: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        shares[key_of(row["title"])] += share_of(row) if "share" in row else 0.0
    over = [title for title, share in shares.items() if share > 1.001]
    expect(not over, f"titles whose works have more than 1 of them: {over}")
    for row in read_elsewhere(folder):
        expect(key_of(row["title"]) not in shares, f"{row}: a work of the catalogue has this title")
        expect(bool(also_of(row)) and set(also_of(row)) <= set(others), f"{row}: `also` names no other domain")
    keys = Counter((row["title"].casefold(), row[creator].casefold(), row["kind"]) for row in rows)
    expect(max(keys.values(), default=1) == 1, f"repeated: {[key for key, n in keys.items() if n > 1]}")
    expect({row["kind"] for row in rows} == set(kinds), f"kinds {sorted({row['kind'] for row in rows})}")
    expect(len({row["title"] for row in rows}) >= works, f"fewer than {works} titles")
    expect(len({row["title"] for row in rows if also_of(row)}) >= shared, f"fewer than {shared} shared titles")
    for other in others:
        n = sum(other in also_of(row) for row in rows)
        expect(n >= shared // 3, f"{n} works shared with {other}, expected {shared // 3} at least")


def check_corpus(
    folder: Path,
    domain: str,
    intents: Collection[str],
    others: Collection[str],
    *,
    each: int = 100,
    of_others: int = 1_000,
    out_of_scope: int = 2_000,
    kinds: int = 30,
) -> None:
    """The patterns draw enough requests of each intent, of each other domain and of many out-of-scope kinds.

    `each`: the least number of requests of an intent. `of_others`: of another domain; without slots, and 30 % at least
    with a shared title. `out_of_scope`: of distinct out-of-scope requests, in just `kinds` kinds of 40 requests at
    least. Another seed draws another corpus. Raises `CheckFailed`.
    """
    examples = generate(folder, domain)
    expect(examples != generate(folder, domain, seed=1), "another seed draws the same corpus")
    found = Counter(e.truth.intent for e in examples if e.truth.domain == domain)
    expect(set(found) == set(intents), f"intents {sorted(found, key=str)}, expected {sorted(intents)}")
    expect(min(found.values()) >= each, f"an intent with fewer than {each} requests: {found}")
    owners = Counter(e.truth.domain for e in examples)
    expect(set(owners) == {domain, None, *others}, f"owners {sorted(map(str, owners))}")
    shared = {work["title"].casefold() for work in read_works(folder) if also_of(work)}
    for other in others:
        requests = [e for e in examples if e.truth.domain == other]
        expect(len(requests) >= of_others, f"{len(requests)} requests of {other}, expected {of_others} at least")
        expect(not any(e.truth.slots for e in requests), f"requests of {other} have slots")
        texts = [(e.request.utterance or "").casefold() for e in requests]
        n = sum(any(title in text for title in shared) for text in texts)
        expect(n > 0.3 * len(texts), f"{n} of {len(texts)} requests of {other} name a shared title, expected 30 %")
    none = [e for e in examples if e.truth.domain is None]
    distinct = {(e.request.utterance or "").casefold() for e in none}
    expect(len(distinct) >= out_of_scope, f"{len(distinct)} out-of-scope requests, expected {out_of_scope} at least")
    counts = Counter(e.extra["kind"] for e in none)
    expect(len(counts) == kinds and min(counts.values()) >= 40, f"kinds of out-of-scope requests: {counts}")


def check_screens(examples: Iterable[Example], without: Collection[str] = ("speaker", "car")) -> None:
    """A context has `has_screen` just where it has a device: False for those `without` one. Raises `CheckFailed`."""
    for example in examples:
        context = example.request.context
        shown = {"has_screen": context["device"] not in without} if "device" in context else {}
        expect({key: value for key, value in context.items() if key == "has_screen"} == shown, f"context {context}")


def check_features(domain: ReferenceDomain, creator: str, name: str) -> None:
    """`describe` tells known, unknown and shared titles apart, and knows `name` in the column `creator` alone.

    The catalogue must share the title Mary Poppins and have no creator of that name. Raises `CheckFailed`.
    """
    names = ("title_known", "title_unknown", "title_shared", f"{creator}_known", "title_words")
    for slots, values in (
        ((), (0.0, 0.0, 0.0, 0.0, 0.0)),
        ((Slot("title", "MARY poppins "),), (1.0, 0.0, 1.0, 0.0, 2.0)),
        ((Slot("title", "a title of no work"),), (0.0, 1.0, 0.0, 0.0, 0.0)),
        ((Slot(creator, name),), (0.0, 0.0, 0.0, 1.0, 0.0)),
        ((Slot(creator, "mary poppins"),), (0.0, 0.0, 0.0, 0.0, 0.0)),
    ):
        features = dict(domain.describe(Hypothesis(domain.name, "Any", slots=slots)))
        odds = features.pop("title_odds", None)
        expect(features == dict(zip(names, values, strict=True)), f"{slots}: features {features}")
        expect(odds is not None and (odds != 0.0) == bool(values[0]), f"{slots}: title_odds {odds}")
