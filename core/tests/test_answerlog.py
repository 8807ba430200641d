"""The log: what was answered is there, with what became of it, whatever happens to its writer; and no words, if so."""

from __future__ import annotations

import errno
import gzip
import json
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import ended, forked

from arbitrank.answerlog import segments as files
from arbitrank.answerlog.feedback import Feedback, FeedbackById, UnusedFeedback
from arbitrank.answerlog.joining import LogView, view
from arbitrank.answerlog.reader import find, lines_of, read_log, read_truths, report
from arbitrank.answerlog.redaction import Redactor
from arbitrank.answerlog.segments import begun, is_log, prune, segments
from arbitrank.answerlog.settings import LogSettings
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.domain import Model, Scores, Settings
from arbitrank.errors import DataError, InputError
from arbitrank.impact.replay_one import replay
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.selections import ServedSelection
from arbitrank.semer import semantic_errors
from arbitrank.values import (
    Answer,
    Decision,
    DomainReport,
    Example,
    Hypothesis,
    Ranked,
    Request,
    Slot,
    Truth,
)
from arbitrank.wire.json_lines import MAX_LINE, BadLine
from arbitrank.wire.requests import Logged

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
KEY = b"k" * 32
LIGHT = Hypothesis("lights", "On", 0.9, 0.8, (Slot("room", "Hall", 0.7),), 0.6, features={"known": 1.0})
HEAT = Hypothesis("heating", "Warm", 0.2)


class Fixed(Model):
    """Reads every request as one hypothesis, and claims what that says."""

    def __init__(self, reading: Hypothesis) -> None:
        self.reading = reading

    def recognise(self, request: Request) -> list[Hypothesis]:
        return [self.reading]

    def rerank(self, request: Request) -> Scores:
        assert request.hypotheses
        mine, n = request.hypotheses[0].domain_confidence or 0.0, len(request.hypotheses)
        return Scores(mine, np.full(n, mine / n))


ARBITRATOR = Arbitrator({"heating": Serving(Fixed(HEAT), "2", "store"), "lights": Serving(Fixed(LIGHT), "1", "store")})


def say(log: AnswerLog, id: str | None, utterance: str = "light the Hall", **more: Any) -> Answer:
    """Answer a request and log it."""
    request = Request(id=id, utterance=utterance, **more)
    found = ARBITRATOR.arbitrate(request)
    answer = found.answer
    log.write(request, answer, found.hypotheses)
    return answer


def read(folder: Path) -> list[Logged]:
    """The lines of a log of which every one can be read."""
    found = list(read_log(folder))
    assert [one for one in found if isinstance(one, BadLine)] == []
    return [one for one in found if isinstance(one, Logged)]


def at(*times: float) -> Callable[[], float]:
    """A clock that shows these times, the last one for ever."""
    left = list(times)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


# ------------------------------------------------------------------------------------------------------ what is logged


def test_a_line_holds_the_request_what_was_recognised_and_the_answer(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "log") as log:
        answer = say(log, "1", context={"device": "hub"}, session="s")
    (line,) = read(tmp_path / "log")
    assert (line.id, line.utterance, line.context, line.session) == ("1", "light the Hall", {"device": "hub"}, "s")
    assert line.hypotheses == (HEAT, LIGHT)
    assert line.recognised
    assert line.answer == answer
    assert line.time == pytest.approx(time.time(), abs=60)


def test_hypotheses_that_the_caller_brought_are_logged_as_such(tmp_path: Path) -> None:
    request = Request(id="1", hypotheses=(HEAT,))
    with AnswerLog(tmp_path) as log:
        log.write(request, ARBITRATOR.answer(request))
        log.write(Request(id="2", hypotheses=()), ARBITRATOR.answer(Request(hypotheses=())))
    one, two = read(tmp_path)
    assert (one.hypotheses, one.recognised) == ((HEAT,), False)
    assert two.hypotheses == ()


@pytest.mark.parametrize("writers", [1, 4])
def test_any_thread_may_write(tmp_path: Path, writers: int) -> None:
    with AnswerLog(tmp_path) as log:
        threads = [
            threading.Thread(target=lambda k=k: [say(log, f"{k}-{i}") for i in range(200)]) for k in range(writers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(line.id or "" for line in read(tmp_path)) == sorted(
        f"{k}-{i}" for k in range(writers) for i in range(200)
    )
    assert log.status().written == 200 * writers


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "log") as log:
        say(log, "1")
    (segment,) = segments(tmp_path / "log")
    assert segment.stat().st_mode & 0o077 == 0
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/log: cannot be made"):
        AnswerLog(tmp_path / "file" / "log")


def test_what_was_never_written_leaves_no_file(tmp_path: Path) -> None:
    AnswerLog(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- feedback


def test_feedback_is_joined_by_id_from_whatever_segment_it_stands_in(tmp_path: Path) -> None:
    truth = Truth("lights", "On", (Slot("room", "attic"),))
    with AnswerLog(tmp_path, clock=at(1.2e9)) as log:
        say(log, "1")
        say(log, "2")
        say(log, "3")
    with AnswerLog(tmp_path, clock=at(1e9)) as log:  # in a segment that is read before
        log.feedback(Feedback(id="1", truth=truth))
        log.feedback(Feedback(id="of nothing", truth=truth))
    with AnswerLog(tmp_path, clock=at(1.4e9)) as log:
        log.feedback(Feedback(id="2", outcome="rejected"))
        log.feedback(Feedback(id="2", truth=Truth(None)))
    assert [(line.id, line.truth, line.outcome) for line in read(tmp_path)] == [
        ("1", truth, None),
        ("2", Truth(None), "rejected"),
        ("3", None, None),
    ]
    assert [e.request.id for e in read_truths(tmp_path) if isinstance(e, Example)] == ["1", "2"]
    found = report(view(tmp_path))
    assert (found.requests, found.with_truth, found.with_outcome, found.bad_lines) == (3, 2, 1, 0)


def test_the_later_of_two_truths_counts_where_the_clock_was_ahead(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, LogSettings(segment_bytes=1), clock=at(3e9, 3e9, 2e9, 2e9, 1e9, 1e9)) as log:
        for truth in ("lights", "heating"):
            log.feedback(Feedback(id="1", truth=Truth(truth)))
            log.flush()
        say(log, "1")
    assert len(segments(tmp_path)) == 3
    (line,) = read(tmp_path)
    assert line.truth == Truth("heating")


def test_the_latest_feedback_counts_whichever_process_wrote_it(tmp_path: Path) -> None:
    first, second = (AnswerLog(tmp_path, clock=clock) for clock in (at(10.0, 10.0, 13.0), at(11.0, 11.0, 12.0)))
    with first, second:
        say(first, "1")
        first.flush()
        second.feedback(Feedback(id="1", truth=Truth("heating"), outcome="rejected"))  # a segment that is read last
        second.flush()
        first.feedback(Feedback(id="1", truth=Truth("lights"), outcome="accepted"))
    (line,) = read(tmp_path)
    assert (line.truth, line.outcome) == (Truth("lights"), "accepted")


@pytest.mark.parametrize("early", [None, 100.0])
def test_feedback_that_is_of_another_answer_takes_no_others_place(tmp_path: Path, early: float | None) -> None:
    other = None if early else "another"
    with AnswerLog(tmp_path, clock=at(1_000.0)) as log:
        say(log, "1", session="own")
        log.feedback(Feedback(id="1", truth=Truth("lights"), outcome="accepted", session="own"))
    with AnswerLog(tmp_path, clock=at(early or 1_001.0)) as log:
        log.feedback(Feedback(id="1", outcome="rejected", session=other))
    (line,) = read(tmp_path)
    assert (line.truth, line.outcome) == (Truth("lights"), "accepted")


def test_a_truth_that_names_another_session_is_not_used(tmp_path: Path) -> None:
    with AnswerLog(tmp_path) as log:
        for id, named in (("1", "another"), ("2", "own"), ("3", None)):
            say(log, id, session={"id": "own", "turn": 2})
            log.feedback(Feedback(id=id, truth=Truth("lights"), session=named))
    assert [line.truth for line in read(tmp_path)] == [None, Truth("lights"), Truth("lights")]
    assert [one.request.id for one in read_truths(tmp_path) if isinstance(one, Example)] == ["2", "3"]


@given(st.permutations([("own", 3.0), ("own", 1.0), ("another", 4.0), (None, 2.0), ("another", 2.5), ("third", 5.0)]))
def test_of_each_session_the_latest_reaction_is_kept_in_any_order(said: list[tuple[str | None, float]]) -> None:
    feedback = FeedbackById()
    for session, when in said:
        outcome = "accepted" if (session, when) == ("own", 3.0) else "rejected"
        line = msgspec.json.encode(Feedback(id="1", outcome=outcome, time=when, session=session))
        feedback.add("log:1", line)
    found = feedback.with_feedback(Logged(id="1", session="own", utterance="a", time=1.0))
    assert found.outcome == "accepted"
    assert feedback.use().unused == UnusedFeedback(repeated=3, other_session=2)


def test_an_outcome_keeps_the_skill_that_it_names_and_another_outcome_takes_its_place(tmp_path: Path) -> None:
    with AnswerLog(tmp_path) as log:
        for id in ("1", "2", "3"):
            say(log, id)
            log.feedback(Feedback(id=id, outcome="rejected", called='harbour/"tides"'))
        log.feedback(Feedback(id="2", outcome="accepted"))
        log.feedback(Feedback(id="3", truth=Truth("lights")))
    assert [(line.id, line.outcome, line.called) for line in read(tmp_path)] == [
        ("1", "rejected", 'harbour/"tides"'),
        ("2", "accepted", None),
        ("3", "rejected", 'harbour/"tides"'),
    ]


def test_feedback_is_not_empty() -> None:
    with pytest.raises(msgspec.ValidationError, match="neither truth nor outcome, expected one of them"):
        msgspec.json.decode('{"id": "1"}', type=Feedback)


# ------------------------------------------------------------------------------------------------- segments come and go


def test_a_segment_ends_by_size_and_by_age(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "size", LogSettings(segment_bytes=5_000)) as log:
        for i in range(200):
            say(log, str(i))
    found = segments(tmp_path / "size")
    assert len(found) > 3
    assert all(path.stat().st_size < 5_000 + 32 * 1_000 for path in found)
    assert [line.id for line in read(tmp_path / "size")] == [str(i) for i in range(200)]
    with AnswerLog(tmp_path / "age", LogSettings(segment_seconds=1e-6)) as log:
        for i in range(3):
            say(log, str(i))
            log.flush()
            log._rotate()
    assert len(segments(tmp_path / "age")) == 3


def test_the_clock_going_back_leaves_a_process_in_order(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, LogSettings(segment_bytes=1), clock=at(*[5e8 - i for i in range(40)])) as log:
        for i in range(10):
            say(log, str(i))
            log.flush()
    assert [line.id for line in read(tmp_path)] == [str(i) for i in range(10)]
    assert len({begun(path) for path in segments(tmp_path)}) == 1


@pytest.mark.parametrize("time", [float("nan"), 1e300, -1e300])
def test_an_invalid_clock_is_a_problem_and_stops_nothing(tmp_path: Path, time: float) -> None:
    log = AnswerLog(tmp_path, LogSettings(days=1), clock=at(time))
    say(log, "1")
    log.flush()
    status = log.status()
    assert status.failed + status.refused + status.written == 1
    assert status.problem is not None or status.written == 1
    log.close()


def test_gzipped_segments_are_read_and_one_that_is_being_gzipped_is_read_once(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, LogSettings(segment_bytes=1)) as log:
        for i in range(3):
            say(log, str(i))
            log.flush()
    first, second, _ = segments(tmp_path)
    seen = view(tmp_path)
    for path in (first, second):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    first.unlink()
    assert [line.id for line in read(tmp_path)] == ["0", "1", "2"]
    assert len(list(lines_of(seen))) == 3, "it was gzipped after the look at what there is"


def test_too_old_segments_go_and_those_of_a_time_to_come_stay(tmp_path: Path) -> None:
    day = 86_400.0
    now = 1e9
    for age in (40, 31, 29, -5):
        with AnswerLog(tmp_path, clock=at(now - age * day)) as log:
            say(log, f"{age} days")
    (tmp_path / "20000101T000000.000000Z.txt").write_text("somebody else's")
    log = AnswerLog(tmp_path, LogSettings(days=30), clock=at(now))
    assert log.status().removed == 2
    log.close()
    assert [line.id for line in read(tmp_path)] == ["29 days", "-5 days"]
    assert len(prune(tmp_path, 20, now)) == 1
    assert (tmp_path / "20000101T000000.000000Z.txt").exists()


def test_a_folder_that_somebody_removes_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with AnswerLog(folder) as log:
        say(log, "1")
        log.flush()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        log.flush()
        assert "removed by someone else" in (log.status().problem or "")
        say(log, "2")
    assert [line.id for line in read(folder)] == ["2"]
    assert log.status().problem is None


def test_a_folder_without_a_log_is_named(tmp_path: Path) -> None:
    assert not is_log(tmp_path)
    with pytest.raises(DataError, match="no segment of a log in it"):
        list(read_log(tmp_path))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_log(tmp_path / "none"))


# ------------------------------------------------------------------------------------------- it never waits nor raises


def test_a_full_queue_drops_lines_and_blocks_no_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, go_on = threading.Event(), threading.Event()
    write = os.write

    def hangs(file: int, content: bytes) -> int:
        stuck.set()
        go_on.wait(30)
        return write(file, content)

    monkeypatch.setattr(files, "os", SimpleNamespace(**{**vars(os), "write": hangs}))
    log = AnswerLog(tmp_path, LogSettings(waiting=10))
    say(log, "first")
    assert stuck.wait(30)
    for i in range(25):
        say(log, str(i))  # returns though nothing is written before `go_on`
    assert not go_on.is_set()
    assert (log.status().dropped, log.status().waiting) == (15, 10)
    go_on.set()
    log.close()
    assert [line.id for line in read(tmp_path)] == ["first", *map(str, range(10))]
    assert log.status().dropped == 15


def test_long_lines_fill_the_room_sooner(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path, LogSettings(waiting=10))
    long = Request(id="1", utterance="x" * (90 << 10))
    answer = ARBITRATOR.answer(Request(hypotheses=()))
    with log._writing:
        for _ in range(5):
            log.write(long, answer)
        assert (log.status().waiting, log.status().dropped) == (2, 3)
    log.flush()
    log.write(long, answer)
    log.close()
    assert log.status().written == 3


def test_an_encoded_answer_is_logged_as_it_was_sent_unless_words_are_left_out(tmp_path: Path) -> None:
    request = Request(id="1", utterance="light the Hall")
    answer = ARBITRATOR.answer(request)
    encoded = msgspec.json.encode(answer)
    for words, clock in (("keep", at(1e9)), ("drop", at(1e9))):
        lines = []
        for own in (None, encoded):
            folder = tmp_path / f"{words} {own is None}"
            with AnswerLog(folder, LogSettings(words=words), clock=clock) as log:  # type: ignore[arg-type]
                log.write(request, answer, selection=lambda: ServedSelection((0,), 0.25), encoded=own)
            lines.append(b"".join(path.read_bytes() for path in segments(folder)))
        assert lines[0] == lines[1]
        assert (encoded[:-1] in lines[1]) == (words == "keep")
        assert b'"selection":{"eligible":[0],"probability":0.25' in lines[1]
        assert (b"Hall" in lines[1]) == (words == "keep")


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (Request(id="1", context={"what": object()}), "cannot be encoded: TypeError"),
        (Request(id="1", utterance="\ud800"), "cannot be encoded: UnicodeEncodeError"),
        (Request(id="1", utterance="x" * MAX_LINE), "expected at most"),
    ],
)
def test_what_no_reader_would_take_is_refused_and_counted(tmp_path: Path, request_: Request, why: str) -> None:
    with AnswerLog(tmp_path) as log:
        log.write(request_, ARBITRATOR.answer(Request(hypotheses=())))
        log.flush()
        assert log.status().refused == 1
        assert why in (log.status().problem or "")
        say(log, "2")
    assert [line.id for line in read(tmp_path)] == ["2"]


def test_after_its_end_nothing_is_taken(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path)
    log.close()
    say(log, "1")
    assert log.status().dropped == 1


def test_a_full_disk_is_reported_costs_its_lines_and_is_recovered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [10_000_000]
    write = os.write

    def bounded(file: int, content: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(file, content[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(files, "os", SimpleNamespace(**{**vars(os), "write": bounded}))
    with AnswerLog(tmp_path) as log:
        say(log, "before")
        log.flush()
        for left in (0, 10, 900):
            room[0] = left
            for i in range(5):
                say(log, f"{left}-{i}")
            log.flush()
            assert "No space left" in (log.status().problem or "")
        room[0] = 10_000_000
        say(log, "after")
        log.flush()
        status = log.status()
    assert status.problem is None
    there = [line.id for line in read(tmp_path)]
    assert there[0], there[-1] == ("before", "after")
    assert status.written == len(there)
    assert status.written + status.failed == 17
    assert len(list(tmp_path.iterdir())) <= 3, "no litter of empty segments"


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@needs_fork
def test_a_limit_on_the_size_of_files_costs_a_line_now_and_then(tmp_path: Path) -> None:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with AnswerLog(tmp_path) as log:
            for i in range(100):
                say(log, str(i))
                if i % 5 == 0:
                    log.flush()
        status = log.status()
        assert status.written + status.failed == 100
        assert 80 < status.written < 100, status

    assert ended(forked(work)) == 0
    assert all(0 < path.stat().st_size <= 20_000 for path in segments(tmp_path))
    assert 80 < len(read(tmp_path)) < 100


def test_a_failed_sync_is_reported_and_the_next_lines_go_to_another_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(file: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    with AnswerLog(tmp_path, LogSettings(sync_seconds=1e9)) as log:
        say(log, "1")
        with monkeypatch.context() as patched:
            patched.setattr(files, "os", SimpleNamespace(**{**vars(os), "fsync": fails}))
            log.flush()
        assert "not synced" in (log.status().problem or "")
        say(log, "2")
    assert log.status().problem is None
    assert len(segments(tmp_path)) == 2


def test_much_is_synced_before_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Event()

    def sync(file: int) -> None:
        synced.set()

    monkeypatch.setattr(files, "os", SimpleNamespace(**{**vars(os), "fsync": sync}))
    with AnswerLog(tmp_path, LogSettings(sync_seconds=1e9)) as log:
        say(log, "short")
        log.flush()
        synced.clear()  # also of the folder
        answer = ARBITRATOR.answer(Request(hypotheses=()))
        for i in range(30):
            log.write(Request(id=str(i), utterance="x" * 90_000), answer)
        assert synced.wait(30)


# ------------------------------------------------------------------------------------------------------ torn and killed


def test_a_torn_line_is_reported_and_skipped_and_never_appended_to(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "log") as log:
        for i in range(3):
            say(log, str(i))
    (segment,) = segments(tmp_path / "log")
    whole = segment.read_bytes()
    last = len(whole) - len(whole.splitlines()[-1]) - 1
    for end in [*range(last + 1, len(whole), 97), len(whole) - 1]:
        segment.write_bytes(whole[:end])
        torn = list(read_log(tmp_path / "log"))
        assert [one.id for one in torn if isinstance(one, Logged)] == ["0", "1"]
        assert torn[2] == BadLine(
            f"{segment}:3", "ends in the middle of a line: its writer was killed, or is writing it now; skipped"
        )
    with AnswerLog(tmp_path / "log") as log:
        say(log, "4")
    assert segment.read_bytes() == whole[:-1]
    assert [one.id for one in read_log(tmp_path / "log") if isinstance(one, Logged)] == ["0", "1", "4"]
    assert report(view(tmp_path / "log")).bad_lines == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 5_000,
        b"\xff\xfe{}",
        b"[]",
        b'{"id": 1}',
        b"x" * (3 * MAX_LINE),
        b"[" * 100_000,
        b'{"id": "1", "truth": 3}',
    ],
)
def test_garbage_costs_its_line_alone(tmp_path: Path, garbage: bytes) -> None:
    with AnswerLog(tmp_path) as log:
        say(log, "1")
        say(log, "2")
    (segment,) = segments(tmp_path)
    one, two = segment.read_bytes().splitlines()
    segment.write_bytes(b"\n".join((one, garbage, two, b"")))
    found = list(read_log(tmp_path))
    assert [line.id for line in found if isinstance(line, Logged)] == ["1", "2"]
    assert isinstance(found[1], BadLine)
    assert found[1].where == f"{segment}:2"


def test_a_gzipped_segment_that_is_damaged_costs_what_is_behind_that(tmp_path: Path) -> None:
    with AnswerLog(tmp_path, LogSettings(segment_bytes=1)) as log:
        for i in range(2):
            say(log, str(i))
            log.flush()
    first, _ = segments(tmp_path)
    first.with_name(f"{first.name}.gz").write_bytes(gzip.compress(first.read_bytes())[:-20])
    first.unlink()
    found = list(read_log(tmp_path))
    assert any(isinstance(one, BadLine) and "cannot be read" in one.reason for one in found)
    assert "1" in [one.id for one in found if isinstance(one, Logged)]


@needs_fork
@pytest.mark.full
def test_killed_at_any_moment_it_loses_at_most_what_was_not_synced(
    tmp_path: Path, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was synced is there, whole, in order and without a hole; of the rest a beginning, and one torn line."""
    drawn = random.Random(5)
    torn = 0
    for kill in range(int(300 * scale)):
        folder = tmp_path / str(kill)
        reading, writing = os.pipe()

        def work(folder: Path = folder, writing: int = writing) -> None:
            def little(file: int, content: bytes) -> int:  # a kill can come between any two of these
                return os.write(file, content[:3])

            monkeypatch.setattr(files, "os", SimpleNamespace(**{**vars(os), "write": little}))
            log = AnswerLog(folder, LogSettings(segment_bytes=20_000, sync_seconds=0.0, waiting=10**6))
            for i in range(10**6):
                say(log, str(i), "light the Hall " * (i % 50))
                if i % 20 == 19:
                    log.flush()
                    os.write(writing, f"{i}\n".encode())

        child = forked(work)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            acknowledged = pipe.readline()
            time.sleep(drawn.random() * 0.05)
            os.kill(child, signal.SIGKILL)
            assert ended(child) == -signal.SIGKILL
            acknowledged = (acknowledged + pipe.read()).split("\n")[-2]
        with AnswerLog(folder) as log:  # the next one
            say(log, "next")
        found = list(read_log(folder))
        ids = [one.id for one in found if isinstance(one, Logged)]
        assert ids[:-1] == [str(i) for i in range(len(ids) - 1)]
        assert ids[-1] == "next"
        assert len(ids) - 2 >= int(acknowledged)
        torn += len(found) - len(ids)
        assert len(found) - len(ids) <= 1
    assert torn, "no kill came while a line was written, so that nothing was tried"


@needs_fork
def test_processes_write_at_once_without_a_lock(tmp_path: Path) -> None:
    def work(k: int) -> None:
        with AnswerLog(tmp_path, LogSettings(segment_bytes=30_000)) as log:
            for i in range(300):
                say(log, f"{k}-{i}")
                log.feedback(Feedback(id=f"{1 - k}-{i}", truth=Truth("lights", "On", (Slot("room", str(i)),))))

    children = [forked(lambda k=k: work(k)) for k in range(2)]
    found = 0
    while found < 600:  # what is whole can be read at any time, and a line that is being written only comes last
        found = sum(isinstance(one, Logged) for one in read_log(tmp_path)) if is_log(tmp_path) else 0
    assert [ended(child) for child in children] == [0, 0]
    lines = read(tmp_path)
    assert sorted(line.id or "" for line in lines) == sorted(f"{k}-{i}" for k in range(2) for i in range(300))
    assert all(line.truth and line.truth.slots[0].value == (line.id or "").split("-")[1] for line in lines)


def test_two_of_one_name_do_not_share_a_segment(tmp_path: Path) -> None:
    """Containers may have the same process number, and start at the same time."""
    with AnswerLog(tmp_path, clock=at(1e9)) as one, AnswerLog(tmp_path, clock=at(1e9)) as two:
        for log in (one, two):
            say(log, "1")
            log.flush()
        assert one.status().segment != two.status().segment
    assert len(read(tmp_path)) == 2


def test_a_view_of_a_log_does_not_grow(tmp_path: Path) -> None:
    with AnswerLog(tmp_path) as log:
        say(log, "1")
        log.flush()
        seen = view(tmp_path)
        say(log, "2")
        log.feedback(Feedback(id="1", truth=Truth(None)))
        log.flush()
        assert [msgspec.json.decode(line)["id"] for _, line in lines_of(seen)] == ["1"]
        assert seen == LogView(tmp_path, seen.segments)
        assert len(list(lines_of(view(tmp_path)))) == 2


# -------------------------------------------------------------------------------------------------------------- privacy

WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=12)
# What people say is told from names by a mark that no name has, so that it is found wherever it hides.
SAID = WORD.map(lambda word: f"§{word}§")
SLOTS = st.lists(
    st.builds(
        Slot,
        name=st.sampled_from(["room", "when"]),
        value=SAID,
        confidence=st.none() | st.just(0.5),
        start=st.none() | st.integers(0, 9),
        end=st.none() | st.integers(0, 9),
    ),
    max_size=3,
).map(tuple)
READING = st.builds(
    Hypothesis,
    domain=st.sampled_from(["lights", "heating"]),
    intent=st.just("On"),
    slots=SLOTS,
    domain_confidence=st.just(0.5),
    features=st.just({"known": 1.0}),
)
TRUTH = st.builds(Truth, domain=st.just("lights"), intent=st.just("On"), slots=SLOTS)
JSON = st.recursive(
    SAID | st.booleans(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(SAID, inner, max_size=2)
)
OBJECT = st.dictionaries(SAID, JSON, max_size=2)
ERROR = SAID | SAID.map(lambda said: f"KeyError: {said}")
ANSWER = st.builds(
    Answer,
    id=st.just("1"),
    decision=st.just(Decision("accept", (0,))),
    ranked=st.lists(st.builds(Ranked, domain=st.just("lights"), intent=st.just("On"), slots=SLOTS), max_size=2).map(
        tuple
    ),
    domains=st.dictionaries(
        st.sampled_from(["lights", "heating"]),
        st.builds(DomainReport, status=st.sampled_from(["failed", "late"]), reason=ERROR)
        | st.builds(DomainReport, status=st.just("skipped"), reason=ERROR.map("the last time: {}".format)),
    ),
    ms=st.just({}),
)
LINE = st.builds(
    Logged,
    id=st.just("1"),
    utterance=st.none() | SAID,
    hypotheses=st.none() | st.lists(READING, max_size=3).map(tuple),
    context=st.dictionaries(st.sampled_from(["who", "place"]), JSON).map(lambda own: {**own, "device": "hub"}),
    session=st.none() | SAID | OBJECT,
    account=st.none() | OBJECT,
    dialogue=st.none() | SAID | OBJECT,
    answer=st.none() | ANSWER,
    truth=st.none() | TRUTH,
)


@given(LINE, st.sampled_from(["hash", "drop"]))
def test_no_words_survive_redaction(line: Logged, words: Any) -> None:
    redacted = Redactor(KEY if words == "hash" else None).line(line)
    text = msgspec.json.encode(redacted).decode()
    assert "§" not in text
    assert "§" not in json.dumps(json.loads(text), ensure_ascii=False)
    if words == "drop":
        assert redacted.utterance_hash is redacted.session is None
    # What re-rankers look at stays.
    assert redacted.length == line.length
    assert redacted.context == {"device": "hub"}
    assert len(redacted.hypotheses or ()) == len(line.hypotheses or ())
    for after, before in zip(redacted.hypotheses or (), line.hypotheses or (), strict=True):
        assert (after.domain_confidence, after.features) == (before.domain_confidence, before.features)
        assert [(s.name, s.confidence) for s in after.slots] == [(s.name, s.confidence) for s in before.slots]


@given(READING, TRUTH, st.booleans())
def test_a_hashed_reading_is_as_right_as_it_was(reading: Hypothesis, truth: Truth, same: bool) -> None:
    """Case and outer blanks do not count for either."""
    if same:
        slots = tuple(Slot(s.name, f" {s.value.upper()} ") for s in reading.slots)
        truth = Truth(reading.domain, reading.intent, slots)
    hashes = Redactor(KEY)
    line = hashes.line(Logged(hypotheses=(reading,)))
    (hashed,) = line.hypotheses or ()
    assert semantic_errors(hashed, hashes.truth(truth)) == semantic_errors(reading, truth)


def test_equal_values_stay_equal_and_another_key_gives_others() -> None:
    line = Logged(
        utterance="Hall", session={"id": "hall", "n": 1}, hypotheses=(LIGHT,),
        answer=Answer("1", Decision("none"), (Ranked("lights", "On", LIGHT.slots),), {}, {}),
    )  # fmt: skip
    one, again, other = (Redactor(key).line(line) for key in (KEY, KEY, b"o" * 32))
    assert one == again
    assert one.answer
    assert one.hypotheses
    value = one.hypotheses[0].slots[0].value
    assert one.utterance_hash == one.session == one.answer.ranked[0].slots[0].value == value
    assert value != other.hypotheses[0].slots[0].value  # type: ignore[index]
    assert len(value) == 24


def test_the_operator_chooses_the_context_that_is_kept() -> None:
    context = {
        "device": "hub", "who": "Ada", "lamp.hall": 1, "lamp": 2, "locale": {"nested": "x"}, "has_screen": True,
        "preference.lights.On": 0.5, "previous_domain": "x" * 201,
    }  # fmt: skip
    kept = Redactor(None).line(Logged(context=context)).context
    assert kept == {"device": "hub", "has_screen": True, "preference.lights.On": 0.5}
    kept = Redactor(None, ("who", "lamp.*")).line(Logged(context=context)).context
    assert kept == {"who": "Ada", "lamp.hall": 1}
    assert Redactor(None, ()).line(Logged(context=context)).context == {}


def test_redaction_keeps_the_cores_reasons_and_the_class_of_a_plugins_error() -> None:
    reports = {
        "a": DomainReport("failed", "1", 0.1, "KeyError: 'light the hall'"),
        "b": DomainReport("failed", "1", 0.1, "light the hall: no"),
        "c": DomainReport("skipped", "1", reason="the request brings no hypothesis of it"),
        "e": DomainReport("skipped", "1", reason="failed 3 times in a row; the last time: KeyError: 'light the hall'"),
        "d": DomainReport("answered", "1", reason="a canary"),
    }
    line = Redactor(None).line(Logged(answer=Answer("1", Decision("none"), (), reports, {})))
    assert line.answer
    assert {name: one.reason for name, one in line.answer.domains.items()} == {
        "a": "KeyError",
        "b": None,
        "c": "the request brings no hypothesis of it",
        "d": "a canary",
        "e": "failed 3 times in a row; the last time",
    }


def test_a_log_is_redacted_before_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    with AnswerLog(tmp_path / "log", LogSettings(words="hash", key=tmp_path / "key")) as log:
        say(log, "1", context={"who": "Ada"}, session="Ada's")
        log.feedback(Feedback(id="1", truth=Truth("lights", "On", (Slot("room", "hall", start=10, end=14),))))
    text = b"".join(path.read_bytes() for path in segments(tmp_path / "log"))
    for word in (b"Hall", b"hall", b"light the", b"Ada", KEY):
        assert word not in text
    (line,) = read(tmp_path / "log")
    assert line.hypotheses
    assert line.truth
    assert semantic_errors(line.hypotheses[1], line.truth) == 0


@pytest.mark.parametrize(
    ("content", "why"), [(None, "a log of hashed words needs a key"), (b"", "0 bytes"), (b"short", "5 bytes")]
)
def test_to_hash_takes_a_key(tmp_path: Path, content: bytes | None, why: str) -> None:
    key = tmp_path / "key" if content is not None else None
    if key and content is not None:
        key.write_bytes(content)
    with pytest.raises(InputError, match=why):
        AnswerLog(tmp_path / "log", LogSettings(words="hash", key=key))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        AnswerLog(tmp_path / "log", LogSettings(words="hash", key=tmp_path / "none"))


@given(st.floats(0.01, 1.0), st.text(st.characters(codec="utf-8"), min_size=1))
def test_feedback_is_sampled_with_its_answer_by_every_process(tmp_path_factory: Any, share: float, id: str) -> None:
    folder = tmp_path_factory.mktemp("log")
    with AnswerLog(folder, LogSettings(share=share)) as one, AnswerLog(folder, LogSettings(share=share)) as two:
        one.write(Request(id=id), ARBITRATOR.answer(Request(hypotheses=())))
        two.feedback(Feedback(id=id, outcome="accepted"))
    assert one.status().written == two.status().written


def test_the_share_that_is_logged_is_the_share_asked_for(tmp_path: Path) -> None:
    answer = ARBITRATOR.answer(Request(hypotheses=()))
    with AnswerLog(tmp_path, LogSettings(share=0.3)) as log:
        for i in range(5_000):
            log.write(Request(id=str(i)), answer)
        log.flush()
        assert 0.27 < log.status().written / 5_000 < 0.33


# --------------------------------------------------------------------------------------------------- what reads the log


class Lights(ReferenceDomain):
    name = "lights"


ROOMS = ("Hall", "attic", "kitchen")


def spoken(n: int = 600) -> Iterator[tuple[Request, Truth]]:
    """Requests whose hypotheses' confidences say less than they know, and what they meant."""
    drawn = random.Random(3)
    for i in range(n):
        own = drawn.random() < 0.5
        room, wrong = drawn.sample(ROOMS, 2)
        first = drawn.random() < 0.8
        mine = min(0.99, max(0.01, drawn.gauss(0.6 if own else 0.3, 0.15)))
        readings = tuple(
            Hypothesis("lights", "On", mine, p, (Slot("room", value),), 0.9)
            for p, value in ((0.6, room if first else wrong), (0.4, wrong if first else room))
        )
        heat = Hypothesis("heating", "Warm", 1.0 - mine, 0.9)
        truth = Truth("lights", "On", (Slot("room", room.upper()),)) if own else Truth("heating", "Warm")
        request = Request(id=str(i), utterance=f"light the {room} " + "now " * drawn.randrange(4),
                          hypotheses=(*readings, heat))  # fmt: skip
        yield request, truth


def logged(folder: Path, **kept: Any) -> Path:
    """A log of requests, most of them with their truth."""
    with AnswerLog(folder, LogSettings(**kept)) as log:
        for i, (request, truth) in enumerate(spoken()):
            log.write(request, ARBITRATOR.answer(request))
            log.feedback(Feedback(id=str(i), truth=truth) if i % 10 else Feedback(id=str(i), outcome="accepted"))
    return folder


def test_training_on_a_log_gives_working_weights_and_on_a_hashed_one_the_same(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    plain = logged(tmp_path / "plain")
    hashed = logged(tmp_path / "hashed", words="hash", key=tmp_path / "key")
    weights = []
    for folder in (plain, hashed):
        examples = [one for one in read_truths(folder) if isinstance(one, Example)]
        assert len(examples) == 540
        out = tmp_path / f"{folder.name} weights"
        out.mkdir()
        Lights().train(examples, out, Settings(seed=1))
        weights.append((out / "reranker" / "weights.json").read_bytes())
    assert weights[0] == weights[1]
    model = Lights().load(tmp_path / "hashed weights")
    arbitrator = Arbitrator({"lights": Serving(model, "1", "store")})
    right = 0
    for request, truth in spoken():
        own = msgspec.structs.replace(request, hypotheses=(request.hypotheses or ())[:2])
        right += (model.rerank(own).mine > 0.5) == (truth.domain == "lights")
        # The length of an utterance does for the utterance.
        blind = msgspec.structs.replace(request, utterance=None, utterance_length=request.length)
        assert arbitrator.answer(blind).ranked == arbitrator.answer(request).ranked
    assert right / 600 > 0.8


def test_a_request_is_replayed_by_its_words_or_by_what_was_logged(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "plain") as log:
        say(log, "1")
        say(log, "1", "the latest of that id")
        log.feedback(Feedback(id="1", truth=Truth("lights"), outcome="rejected"))
    line = find(view(tmp_path / "plain"), "1")
    assert line
    assert line.utterance == "the latest of that id"
    same = replay(line, ARBITRATOR)
    assert (same.anew, same.changed, same.truth, same.outcome) == (True, [], Truth("lights"), "rejected")
    sure = Serving(Fixed(Hypothesis("heating", "Warm", 0.99)), "3", "store")
    now = Arbitrator({**ARBITRATOR.domains, "heating": sure})
    other = replay(line, now)
    assert other.changed == [
        "the answer: lights On (room=Hall), accept, now heating Warm, accept",
        "heating: version 2, now 3",
        "heating: P(mine) 0.2000, now 0.9900",
    ]
    with AnswerLog(tmp_path / "dropped", LogSettings(words="drop")) as log:
        say(log, "1")
    line = find(view(tmp_path / "dropped"), "1")
    assert line
    again = replay(line, ARBITRATOR)
    assert (again.anew, again.changed) == (False, [])
    assert find(view(tmp_path / "dropped"), "2") is None
