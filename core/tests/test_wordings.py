"""An n-best of wordings is recognised wording by wording, and its readings merged by the law of total probability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.wordings import MOST, Scored, over_wordings, probabilities
from arbitrank.domain import Model, Scores
from arbitrank.errors import InputError
from arbitrank.values import Hypothesis, Request, Slot, Wording


class Echo(Model):
    """Reads the last word of an utterance as a room, and is the surer the longer it is."""

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        text = request.utterance or ""
        start = text.rfind(" ") + 1
        slot = Slot("room", text[start:], start=start, end=len(text))
        return [Hypothesis("lights", "On", 0.9, 0.9, (slot,))]

    def rerank(self, request: Request) -> Scores:
        (hypothesis,) = request.hypotheses or ()
        right = len(hypothesis.slots[0].value) / 10
        return Scores(0.9, np.array([right]))

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        (right,) = self.rerank(request).right
        return [{"slots": math.log(right / (1 - right))}]


def answer(*wordings: Wording, explain: bool = False):
    arbitrator = Arbitrator({"lights": Serving(Echo(), "v", "store")})
    return arbitrator.arbitrate(Request(utterance=wordings[0].text, utterances=wordings), explain=explain)


def test_every_wording_is_read_and_the_readings_are_weighed_by_their_confidences() -> None:
    found = answer(Wording("light in hall", 0.6), Wording("light in hull", 0.2), Wording("light in cellar", 0.2))
    ranked = found.answer.ranked
    assert [entry.slots[0].value for entry in ranked] == ["hall", "cellar", "hull"]
    assert [entry.probability for entry in ranked] == pytest.approx([0.6 * 0.4, 0.2 * 0.6, 0.2 * 0.4])
    assert [entry.domain_probability for entry in ranked] == pytest.approx([0.9] * 3)
    assert [h.features for h in found.hypotheses] == [{"wording": 0.6}, {"wording": 0.2}, {"wording": 0.2}]


def test_equal_readings_of_several_wordings_are_one() -> None:
    found = answer(Wording("light in hall", 0.5), Wording("lights in hall", 0.5))
    (entry,) = found.answer.ranked
    assert entry.probability == pytest.approx(0.4)
    assert (entry.slots[0].start, entry.slots[0].end) == (9, 13)


def test_offsets_of_another_wording_are_left_out() -> None:
    first, other = answer(Wording("light in hall", 0.9), Wording("the light in hull", 0.1)).hypotheses
    assert (first.slots[0].start, other.slots[0].start) == (9, None)


def test_contributions_add_up_over_the_wordings() -> None:
    for entry in answer(
        Wording("x hall", 0.6), Wording("y hall", 0.2), Wording("x sty", 0.2), explain=True
    ).answer.ranked:
        assert entry.why is not None
        p = entry.probability
        assert sum(entry.why.values()) == pytest.approx(math.log(p / (1 - p)))


def test_contributions_add_up_where_a_wording_is_nearly_impossible() -> None:
    for entry in answer(Wording("x sty", 1.0), Wording("x hall", 1e-9), explain=True).answer.ranked:
        assert entry.why is not None
        p = entry.probability or 0.0
        assert sum(entry.why.values()) == pytest.approx(math.log(p / (1 - p)), abs=1e-6)


def test_without_confidences_the_rank_counts() -> None:
    assert probabilities([Wording("a"), Wording("b", 0.9), Wording("c")]) == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    assert probabilities([Wording("a", 0.0), Wording("b", 0.0)]) == pytest.approx([0.5, 0.5])


def test_only_the_best_wordings_are_read() -> None:
    words = [Wording(f"light in {'x' * (i + 1)}", 0.1) for i in range(MOST + 3)]
    assert len(answer(*words).answer.ranked) == MOST


def test_wordings_alone_are_an_utterance() -> None:
    arbitrator = Arbitrator({"lights": Serving(Echo(), "v", "store")})
    for utterance in (None, "", " "):
        wordings = (Wording("x hull", 0.2), Wording("x hall", 0.8))
        ranked = arbitrator.answer(Request(utterance=utterance, utterances=wordings)).ranked
        assert [entry.slots[0].value for entry in ranked] == ["hall", "hull"]
    for nothing in ("", " ", Request(), Request(utterances=(Wording(" "),))):
        with pytest.raises(InputError, match="expected utterance, hypotheses or both"):
            arbitrator.answer(nothing)


@given(st.data())
def test_the_mixture_keeps_the_contract(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 4))
    wordings = tuple(Wording(f"w{i}", data.draw(st.none() | st.floats(0, 1))) for i in range(n))
    parts = []
    for _ in range(n):
        readings = data.draw(st.lists(st.sampled_from("abcd"), max_size=4, unique=True))
        mine = data.draw(st.floats(0, 1))
        right = np.array([mine / (len(readings) + 1)] * len(readings))
        parts.append(Scored([Hypothesis("lights", name) for name in readings], Scores(mine, right), None))
    found = over_wordings(Request(utterance="w0", utterances=wordings), parts)
    assert 0 <= found.scores.mine <= 1
    assert len(found.hypotheses) == len(found.scores.right) == len({h.intent for h in found.hypotheses})
    assert found.scores.right.sum() <= found.scores.mine + 1e-9
