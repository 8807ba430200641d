"""Truths with several domains, or of several intents in one utterance: read, compared and written."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.redaction import Redactor
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings, merge_heads
from arbitrank.errors import InputError
from arbitrank.evaluate.results import judge
from arbitrank.learn.evidence import label
from arbitrank.live.comparison import ComparedVersions, Comparison
from arbitrank.semer import entirely_right, semer, truths_found
from arbitrank.values import Answer, Decision, DomainReport, Hypothesis, Ranked, Request, Slot, Truth
from arbitrank.wire.requests import decode_example, decode_logged

NAMES = st.sampled_from(["music", "books", "video", "news"])
INTENTS = st.sampled_from([None, "Play", "Stop"])
DOMAINS = st.lists(st.one_of(NAMES, st.none()), max_size=4)
READINGS = st.builds(Hypothesis, NAMES, st.sampled_from(["Play", "Stop", "music"]))


def decoded(truth: object, **more: object) -> Truth:
    """The truth of a hypotheses line; a log reads the same."""
    line = msgspec.json.encode({"utterance": "u", "hypotheses": [], "truth": truth, **more})
    found = decode_example(line).truth
    assert decode_logged(line).truth == found
    return found


@pytest.mark.parametrize(
    ("truth", "owners", "out_of_scope"),
    [
        ({"domain": "music"}, ("music",), False),
        ({"domain": None}, (), True),
        ({"domains": ["music", "books"]}, ("music", "books"), False),
        ({"domain": "video", "domains": ["music", "video"]}, ("video", "music"), False),
        ({"domain": None, "domains": ["music"]}, ("music",), False),  # null is absent beside a list
        ({"domains": ["music", None]}, ("music",), True),
        ({"domains": [None, "music"]}, ("music",), True),
        ({"domains": [None]}, (), True),
        ({"domains": []}, (), True),
        ({"domains": [], "intent": "Play"}, (), False),  # in scope, but no domain is right
        ({"domain": "music", "domains": None}, ("music",), False),
        ([{"domain": "music"}], ("music",), False),
        ([{"domain": "music", "intent": "Play"}, {"domain": "books"}], ("music", "books"), False),
        ([{"domains": ["music", "books"]}, {"domain": None}], ("music", "books"), True),
    ],
)
def test_a_truth_names_its_owners(truth: object, owners: tuple[str, ...], out_of_scope: bool) -> None:
    found = decoded(truth)
    assert (found.owners, found.out_of_scope) == (owners, out_of_scope)
    assert [found.owned_by(name) for name in ("music", "news")] == ["music" in owners, False]
    assert msgspec.json.decode(msgspec.json.encode(found), type=Truth) == found
    assert msgspec.json.decode(msgspec.json.encode({"id": "1", "truth": truth}), type=Feedback).truth == found


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        ({"intent": "Play"}, "truth: lacks the field domain"),
        ([{"domain": "music"}, {"intent": "Play"}], "truth[1]: lacks the field domain"),
        ([], "truth: [] is invalid, expected a truth or a list of at least one"),
        ({"domains": "music"}, 'truth.domains: "music" is invalid, expected array'),
        ({"domains": ["music", 1]}, "truth.domains[1]: 1 is invalid"),
        ("music", 'truth: "music" is invalid, expected an object or a list of them'),
    ],
)
def test_a_truth_that_cannot_be_read_is_explained(truth: object, reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        decoded(truth)


@pytest.mark.parametrize(
    ("line", "owners"),
    [
        ({"domain": "music", "acceptable": ["books"]}, ("music", "books")),
        ({"domain": "music", "skill": "music.play", "acceptable": ["music.stop"]}, ("music",)),
        ({"domain": "unknown", "intent": "unknown", "agents_ok": ["music", "news"]}, ("music", "news")),
        ({"domain": "unknown", "intent": "unknown", "agents_ok": []}, ()),
        ({"domains": ["music", "books"]}, ("music", "books")),
        ({"domain": None, "acceptable": ["music"]}, ()),
    ],
)
def test_a_corpus_names_the_acceptable_domains(line: dict[str, object], owners: tuple[str, ...]) -> None:
    assert decode_example(msgspec.json.encode({"text": "u", **line})).truth.owners == owners


def test_acceptable_domains_beside_a_truth_count_too() -> None:
    assert decoded({"domain": "music"}, acceptable=["books"]).owners == ("music", "books")


def test_each_domain_is_right_with_the_given_intent_alone() -> None:
    truth = Truth(None, "Play", domains=("music", "books"))
    assert [entirely_right(Hypothesis(name, "Play"), truth) for name in ("music", "books", "news")] == [
        True,
        True,
        False,
    ]
    assert not entirely_right(Hypothesis("books", "Stop"), truth)
    named = Truth(None, domains=("music", "books"))  # without an intent, each domain's only one has its name
    assert entirely_right(Hypothesis("books", "books"), named)
    assert not entirely_right(Hypothesis("books", "music"), named)


def test_of_several_intents_any_is_right_and_the_nearest_counts() -> None:
    slots = (Slot("title", "emma"), Slot("room", "hall"))
    truth = Truth("music", "Play", slots, also=(Truth("news", "Read"),))
    assert entirely_right(Hypothesis("news", "Read"), truth)
    assert semer(Hypothesis("music", "Play", slots=slots[:1]), truth) == 1 / 3
    assert semer(Hypothesis("news", "Stop"), truth) == 1.0
    assert not entirely_right(Hypothesis("news", "Play"), truth)
    assert truths_found([Hypothesis("news", "Read"), Hypothesis("music", "Stop")], truth) == 0.5


@pytest.mark.parametrize(
    ("value", "resolved", "right"),
    [
        ("half past seven", {"time": "07:30"}, True),
        ("half past seven", None, False),
        ("7:30", None, True),
        ("7:30", {"time": "19:30"}, True),  # the words are right
        ("half past seven", {"time": "19:30"}, False),
    ],
)
def test_a_value_is_right_by_its_words_or_by_what_it_was_resolved_to(value: str, resolved: object, right: bool) -> None:
    truth = Truth("clock", "Wake", (Slot("at", "7:30", resolved={"time": "07:30"}),))
    assert entirely_right(Hypothesis("clock", "Wake", slots=(Slot("at", value, resolved=resolved),)), truth) is right
    assert not entirely_right(Hypothesis("clock", "Wake", slots=(Slot("till", value, resolved=resolved),)), truth)


def test_a_domain_learns_from_its_own_truths() -> None:
    truth = Truth("music", "Play", also=(Truth(None, "Read", domains=("news", "books")),))
    assert truth.seen_by("books") == Truth("books", "Read")
    assert truth.seen_by("video") == truth
    request = Request(hypotheses=(Hypothesis("books", "Read"), Hypothesis("books", "Play")))
    batch = label("books", [request, request], [truth, Truth("music", "Play")])
    assert batch.mine.tolist() == [1.0, 0.0]
    assert batch.right.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_a_log_without_words_keeps_no_words_of_any_truth() -> None:
    truth = Truth("music", "Play", (Slot("title", "emma"),), also=(Truth("books", "Read", (Slot("title", "emma"),)),))
    assert b"emma" not in msgspec.json.encode(Redactor(None).truth(truth))


@given(READINGS, NAMES, INTENTS)
def test_one_domain_in_a_list_is_that_domain(reading: Hypothesis, name: str, intent: str | None) -> None:
    assert Truth(None, intent, domains=(name,)) == Truth(name, intent) == Truth(name, intent, domains=(name, name))


@given(READINGS, DOMAINS, DOMAINS, INTENTS)
def test_more_domains_never_make_a_reading_worse(
    reading: Hypothesis, some: list[str | None], more: list[str | None], intent: str | None
) -> None:
    fewer, all_ = Truth(None, intent, domains=tuple(some)), Truth(None, intent, domains=(*some, *more))
    assert semer(reading, all_) <= semer(reading, fewer)
    if some:
        assert fewer.out_of_scope <= all_.out_of_scope
    assert {*fewer.owners} <= {*all_.owners}


@given(READINGS, st.lists(st.builds(Truth, NAMES, INTENTS), min_size=1, max_size=4), st.randoms())
def test_the_order_of_several_truths_does_not_matter(reading: Hypothesis, truths: list[Truth], random) -> None:
    first, *rest = truths
    whole = Truth(first.domain, first.intent, also=tuple(rest))
    assert semer(reading, whole) == min(semer(reading, one) for one in truths)
    random.shuffle(truths)
    first, *rest = truths
    assert semer(reading, Truth(first.domain, first.intent, also=tuple(rest))) == semer(reading, whole)


@given(
    st.lists(st.tuples(st.sampled_from(["music", "books", None]), DOMAINS, DOMAINS), min_size=1, max_size=12), st.data()
)
def test_more_domains_never_lower_accuracy(rows: list[Any], data: st.DataObject) -> None:
    claim = st.floats(0.0, 1.0)
    n = len(rows)
    domains = []
    for _ in ("books", "music"):
        mine = np.array(data.draw(st.lists(claim, min_size=n, max_size=n)))
        domains.append(BestReadings(mine, mine * 0.9, np.zeros(n, np.int32), mine * 0.9))
    heads = merge_heads(domains)
    top = [Hypothesis(("books", "music")[d], "Play") for d in heads.domain.tolist()]
    fewer = [Truth(name, "Play", domains=(name, *some)) for name, some, _ in rows]
    more = [Truth(name, "Play", domains=(name, *some, *others)) for name, some, others in rows]
    before, after = (judge(heads, top, truths, DecisionSettings()) for truths in (fewer, more))
    assert (after.domain_right >= before.domain_right).all()
    assert (after.answer_right >= before.answer_right).all()
    assert (after.semer <= before.semer).all()


@pytest.mark.parametrize(
    ("truth", "right"),
    [
        (Truth(None, "Play", domains=("books", "music")), 1.0),
        (Truth("news", also=(Truth("music", "Play"),)), 1.0),
        (Truth(None, "Stop", domains=("books", "music")), 0.0),
        (Truth("books", "Play", domains=("books", None)), 0.0),
    ],
)
def test_feedback_on_an_answer_counts_any_of_several_truths(truth: Truth, right: float) -> None:
    head = Ranked("music", "Play", (), 0.8, 0.9, 0.9)
    report = DomainReport("answered", "1")
    comparison = Comparison()
    side = {"music": ComparedVersions("1", "2", 0.5, "stable")}
    comparison.served(Answer("7", Decision("accept", (0,)), (head,), {"music": report}, {}), side)
    comparison.served(Answer("8", Decision("none"), (head,), {"music": report}, {}), side)
    assert comparison.feedback("7", truth)
    outcomes = comparison.report()["music"].arms["stable"].outcomes
    assert outcomes
    assert outcomes.accuracy.mean == right
    assert comparison.feedback("8", Truth("books", domains=("books", None)))
    outcomes = comparison.report()["music"].arms["stable"].outcomes
    assert outcomes
    assert outcomes.accuracy.mean == (right + 1.0) / 2
