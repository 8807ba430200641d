"""Progress for people and programs: bars on a terminal, lines in a pipe, events as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from arbitrank import domain
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.worker import Event

_INTERVAL = 10.0  # seconds between two lines of one stage in a pipe
_LONGEST = 60.0  # seconds after which a line is due however few steps were done
_STEP = 0.1  # of the steps, which are done between two lines
_MANY = 10  # domains above which they are counted, and not shown one by one

Clock = Callable[[], float]


@contextmanager
def shown(label: str, clock: Clock = time.monotonic) -> Iterator[domain.Progress]:
    """A progress callback that writes to standard error: a bar a stage where that is a terminal, else lines."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLines(label, clock)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(f"{label} {stage}".strip(), total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield advance


class ProgressLines:
    """Lines on standard error: "LABEL STAGE: 3 of 18, 41 s", with the seconds since the stage began.

    There is one at a stage's start, and further ones 10 s apart at least: where a tenth of the steps or the last one
    was done meanwhile, or a minute has passed. A total of 0 is unknown.
    """

    def __init__(self, label: str, clock: Clock = time.monotonic) -> None:
        self._label, self._clock = label, clock
        self._stages: dict[str, tuple[float, float, int]] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = self._clock()
        if stage not in self._stages:
            self._stages[stage] = now, now, done
            if done < total or not total:
                self._print(stage, done, total, 0.0)
            return
        start, last, before = self._stages[stage]
        passed = now - last
        if passed < _INTERVAL:
            return
        if passed >= _LONGEST or done == total or done - before >= _STEP * (total or done):
            self._stages[stage] = start, now, done
            self._print(stage, done, total, now - start)

    def _print(self, stage: str, done: int, total: int, seconds: float) -> None:
        counted = f"{done} of {total}" if total else f"{done}"
        spent = f", {seconds:.0f} s" if seconds else ""
        print(f"{self._label} {stage}: {counted}{spent}".strip(), file=sys.stderr, flush=True)


class Board:
    """Display of many domains' progress: events, notes, and an outcome for each."""

    def event(self, event: Event) -> None:
        """Show progress or figures of a domain."""

    def outcome(self, outcome: TrainingOutcome) -> None:
        """Show that a domain has ended."""

    def note(self, text: str) -> None:
        """Show a remark."""
        print(f"arbitrank: {text}", file=sys.stderr)


class Lines(Board):
    """Lines on standard error at the start of each domain's stages, and then every few seconds.

    Of more than ten domains, those that have ended are counted instead.
    """

    def __init__(self, n: int, clock: Clock = time.monotonic) -> None:
        self._n, self._ended, self._clock = n, 0, clock
        self._all = ProgressLines("", clock)
        self._stages: dict[str, tuple[str, float]] = {}
        self._rows: dict[str, float] = {}

    def outcome(self, outcome: TrainingOutcome) -> None:
        self._ended += 1
        if self._n > _MANY:
            self._all("domains", self._ended, self._n)

    def event(self, event: Event) -> None:
        if self._n > _MANY:
            self._all("domains", self._ended, self._n)
            return
        self._rows[event.domain] = event.figures.get("rows", self._rows.get(event.domain, 0.0))
        stage, last = self._stages.get(event.domain, ("", 0.0))
        now = self._clock()
        if event.stage != stage or now - last >= _INTERVAL:
            self._stages[event.domain] = event.stage, now
            print(f"{event.domain}: {_text(event, self._rows[event.domain])}", file=sys.stderr, flush=True)


class Events(Board):
    """A JSON object a line on standard output: `event`, `outcome` or `note`, and the rest of its fields."""

    def event(self, event: Event) -> None:
        self._print({"event": "progress", **msgspec.structs.asdict(event)})

    def outcome(self, outcome: TrainingOutcome) -> None:
        self._print({"event": "outcome", **msgspec.structs.asdict(outcome)})

    def note(self, text: str) -> None:
        self._print({"event": "note", "text": text})

    def _print(self, fields: dict[str, object]) -> None:
        print(msgspec.json.encode(fields).decode(), flush=True)


class Bars(Board):
    """A bar for each domain in training, with its stage, rows, round, loss and remaining time."""

    def __init__(self, progress: Progress, n: int) -> None:
        self._progress, self._tasks, self._rows = progress, dict[str, tuple[TaskID, str]](), dict[str, float]()
        self._all = progress.add_task("all domains", total=n)

    def event(self, event: Event) -> None:
        self._rows[event.domain] = event.figures.get("rows", self._rows.get(event.domain, 0.0))
        task, stage = self._tasks.get(event.domain, (None, ""))
        if task is None or stage != event.stage:
            if task is not None:
                self._progress.remove_task(task)
            task = self._progress.add_task(event.domain, total=event.total or None)
            self._tasks[event.domain] = task, event.stage
        text = f"{event.domain}: {_text(event, self._rows[event.domain])}"
        self._progress.update(task, description=text, completed=event.done, total=event.total or None)

    def outcome(self, outcome: TrainingOutcome) -> None:
        task, _ = self._tasks.pop(outcome.domain, (None, ""))
        if task is not None:
            self._progress.remove_task(task)
        self._progress.advance(self._all)

    def note(self, text: str) -> None:
        self._progress.console.print(f"arbitrank: {text}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def board(n: int, *, json: bool = False) -> Iterator[Board]:
    """A board for `n` domains: events with `json`, bars where standard error is a terminal, else lines."""
    console = Console(stderr=True)
    if json or not console.is_terminal:
        yield Events() if json else Lines(n)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield Bars(progress, n)


def _text(event: Event, rows: float) -> str:
    steps = [f"{event.stage} {event.done}/{event.total}" if event.total > 1 else event.stage]
    steps += [f"{rows:.0f} rows"] if rows else []
    steps += [f"{name} {value:.6g}" for name, value in event.figures.items() if name != "rows"]
    return ", ".join(steps)
