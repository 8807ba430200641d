"""Lessons of outcomes: the examples that a log's reactions and rephrasings become, and what training makes of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from arbitrank.answerlog.writer import AnswerLog
from arbitrank.cli.main import cli
from arbitrank.outcomes.beliefs import Beliefs
from arbitrank.outcomes.lessons import MARK, Lesson, LessonReport, is_lesson, lessons
from arbitrank.outcomes.rephrasing import Rephrasings, alike
from arbitrank.training.datasets import Dataset
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.task import TrainingTask, run
from arbitrank.values import Answer, Decision, DomainReport, Hypothesis, Ranked, Slot, Truth
from arbitrank.wire.requests import Logged

OWN, OTHER = "apples", "pears"


def line(i: int, p: float = 0.8, domain: str = OWN, **fields: Any) -> Logged:
    """A request that a domain's reading heads with P(right) p and P(mine) half of the way to 1."""
    mine = (1.0 + p) / 2.0
    ranked = (Ranked(domain, "Eat", (), mine * p, mine, p),)
    both = {OWN: p if domain == OWN else 1.0 - p, OTHER: 1.0 - p if domain == OWN else p}
    hypotheses = tuple(Hypothesis(name, "Eat", domain_confidence=q) for name, q in both.items())
    reports = {name: DomainReport("answered", "v1") for name in both}
    answer = Answer(str(i), Decision("accept", (0,)), ranked, reports, {})
    given = {"utterance": f"fruit {i}", "session": f"s{i}", "hypotheses": hypotheses, "time": 1e9 + i, "answer": answer}
    return Logged(id=str(i), **{**given, **fields})


def taught(*lines: Logged) -> tuple[list[Lesson], LessonReport]:
    """The lessons of lines."""
    report = LessonReport()
    return list(lessons(lambda: iter(lines), report)), report


def truths(n: int = 50) -> list[Logged]:
    """Requests of known truth, which limit the weight of lessons."""
    return [line(1_000 + i, truth=Truth(OWN, "Eat")) for i in range(n)]


def test_an_accepted_reading_is_right_for_all_domains_nearly_as_surely_as_it_was_claimed() -> None:
    found, report = taught(line(1, outcome="accepted"), *truths())
    right = found[0]
    assert right.domain is None
    assert right.example.truth == Truth(OWN, "Eat")
    assert 0.6 < right.example.weight < 1.0
    assert is_lesson(right.example)
    assert right.example.request.id is None  # several of one request must not replace each other
    assert sum(one.example.weight for one in found) < 1.0
    assert report.lessons[OWN, "accepted"] == len(found)


def test_a_rejected_reading_is_wrong_for_its_domain_alone_and_others_learn_nothing() -> None:
    found, _ = taught(line(1, p=0.5, outcome="rejected"), *truths())
    weights = {(one.domain, one.example.truth): one.example.weight for one in found}
    others, own_but_wrong = weights[OWN, Truth(None)], weights[OWN, Truth(OWN)]
    assert others > 0.25
    assert own_but_wrong == pytest.approx(others)  # P(mine | wrong) is a half
    assert weights.get((None, Truth(OWN, "Eat")), 0.0) < 0.15
    assert {one.domain for one in found} <= {OWN, None}


def test_a_rephrasing_that_another_domain_is_accepted_for_teaches_that_domain() -> None:
    first = line(1, session="s", utterance="play mary poppins", time=1e9, outcome="rejected")
    second = line(
        2, session="s", utterance="play the film mary poppins", time=1e9 + 20, domain=OTHER, outcome="accepted"
    )
    found, report = taught(first, second, *truths())
    (lesson,) = (one for one in found if one.example.extra[MARK] == "rephrased")
    assert lesson.domain is None
    assert lesson.example.truth == Truth(OTHER, "Eat")
    assert lesson.example.request.utterance == "play mary poppins"
    assert report.lessons[OTHER, "rephrased"] == 1
    assert not any(one.example.extra[MARK] == "rejected" for one in found)  # it is not counted twice


@pytest.mark.parametrize(
    "change",
    [
        {"time": 1e9 + 61}, {"session": "t"}, {"utterance": "what is the weather"}, {"outcome": "rejected"},
        {"outcome": None}, {"utterance": None}, {"utterance": "play mary poppins"},
    ],
)  # fmt: skip
def test_later_other_or_unaccepted_words_are_no_rephrasing(change: dict[str, Any]) -> None:
    rephrasings = Rephrasings()
    rephrasings.add(0, line(1, session="s", utterance="play mary poppins", time=1e9))
    fields = {"session": "s", "utterance": "play the film mary poppins", "time": 1e9 + 20, "outcome": "accepted"}
    rephrasings.add(1, line(2, domain=OTHER, **{**fields, **change}))
    assert not rephrasings.found()


def test_slots_that_the_first_words_do_not_have_teach_only_that_the_first_domain_was_wrong() -> None:
    first = line(1, session="s", utterance="play mary poppins", time=1e9)
    second = line(2, session="s", utterance="play mary poppins in the kitchen", time=1e9 + 20, domain=OTHER)
    ranked = (Ranked(OTHER, "Eat", (Slot("room", "kitchen"),), 0.7, 0.9, 0.8),)
    assert second.answer is not None
    second = msgspec.structs.replace(
        second, outcome="accepted", answer=msgspec.structs.replace(second.answer, ranked=ranked)
    )
    found, _ = taught(first, second, *truths())
    (lesson,) = (one for one in found if one.example.extra[MARK] == "rephrased")
    assert (lesson.domain, lesson.example.truth) == (OWN, Truth(None))


def test_alike_words_share_trigrams() -> None:
    assert alike("stop", "stop") == 1.0
    assert alike("", "a") == 0.0
    assert alike("play jazz", "play the news") < 0.5


def test_what_has_a_truth_is_no_lesson_and_lessons_weigh_no_more_than_truths() -> None:
    found, report = taught(*(line(i, outcome="accepted") for i in range(100)), *truths(20))
    assert 14.0 < sum(one.example.weight for one in found) < 20.0
    assert report.labelled == 20
    assert all(one.example.truth.owners for one in found if one.domain is None)


def test_lessons_that_hardly_weigh_are_drawn_so_that_labels_stay_as_sure_as_they_were() -> None:
    found, report = taught(
        *(line(i, p=0.85, outcome="accepted" if i % 6 else "rejected") for i in range(3_000)), *truths(150)
    )
    noise = report.noise
    assert noise is not None
    light = [one.example.weight for one in found if one.domain is not None and one.example.extra[MARK] == "accepted"]
    assert set(light) == {0.02}
    right, wrong = (
        sum(one.example.weight for one in found if (one.domain is None) is of_right) for of_right in (True, False)
    )
    expected = 1.0 - np.average(noise.right[:3_000], weights=noise.weight[:3_000])
    assert wrong / (wrong + right) == pytest.approx(expected, rel=0.5)  # of some twenty that were drawn


def test_notes_say_what_was_estimated_and_whose_outcomes_do_not_count() -> None:
    _, report = taught(*(line(i, outcome="accepted", session=None) for i in range(60)), *truths())
    first, *others = report.notes()
    assert "% of right answers are rejected" in first
    assert "60 outcomes name neither account nor session; together they count as one client's" in others
    _, report = taught(line(1))
    assert list(report.notes()) == ["no answer of this log was accepted or rejected; report some: POST /v1/feedback"]


# ----------------------------------------------------------------------------------------------------------- training


def log(folder: Path, n: int = 900, labelled: float = 0.3, lies: float = 0.0, *, both: bool = False) -> Path:
    """A log of calibrated answers, some of known truth, all others with an outcome, a share of which is false.

    `both`: those of known truth have an outcome, too.
    """
    rng = np.random.default_rng(0)
    times = iter(range(10**9, 10**9 + n))
    with AnswerLog(folder, clock=lambda: float(next(times, 10**9 + n))) as answers:
        for i in range(n):
            p = float(rng.uniform(0.55, 0.95))
            owner = OWN if rng.random() < p else OTHER
            fields: dict[str, Any] = {"truth": Truth(owner, "Eat")}
            if rng.random() >= labelled:
                honest = rng.random() >= lies
                fields = {"outcome": "accepted" if (owner == OWN) == honest else "rejected"}
            elif both:
                fields["outcome"] = "accepted" if owner == OWN else "rejected"
            answers.append(line(i, p, **fields))
    return folder


def trained(data: Path, folder: Path, *, outcomes: bool) -> TrainingOutcome:
    """The outcome of training on a log."""
    folder.mkdir()
    task = TrainingTask(
        domain=OWN, folder=str(folder), factory="training_domains:reference",
        data=Dataset(str(data), outcomes=outcomes), settings={"model": "factored"},
    )  # fmt: skip
    return run(task, progress=lambda *_: None, figures=lambda _: None)


@pytest.mark.parametrize("both", [False, True])
def test_lessons_train_and_nothing_is_measured_on_them(tmp_path: Path, both: bool) -> None:
    data = log(tmp_path / "log", both=both)
    without, now = trained(data, tmp_path / "a", outcomes=False), trained(data, tmp_path / "b", outcomes=True)
    assert without.lessons is None
    assert now.kind == "built", now.reason
    assert now.lessons is not None
    assert now.lessons.lessons > 500
    assert now.held == without.held  # truths alone
    assert now.rows > without.rows
    assert now.version != without.version
    text = " ".join(now.notes)
    assert "lessons from outcomes" in text
    assert "held-out requests of known truth" in text


def test_weights_that_lessons_make_worse_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.outcomes.lessons.beliefs", believed)
    outcome = trained(log(tmp_path / "log", lies=1.0), tmp_path / "a", outcomes=True)
    assert outcome.kind == "refused"
    assert "train it without --outcomes" in (outcome.reason or "")


def believed(reactions: Any) -> Any:
    """That every reaction is true."""
    right = np.where(reactions.known, reactions.right, reactions.accepted)
    return Beliefs(right, np.ones(len(right)), 0.0, 0.0, 0, 0)


def test_a_log_without_truths_and_what_is_no_log_are_refused(tmp_path: Path) -> None:
    data = log(tmp_path / "log", 60, labelled=0.0)
    outcome = trained(data, tmp_path / "a", outcomes=True)
    assert outcome.kind == "failed"
    assert "no request of this log has a truth" in (outcome.reason or "")
    file = tmp_path / "lines.jsonl"
    file.write_text(json.dumps({"text": "a", "domain": OWN}) + "\n")
    outcome = trained(file, tmp_path / "b", outcomes=True)
    assert "--outcomes:" in (outcome.reason or "")
    assert "is no log" in (outcome.reason or "")
    called = CliRunner().invoke(cli, ["train", OWN, "--outcomes"], env={**os.environ})
    assert called.exception is not None
    assert "--outcomes: no --data; expected both" in str(called.exception)


def test_lies_of_three_in_ten_do_not_move_what_is_trained(tmp_path: Path) -> None:
    honest, false = (
        trained(log(tmp_path / f"log{lies}", lies=lies), tmp_path / f"t{lies}", outcomes=True) for lies in (0.0, 0.3)
    )
    assert honest.lessons is not None
    assert false.lessons is not None
    assert false.kind == "built"
    assert false.lessons.moved < 0.03
    assert Counter(one.kind for one in (honest, false)) == {"built": 2}
