"""The Video domain's own data: the catalogue and the corpus that its weights were trained on."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import arbitrank_video
from arbitrank.nlu.catalogue import also_of, read_works
from arbitrank.nlu.patterns import generate
from arbitrank.values import Example
from arbitrank_video.domain import Video

DATA = Path(arbitrank_video.__file__).parent / "data"
WORKS = read_works(DATA)
OTHERS = {"books", "music"}


@cache
def corpus() -> list[Example]:
    return list(Video().examples())


def of(domain: str | None) -> list[Example]:
    return [example for example in corpus() if example.truth.domain == domain]


def test_the_catalogue_has_at_least_300_works_of_every_kind() -> None:
    titles = [work["title"] for work in WORKS]
    assert len(set(titles)) >= 300
    assert {work["kind"] for work in WORKS} == {"film", "series"}
    assert all(work["title"].strip() == work["title"] != "" for work in WORKS)


def test_every_work_is_complete() -> None:
    for work in WORKS:
        assert set(work) == {"title", "creator", "year", "kind", "also"}, work
        assert work["creator"], work
        assert -3000 < int(work["year"]) < 2100, work
        assert set(also_of(work)) <= OTHERS, work


def test_no_work_stands_there_twice() -> None:
    twice = Counter((work["title"].casefold(), work["creator"].casefold(), work["kind"]) for work in WORKS)
    assert [work for work, n in twice.items() if n > 1] == []


def test_at_least_60_titles_are_shared_with_other_media() -> None:
    assert len({work["title"] for work in WORKS if also_of(work)}) >= 60
    for other in OTHERS:
        assert sum(other in also_of(work) for work in WORKS) >= 20


@pytest.mark.parametrize("title", ["Mary Poppins", "Moana", "Thriller", "The Hobbit", "Dune", "Frozen", "Hamilton"])
def test_a_title_that_everybody_knows_is_shared(title: str) -> None:
    assert any(work["title"] == title and also_of(work) for work in WORKS)


def test_the_corpus_is_the_same_from_the_same_seed() -> None:
    assert generate(DATA, "video") == corpus()
    assert generate(DATA, "video", seed=1) != corpus()


def test_every_slot_stands_where_its_offsets_say() -> None:
    for example in corpus():
        for slot in example.truth.slots:
            assert (example.request.utterance or "")[slot.start : slot.end] == slot.value
            assert slot.value


def test_the_domains_own_requests_have_the_intents_of_a_real_domain() -> None:
    intents = Counter(example.truth.intent for example in of("video"))
    assert sorted(intents, key=str) == [
        "AddToWatchlist",
        "AskAboutVideo",
        "PlayVideo",
        "RateVideo",
        "RecommendVideo",
        "RentOrBuyVideo",
        "ResumeVideo",
        "SearchVideo",
    ]
    assert min(intents.values()) >= 100


def test_the_negatives_are_the_neighbours_and_nobodys() -> None:
    owners = Counter(example.truth.domain for example in corpus())
    assert set(owners) == {"video", None, *OTHERS}
    assert all(owners[other] >= 1000 for other in OTHERS)
    assert not any(example.truth.slots for other in OTHERS for example in of(other))


def test_at_least_2000_distinct_requests_of_30_kinds_are_out_of_scope() -> None:
    assert len({(example.request.utterance or "").casefold() for example in of(None)}) >= 2000
    kinds = Counter(example.extra["kind"] for example in of(None))
    assert len(kinds) == 30
    assert min(kinds.values()) >= 40


def test_the_neighbours_ask_for_shared_titles_too() -> None:
    shared = {work["title"].casefold() for work in WORKS if also_of(work)}
    for other in OTHERS:
        texts = [(example.request.utterance or "").casefold() for example in of(other)]
        assert sum(any(title in text for title in shared) for text in texts) > 0.3 * len(texts)


def test_utterances_are_plain_text_of_a_sensible_length() -> None:
    for example in corpus():
        utterance = example.request.utterance or ""
        assert 0 < len(utterance) < 200
        assert utterance == " ".join(utterance.split())
        assert not set(utterance) & set("{}[]|\\"), utterance


def test_a_situation_says_what_a_device_can_show() -> None:
    for example in corpus():
        context = example.request.context
        if "device" in context:
            assert context["has_screen"] is (context["device"] not in ("speaker", "car"))
        else:
            assert "has_screen" not in context
