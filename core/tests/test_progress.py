"""Progress where standard error is no terminal: plain lines now and then, by a clock that the test sets."""

from __future__ import annotations

import pytest

from arbitrank.cli.progress import Lines, ProgressLines, shown
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.worker import Event


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    assert "\x1b" not in err
    return err.splitlines()


def test_a_stage_has_a_line_at_its_start_and_then_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with shown("slurp", clock) as progress:
        for done, seconds in [(0, 0), (1, 3), (2, 9), (3, 41), (4, 45), (18, 52)]:
            clock.now = 1000.0 + seconds
            progress("recognisers", done, 18)
        progress("re-rankers", 0, 18)
    assert printed(capsys) == [
        "slurp recognisers: 0 of 18",
        "slurp recognisers: 3 of 18, 41 s",
        "slurp recognisers: 18 of 18, 52 s",
        "slurp re-rankers: 0 of 18",
    ]


@pytest.mark.parametrize(
    ("steps", "seconds", "most"), [(1, 0.5, 1), (1000, 0.001, 1), (1000, 1.0, 18), (10, 100.0, 11)]
)
def test_many_steps_do_not_fill_a_log(
    steps: int, seconds: float, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    progress = ProgressLines("", clock)
    for done in range(steps + 1):
        progress("requests", done, steps)
        clock.now += seconds
    lines = printed(capsys)
    assert lines[0] == f"requests: 0 of {steps}"
    assert len(lines) <= most


def test_a_stage_that_is_over_at_once_has_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressLines("x", Clock())("read", 1, 1)
    assert printed(capsys) == []


def test_of_an_unknown_total_the_steps_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = ProgressLines("tune", clock)
    for done in range(0, 4_000, 1_000):
        progress("requests of a.jsonl", done, 0)
        clock.now += 9.0
    assert printed(capsys) == [
        "tune requests of a.jsonl: 0",
        "tune requests of a.jsonl: 2000, 18 s",
    ]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (2, ["d0: data", "d0: re-ranker, 7 rows", "d1: data", "d1: re-ranker, 7 rows"]),
        (40, ["domains: 0 of 40", *(f"domains: {k} of 40, {k} s" for k in (10, 20, 30, 40))]),
    ],
)
def test_many_domains_are_counted_and_few_are_named(
    n: int, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    board = Lines(n, clock)
    for k in range(n):
        board.event(Event(domain=f"d{k}", stage="data", total=1))
        board.event(Event(domain=f"d{k}", stage="re-ranker", total=1, figures={"rows": 7.0}))
        clock.now += 1.0
        board.outcome(TrainingOutcome(domain=f"d{k}", kind="built"))
    assert printed(capsys) == expected
