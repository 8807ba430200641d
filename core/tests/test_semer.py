"""Semantic errors of a hypothesis against the truth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.scores import identity
from arbitrank.semer import entirely_right, same_reading, semantic_errors, semer
from arbitrank.values import Hypothesis, Ranked, Slot, Truth

Pairs = list[tuple[str, str]]


def slots(pairs: Pairs) -> tuple[Slot, ...]:
    return tuple(Slot(name, value) for name, value in pairs)


def hypothesis(pairs: Pairs, intent: str = "On", domain: str = "lights") -> Hypothesis:
    return Hypothesis(domain, intent, slots=slots(pairs))


ROOM, LEVEL = ("room", "kitchen"), ("level", "50")


@pytest.mark.parametrize(
    ("seen", "promised", "errors"),
    [
        ([], [], 0),
        ([ROOM], [ROOM], 0),
        ([ROOM], [], 1),  # inserted
        ([], [ROOM], 1),  # deleted
        ([("room", "hall")], [ROOM], 1),  # substituted
        ([("place", "kitchen")], [ROOM], 2),  # another name: one inserted, one deleted
        ([LEVEL, ROOM], [ROOM, LEVEL], 0),  # order does not count
        ([ROOM, ROOM], [ROOM], 0),  # a slot that is there twice counts once
        ([ROOM], [ROOM, ("room", " KITCHEN ")], 0),
        ([], [ROOM, ROOM], 1),
        ([ROOM, ("room", "hall")], [("room", "hall"), ROOM], 0),  # a name that stands twice
        ([ROOM, ("room", "attic")], [ROOM, ("room", "hall")], 1),
        ([("room", "attic"), ("room", "shed")], [ROOM, ("room", "hall")], 2),
        ([("room", "attic")], [ROOM, ("room", "hall")], 2),  # one substituted, one deleted
        ([("room", " KITCHEN ")], [ROOM], 0),  # case and outer blanks do not count
        ([("room", "STRASSE")], [("room", "straße")], 0),
        ([("room", "kitch en")], [ROOM], 1),
        ([("Room", "kitchen")], [ROOM], 2),  # names are exact
    ],
)
def test_slots_are_inserted_deleted_or_substituted(seen: Pairs, promised: Pairs, errors: int) -> None:
    truth = Truth("lights", "On", slots(promised))
    assert semantic_errors(hypothesis(seen), truth) == errors
    assert semantic_errors(hypothesis(seen, intent="Off"), truth) == errors + 1
    assert semer(hypothesis(seen), truth) == errors / (
        1 + len({(name, value.strip().casefold()) for name, value in promised})
    )
    assert entirely_right(hypothesis(seen), truth) is (errors == 0)


@pytest.mark.parametrize(
    ("domain", "intent", "wrong"),
    [("lights", "On", 0), ("lights", "Off", 1), ("heating", "On", 1), ("heating", "Off", 1)],
)
def test_a_wrong_domain_or_intent_or_both_is_one_error(domain: str, intent: str, wrong: int) -> None:
    assert semantic_errors(hypothesis([ROOM], intent, domain), Truth("lights", "On", slots([ROOM]))) == wrong


def test_a_truth_without_an_intent_means_the_domains_one_intent() -> None:
    assert entirely_right(hypothesis([], intent="lights"), Truth("lights"))
    assert not entirely_right(hypothesis([], intent="On"), Truth("lights"))


@pytest.mark.parametrize(("seen", "rate"), [([], 1.0), ([ROOM], 2.0), ([ROOM, LEVEL], 3.0)])
def test_nothing_is_right_of_a_request_out_of_scope(seen: Pairs, rate: float) -> None:
    assert semer(hypothesis(seen), Truth(None)) == rate
    assert not entirely_right(hypothesis(seen), Truth(None))


def test_readings_are_the_same_whatever_the_order_of_their_slots() -> None:
    one, other = hypothesis([ROOM, LEVEL]), Ranked("lights", "On", slots([LEVEL, ROOM]))
    assert same_reading(one, other)
    assert same_reading(None, None)
    assert not same_reading(one, None)
    assert not same_reading(one, hypothesis([ROOM]))
    assert not same_reading(one, hypothesis([ROOM, LEVEL], intent="Off"))
    assert not same_reading(one, hypothesis([ROOM, (LEVEL[0], LEVEL[1].upper() + "x")]))


def test_a_ranked_entry_is_measured_like_a_hypothesis() -> None:
    assert semer(Ranked("lights", "On", slots([ROOM])), Truth("lights", "On", slots([ROOM, LEVEL]))) == 1 / 3


pairs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=5)


@given(pairs, pairs)
def test_errors_are_the_same_whichever_side_is_the_truth(left: Pairs, right: Pairs) -> None:
    there = semantic_errors(hypothesis(left), Truth("lights", "On", slots(right)))
    back = semantic_errors(hypothesis(right), Truth("lights", "On", slots(left)))
    assert there == back
    assert abs(len({*left}) - len({*right})) <= there <= len({*left} | {*right})
    assert (there == 0) == ({*left} == {*right})


@given(pairs, pairs, st.data())
def test_slots_that_are_repeated_change_nothing(left: Pairs, right: Pairs, data: st.DataObject) -> None:
    again = [
        data.draw(st.permutations(one + data.draw(st.lists(st.sampled_from(one))))) if one else one
        for one in (left, right)
    ]
    truths = [Truth("lights", "On", slots(one)) for one in (right, again[1])]
    readings = [hypothesis(one) for one in (left, again[0])]
    assert len({semer(reading, truth) for reading in readings for truth in truths}) == 1
    assert same_reading(*readings)
    assert identity(readings[0]) == identity(readings[1])
    assert (identity(hypothesis(left)) == identity(hypothesis(right))) == ({*left} == {*right})


def test_values_that_are_resolved_alike_are_one_slot() -> None:
    dates = tuple(Slot("date", value, resolved="2026-12-01") for value in ("today", "this day"))
    truth = Truth("lights", "On", dates)
    for given_slots in (
        dates,
        dates[:1],
        dates[1:],
        (Slot("date", "now", resolved="2026-12-01"),),
        slots([("date", "this day")]),
    ):
        assert semer(Hypothesis("lights", "On", slots=given_slots), truth) == 0.0
    assert semer(hypothesis([]), truth) == 1 / 2


@given(pairs, pairs, pairs)
def test_errors_are_a_distance(first: Pairs, second: Pairs, third: Pairs) -> None:
    def distance(left: Pairs, right: Pairs) -> int:
        return semantic_errors(hypothesis(left), Truth("lights", "On", slots(right)))

    assert distance(first, third) <= distance(first, second) + distance(second, third)
