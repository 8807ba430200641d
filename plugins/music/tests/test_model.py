"""The Music domain and the weights that it ships."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from arbitrank.arbitration.dispatch import Answered, ask
from arbitrank.domain import Model
from arbitrank.store.artifact import read_card, verified
from arbitrank.training.build import data_digest
from arbitrank.values import Hypothesis, Request, Slot
from arbitrank_music.domain import Music
from arbitrank_music.plugin import arbitrank_domains

SHIPPED = Music().shipped


@cache
def model() -> Model:
    return Music().load(SHIPPED)


def mine(utterance: str, **context: str) -> float:
    """P(the request is the domain's)."""
    outcome = ask("music", model(), Request(utterance=utterance, context=context), None)
    assert isinstance(outcome, Answered)
    return outcome.scores.mine


def test_the_plugin_offers_the_domain() -> None:
    (domain,) = arbitrank_domains()
    assert domain.name == "music"
    assert [skill.name for skill in domain.skills] == ["music"]
    assert domain.skills[0].phrases


def test_the_shipped_artifact_is_sound() -> None:
    manifest = verified(SHIPPED)
    assert (manifest.domain, manifest.package) == ("music", "arbitrank-music")
    assert manifest.model == "factored"


def test_the_shipped_weights_were_trained_on_the_present_data() -> None:
    """Else the data was changed: arbitrank train music --out plugins/music/src/arbitrank_music/model."""
    examples = list(Music().examples())
    manifest = verified(SHIPPED)
    assert manifest.data_digest == data_digest(examples)
    assert manifest.rows < len(examples)  # some were kept back for the card
    assert manifest.rows + read_card(SHIPPED).n <= len(examples)


def test_the_shipped_weights_are_small_and_hold_no_code() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    assert {path.suffix for path in files} == {".json", ".npz"}
    for path in SHIPPED.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(array.dtype.kind in "fu" for array in arrays.values())


def test_the_card_says_how_far_the_weights_can_be_believed() -> None:
    card = read_card(SHIPPED)
    assert card.n > 300
    assert card.ece < 0.05
    assert card.nll < 0.5


@pytest.mark.parametrize(
    "utterance",
    [
        "play the mary poppins soundtrack",
        "play thriller by michael jackson",
        "add hello to my running playlist",
        "put on some jazz",
    ],
)
def test_what_says_its_medium_is_the_domains(utterance: str) -> None:
    assert mine(utterance) > 0.8


@pytest.mark.parametrize(
    "utterance",
    ["read me mary poppins", "watch mary poppins", "read the next chapter of dune", "rent the movie inception"],
)
def test_what_says_another_medium_is_not(utterance: str) -> None:
    assert mine(utterance) < 0.2


@pytest.mark.parametrize(
    "utterance", ["what is the weather", "set a timer for ten minutes", "", "   ", "打开卧室的灯", "👍"]
)
def test_what_is_nobodys_is_not_the_domains(utterance: str) -> None:
    assert mine(utterance) < 0.2


def test_where_the_title_is_shared_the_device_decides() -> None:
    assert mine("play mary poppins", device="speaker") > mine("play mary poppins", device="e_reader") + 0.2


def test_a_title_is_found_and_the_catalogue_knows_it() -> None:
    best = model().recognise(Request(utterance="play mary poppins"))[0]
    assert (best.domain, best.intent) == ("music", "PlayMusic")
    assert [(slot.name, slot.value) for slot in best.slots] == [("title", "mary poppins")]
    assert best.features["title_known"] == best.features["title_shared"] == 1.0


@pytest.mark.parametrize(
    ("slots", "promised"),
    [
        ((), (0.0, 0.0, 0.0, 0.0)),
        ((Slot("title", "MARY poppins "),), (1.0, 0.0, 1.0, 0.0)),
        ((Slot("title", "a title that nobody has"),), (0.0, 1.0, 0.0, 0.0)),
        ((Slot("artist", "howard shore"),), (0.0, 0.0, 0.0, 1.0)),
        ((Slot("artist", "mary poppins"),), (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_a_hypothesis_is_described_by_what_the_catalogue_knows(
    slots: tuple[Slot, ...], promised: tuple[float, ...]
) -> None:
    names = ("title_known", "title_unknown", "title_shared", "artist_known")
    found = Music().describe(Hypothesis("music", "Any", slots=slots))
    assert dict(zip(names, promised, strict=True)) == found


def test_the_same_question_has_the_same_answer() -> None:
    for utterance in ("play mary poppins", "open the hobbit", "what is the weather"):
        assert Music().load(SHIPPED).recognise(Request(utterance=utterance)) == model().recognise(
            Request(utterance=utterance)
        )
