"""The Video domain: the core's suite of checks, and what is particular to its data and weights."""

from __future__ import annotations

from pathlib import Path

import pytest

import arbitrank_video
from arbitrank.nlu.catalogue import also_of, read_works
from arbitrank.testing import CHECKS, Check
from arbitrank.testing.catalogue import check_catalogue, check_corpus, check_features, check_screens
from arbitrank.testing.checks import probability_mine
from arbitrank.values import Request
from arbitrank_video.domain import Video
from arbitrank_video.plugin import arbitrank_domains

DATA = Path(arbitrank_video.__file__).parent / "data"
OTHERS = ("books", "music")
INTENTS = (
    "AddToWatchlist",
    "AskAboutVideo",
    "PlayVideo",
    "RateVideo",
    "RecommendVideo",
    "RentOrBuyVideo",
    "ResumeVideo",
    "SearchVideo",
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_domain_fulfils_the_contract(check: Check) -> None:
    check(Video())


def test_the_plugin_offers_the_domain() -> None:
    assert [domain.name for domain in arbitrank_domains()] == ["video"]


def test_the_catalogue_is_complete() -> None:
    check_catalogue(DATA, "creator", ("film", "series"), OTHERS)


def test_the_corpus_covers_its_intents_its_neighbours_and_out_of_scope_requests() -> None:
    check_corpus(DATA, "video", INTENTS, OTHERS)


@pytest.mark.parametrize("title", ["Mary Poppins", "Moana", "Thriller", "The Hobbit", "Dune", "Frozen", "Hamilton"])
def test_a_well_known_title_is_shared(title: str) -> None:
    assert any(work["title"] == title and also_of(work) for work in read_works(DATA))


def test_a_context_says_what_its_device_can_show() -> None:
    check_screens(Video().examples())


@pytest.mark.parametrize(
    "utterance", ["watch mary poppins", "play the movie dune", "add frozen to my watchlist", "rent the movie inception"]
)
def test_a_request_that_names_the_medium_is_the_domains(utterance: str) -> None:
    assert probability_mine(Video(), utterance) > 0.8


@pytest.mark.parametrize(
    "utterance", ["read me mary poppins", "play the mary poppins soundtrack", "read the next chapter"]
)
def test_a_request_that_names_another_medium_is_not(utterance: str) -> None:
    assert probability_mine(Video(), utterance) < 0.2


@pytest.mark.parametrize("utterance", ["what is the weather", "set a timer for ten minutes", "打开卧室的灯"])
def test_an_out_of_scope_request_is_not_the_domains(utterance: str) -> None:
    assert probability_mine(Video(), utterance) < 0.2


def test_the_device_decides_about_a_shared_title() -> None:
    title = "play mary poppins"
    assert probability_mine(Video(), title, device="tv") > probability_mine(Video(), title, device="speaker") + 0.2


def test_a_title_is_recognised_and_known_to_the_catalogue() -> None:
    domain = Video()
    best = domain.load(domain.shipped).recognise(Request(utterance="play mary poppins"))[0]
    assert (best.domain, best.intent) == ("video", "PlayVideo")
    assert [(slot.name, slot.value) for slot in best.slots] == [("title", "mary poppins")]
    assert best.features["title_known"] == best.features["title_shared"] == 1.0


def test_features_of_a_hypothesis_come_from_the_catalogue() -> None:
    check_features(Video(), "creator", "sidney lumet")


def test_every_intent_has_a_display_name() -> None:
    assert set(Video.intent_titles) == set(INTENTS)
