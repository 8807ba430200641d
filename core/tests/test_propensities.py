"""Propensities: every logged answer says how it was drawn, and its line alone reproduces that."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from arbitrank.answerlog.reader import read_log
from arbitrank.answerlog.settings import LogSettings
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.outcomes.draws import draw, draw_key
from arbitrank.outcomes.propensities import selection_of, unreproduced
from arbitrank.selections import CanaryDraw, ServedSelection
from arbitrank.values import Answer, Decision, DomainReport, Ranked, Request
from arbitrank.wire.requests import Logged, decode_logged

OLD, NEW = "a" * 12, "b" * 12
READING = Ranked("fruit", "Eat", (), 0.6, 0.8, 0.7, OLD)


def answered(request: Request, share: float, other: float = 0.0) -> tuple[Answer, dict[str, CanaryDraw]]:
    """An answer as a service with canaries of two domains gives it, and its arms."""
    key = draw_key(request)
    arms = {}
    for name, own in (("fruit", share), ("trees", other)):
        drawn = key is not None and draw(name, NEW, key) < own
        arms[name] = CanaryDraw(OLD, NEW, own, "canary" if drawn else "stable")
    reports = {name: DomainReport("answered", NEW if one.arm == "canary" else OLD) for name, one in arms.items()}
    return Answer(request.id, Decision("accept", (0,)), (READING,), reports, {}), arms


def line(request: Request, share: float, other: float = 0.0) -> Logged:
    answer, arms = answered(request, share, other)
    answer = replace(answer, selection=selection_of(request, answer, arms))
    return Logged(**msgspec.structs.asdict(request), answer=answer)


def test_without_a_canary_the_answer_was_certain() -> None:
    selection = line(Request(id="1", utterance="a"), 0.0).answer.selection
    assert msgspec.json.encode(selection) == b'{"eligible":[0],"probability":1.0,"canary":{},"decisions":null}'


def test_a_canarys_share_is_the_probability_of_its_answer() -> None:
    arms = [line(Request(id=str(i), utterance="a"), 0.2).answer.selection for i in range(400)]
    assert {round(one.probability, 9) for one in arms} == {0.2, 0.8}
    assert sum(1 / one.probability for one in arms) == pytest.approx(800, rel=0.2)


@given(st.text("aé7", max_size=5), st.sampled_from([0.01, 0.3, 0.99]), st.sampled_from([0.0, 0.5]))
def test_the_line_alone_reproduces_the_selection(session: str, share: float, other: float) -> None:
    for request in (Request(session=session, id="1", utterance="a"), Request(utterance=session or "u")):
        made = decode_logged(msgspec.json.encode(line(request, share, other)))
        assert unreproduced(made) is None


def test_a_hundred_thousand_logged_selections_are_reproduced(scale: float) -> None:
    n = int(100_000 * scale)
    raw = [
        msgspec.json.encode(line(Request(session=f"s{i % 999}", id=str(i), utterance="a"), 0.1, 0.5)) for i in range(n)
    ]
    decode = msgspec.json.Decoder(Logged).decode
    assert not [problem for one in raw if (problem := unreproduced(decode(one)))]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"probability": 0.5}, "probability 0.5, expected"),
        ({"eligible": (1,)}, "reading 0 was acted on"),
        ({"canary": {}}, "probability 0."),
    ],
)
def test_another_selection_is_not_reproduced(changed: dict[str, object], expected: str) -> None:
    made = line(Request(session="s", id="1", utterance="a"), 0.3)
    assert made.answer is not None
    assert isinstance(made.answer.selection, ServedSelection)
    selection = replace(made.answer.selection, **changed)
    problem = unreproduced(replace(made, answer=replace(made.answer, selection=selection)))
    assert problem is not None
    assert expected in problem


def test_another_session_or_arm_is_not_reproduced() -> None:
    made = [line(Request(session=str(i), id="1", utterance="a"), 0.5) for i in range(20)]
    moved = [unreproduced(replace(one, session="other")) for one in made]
    assert any(moved)
    assert any(problem is None for problem in moved)


def test_a_log_of_an_earlier_release_has_no_selection() -> None:
    made = line(Request(id="1", utterance="a"), 0.5)
    assert made.answer is not None
    earlier = replace(made, answer=replace(made.answer, selection=msgspec.UNSET))
    assert unreproduced(earlier) == "no selection: an earlier release logged it"
    assert unreproduced(replace(made, answer=None)) == "no answer"


def test_a_request_without_a_key_falls_into_no_share() -> None:
    request = Request(hypotheses=())
    answer, arms = answered(request, 0.5)
    assert selection_of(request, answer, arms) == ServedSelection((0,), 1.0)


def test_the_log_writes_the_selection_and_keeps_it_redacted(tmp_path: Path) -> None:
    request = Request(id="1", utterance="secret", session="s")
    answer, arms = answered(request, 0.5)
    with AnswerLog(tmp_path, LogSettings(words="drop")) as log:
        log.write(request, answer, selection=lambda: selection_of(request, answer, arms, policy="p", overridden=True))
    (found,) = read_log(tmp_path)
    assert isinstance(found, Logged)
    assert found.answer is not None
    selection = found.answer.selection
    assert isinstance(selection, ServedSelection)
    assert (selection.probability, selection.policy, selection.overridden) == (0.5, "p", True)
    assert unreproduced(found) is None


def test_draws_are_uniform() -> None:
    drawn = np.array([draw("n", "v", str(i)) for i in range(2_000)])
    assert abs(drawn.mean() - 0.5) < 0.03
