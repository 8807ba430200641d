"""The benchmark of lessons: the log that it makes has the reactions and rephrasings that it says."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks import lessons

from arbitrank.outcomes.rephrasing import Rephrasings
from arbitrank.values import Answer, Decision, Hypothesis, Ranked, Truth
from arbitrank.wire.requests import Logged

NAMES = ("a", "b")


def answered(i: int) -> lessons.Given:
    """An answer, of which two in three are right."""
    right, name = i % 3 > 0, NAMES[i % 2]
    reading = Ranked(name, "Do", (), 0.8, 0.9, 0.85)
    truth = Truth(name if right else NAMES[1 - i % 2], "Do")
    answer = Answer(str(i), Decision("accept", (0,)), (reading,), {}, {})
    given: dict[str, Any] = {"hypotheses": (Hypothesis(name, "Do"),), "time": 100.0 * i, "truth": truth}
    return lessons.Given(Logged(id=str(i), utterance=f"do number {i}", answer=answer, **given), right)


def test_half_of_the_answers_have_a_reaction_with_the_errors_of_users_and_wrong_ones_are_said_again() -> None:
    given = [answered(i) for i in range(3_000)]
    lines = list(lessons.log(given, np.random.default_rng(0)))
    first = {str(one.id): one for one in lines if one.id is not None and not one.id.endswith("b")}
    assert all(one.truth is None and one.session for one in lines)
    of_right = [first[str(one.line.id)].outcome for one in given if one.right]
    assert abs(np.mean([one is not None for one in of_right]) - lessons.REACTED) < 0.03
    told = [one for one in of_right if one is not None]
    assert abs(np.mean([one == "rejected" for one in told]) - lessons.SPURIOUS) < 0.02
    again = [one for one in lines if one.id is not None and one.id.endswith("b")]
    assert abs(len(again) / sum(not one.right for one in given) - lessons.REPHRASED) < 0.06
    rephrasings = Rephrasings()
    for place, one in enumerate(lines):
        rephrasings.add(place, one)
    assert len(rephrasings.found()) > 0.7 * len(again)  # those that were accepted, elsewhere


def test_an_interval_is_students() -> None:
    assert lessons.interval([1.0]) == (1.0, 1.0, 1.0)
    mean, low, high = lessons.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert high - mean == mean - low
    assert abs(high - mean - 2.4841) < 1e-3
