"""Training of the slot tagger: the mean of two CRFs, with word clusters and others' requests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from arbitrank.nlu import tagger_training
from arbitrank.nlu.encoded import encode
from arbitrank.nlu.tagger import Tagger
from arbitrank.nlu.tagger_training import SlotRequest, bio_labels, others_help, train_tagger
from arbitrank.nlu.token_features import word_attributes
from arbitrank.nlu.word_clusters import learn_clusters
from arbitrank.values import Slot

ROOMS = ("hall", "attic", "kitchen", "shed", "garden", "cellar")


def request(text: str, **values: str) -> SlotRequest:
    slots = [Slot(name, v, start=text.index(v), end=text.index(v) + len(v)) for name, v in values.items()]
    return SlotRequest(encode(text), slots)


def trained(own: Sequence[SlotRequest], *aid: object) -> Tagger:
    tagger = train_tagger(own, *aid)  # type: ignore[arg-type]
    assert tagger is not None
    return tagger


def read(tagger: Tagger, text: str) -> list[tuple[str, str]]:
    return [(slot.name, slot.value) for slot in tagger.read(encode(text), 1)[0].slots]


OWN = [request(f"{do} the {room}", room=room) for do, room in product(("dim", "light", "show"), ROOMS[:3])]
OWN += [request("lights on please"), request("all off now")]
HEATING = [request(f"make it warm in {room} today", room=room) for room in ROOMS]
BARE = [f"{do} the {room}" for do, room in product(("dim", "light", "show"), ROOMS)]
CLUSTERS = learn_clusters([one.encoded for one in (*OWN, *HEATING)] + [encode(text) for text in BARE])


def test_a_request_without_slots_gives_no_tagger() -> None:
    assert train_tagger([request("lights on")], HEATING, CLUSTERS) is None


def test_without_help_it_is_one_crf_of_the_own_requests() -> None:
    assert np.array_equal(trained(OWN).emissions, trained(OWN, [], {}).emissions)
    assert read(trained(OWN), "show the kitchen") == [("room", "kitchen")]


def test_the_labels_are_those_of_the_own_requests() -> None:
    others = [*HEATING, request("play the long song", song="long song"), request("in the old hall", room="old hall")]
    assert trained(OWN, others, CLUSTERS).labels == ("B-room", "O")


def test_others_values_are_known_and_their_words_weigh() -> None:
    alone, helped = trained(OWN), trained(OWN, HEATING, {})
    assert len(helped.gazetteer.runs) == len(ROOMS)
    assert len(alone.gazetteer.runs) == 3
    text = encode("make it warm in cellar today")
    labels = bio_labels(text.text, [Slot("room", "cellar", start=16, end=22)])
    assert helped.log_probability(text, labels) > alone.log_probability(text, labels)


def test_a_clusters_weight_is_part_of_each_of_its_words() -> None:
    tagger = trained(OWN, [], CLUSTERS)
    row = dict(zip(tagger.hashes.tolist(), tagger.emissions, strict=False))
    unseen = [row[word_attributes(room)[0]] for room in ROOMS[3:]]  # in no request of its own
    assert all(one.any() for one in unseen)
    assert np.array_equal(unseen[0], unseen[1])


def test_the_mean_of_two_crfs_has_their_mean_log_scores() -> None:
    one, both = trained(OWN), trained(OWN, [], CLUSTERS)
    fits = []
    original = tagger_training._fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tagger_training, "_fit", lambda rows: fits.append(original(rows)) or fits[-1])
        trained(OWN, [], CLUSTERS)
    bias = str(encode("dim").attributes[0, 0])
    place = both.labels.index("B-room")
    mean = sum(fit.emissions.get((bias, "B-room"), 0.0) for fit in fits) / 2
    assert both.emissions[np.searchsorted(both.hashes, int(bias)), place] == pytest.approx(mean, rel=1e-2, abs=1e-3)
    assert one.labels == both.labels


def test_known_values_are_marked_though_no_request_has_them() -> None:
    own = [request(f"{do} {room}", room=room) for do, room in product(("dim", "light"), ROOMS)]
    own += [request(f"{do} {what}") for do, what in product(("dim", "light"), ("now", "please", "again", "down"))]
    plain, knowing = trained(own), trained(own, [], {}, {"room": ["xylothek"]})
    assert np.array_equal(plain.emissions, knowing.emissions)
    text, labels = encode("dim xylothek"), ["O", "B-room"]
    assert knowing.log_probability(text, labels) > plain.log_probability(text, labels)


def test_training_twice_gives_the_same_weights() -> None:
    first, again = trained(OWN, HEATING, CLUSTERS), trained(OWN, HEATING, CLUSTERS)
    for name in ("hashes", "emissions", "transitions", "marks"):
        assert np.array_equal(getattr(first, name), getattr(again, name))


def test_the_order_of_others_requests_has_no_effect() -> None:
    first, again = trained(OWN, HEATING, CLUSTERS), trained(OWN, HEATING[::-1], CLUSTERS)
    assert np.array_equal(first.emissions, again.emissions)


NEW = [f"{a}{b}" for a, b in product(("bed", "bath", "tea", "store"), ("room", "hall", "loft", "den"))]
SHOWN = [request(f"show {room}", room=room) for room in NEW]
SHOWN += [
    request(f"show {what}{end}") for what, end in product(("rain", "snow", "wind", "sun"), ("y", "ing", "s", "ed"))
]


def test_others_are_learned_from_where_their_slots_are_alike() -> None:
    assert others_help(SHOWN, [request(f"it is cold in {room}", room=room) for room in NEW], {})


def test_others_are_not_learned_from_where_they_name_slots_otherwise() -> None:
    others = [request(f"show {text.text.split()[1]}", room="show") for text, _ in SHOWN] * 3
    assert not others_help(SHOWN, others, {})


def test_others_without_a_slot_of_the_same_name_are_no_help() -> None:
    assert not others_help(OWN, [request("play the long song", song="long song")], CLUSTERS)
    assert not others_help(OWN, [], CLUSTERS)
    assert not others_help([], HEATING, CLUSTERS)


def test_the_log_probability_of_labels_is_that_of_the_reading() -> None:
    tagger = trained(OWN)
    text = encode("show the kitchen")
    best = tagger.read(text, 1)[0]
    assert tagger.log_probability(text, ["O", "O", "B-room"]) == pytest.approx(np.log(best.probability))
    assert tagger.log_probability(text, ["O", "O", "B-song"]) == -np.inf
    assert tagger.log_probability(encode(""), []) == 0.0
