"""The tail of a log: the last requests of all writers, with what was reported of them, read once."""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from arbitrank.answerlog import tail
from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.reader import read_log
from arbitrank.answerlog.tail import LogTail
from arbitrank.errors import DataError
from arbitrank.values import Answer, Decision, DomainReport, Hypothesis, Ranked, Truth
from arbitrank.wire.requests import Logged

NONE = Answer(None, Decision("none"), (), {}, {})


def line(id: str | None, time: float, utterance: str = "x") -> bytes:
    return msgspec.json.encode(Logged(id=id, utterance=utterance, answer=NONE, time=time)) + b"\n"


def write(folder: Path, writer: int, *lines: bytes, second: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / f"20261120T1246{second:02}.000000Z-{writer}-000001.jsonl").open("ab") as file:
        file.writelines(lines)


def ids(found: LogTail) -> list[str | None]:
    return [one.line.id for one in found.lines()]


def test_requests_of_all_writers_come_by_time_and_then_what_is_new(tmp_path: Path) -> None:
    found = LogTail(tmp_path / "log")
    assert ids(found) == []  # the folder is made by the first writer
    write(tmp_path / "log", 1, line("a", 1.0), line("c", 3.0))
    write(tmp_path / "log", 2, line("b", 2.0), second=1)
    assert ids(found) == ["c", "b", "a"]
    write(tmp_path / "log", 2, line("d", 4.0), b"no line of a log\n", line(None, 5.0), second=1)
    assert ids(found) == [None, "d", "c", "b", "a"]


def test_a_line_counts_once_it_is_whole(tmp_path: Path) -> None:
    found, whole = LogTail(tmp_path), line("a", 1.0)
    write(tmp_path, 1, whole[:20])
    assert ids(found) == []
    write(tmp_path, 1, whole[20:])
    assert ids(found) == ["a"]


def test_feedback_changes_its_request_and_when_that_was_changed(tmp_path: Path) -> None:
    found = LogTail(tmp_path)
    write(tmp_path, 1, line("a", 1.0), line("b", 2.0))
    assert ids(found) == ["b", "a"]
    write(tmp_path, 2, msgspec.json.encode(Feedback(id="a", outcome="rejected", called="tool", time=7.0)) + b"\n")
    write(tmp_path, 2, msgspec.json.encode(Feedback(id="a", truth=Truth("x"), time=8.0)) + b"\n")
    write(tmp_path, 2, msgspec.json.encode(Feedback(id="gone", truth=Truth("x"), time=9.0)) + b"\n")
    one = found.lines()[1]
    assert (one.line.outcome, one.line.called, one.line.truth, one.changed) == ("rejected", "tool", Truth("x"), 8.0)
    assert found.lines()[0].changed == 2.0


def feedback(**fields: Any) -> bytes:
    return msgspec.json.encode(Feedback(**fields)) + b"\n"


def test_feedback_is_joined_by_the_rules_of_the_whole_log_in_whatever_order_it_comes(tmp_path: Path) -> None:
    now, hour = time(), 3_600.0
    before = feedback(id="early", outcome="accepted", session=None, time=now - 2 * hour)
    write(tmp_path, 1, before, feedback(id="first", truth=Truth("x"), time=now))
    found = LogTail(tmp_path)
    assert ids(found) == []
    asked = {id: Logged(id=id, utterance="x", answer=NONE, time=now - hour, session="kitchen")
             for id in ("early", "first", "other", "future", "twice")}  # fmt: skip
    write(tmp_path, 2, *(msgspec.json.encode(one) + b"\n" for one in asked.values()))
    assert len(ids(found)) == 5
    write(
        tmp_path, 3,
        feedback(id="other", outcome="rejected", session="attic", time=now),
        feedback(id="future", outcome="rejected", session="kitchen", time=now + hour),
        feedback(id="twice", outcome="rejected", session="kitchen", time=now),
    )  # fmt: skip
    assert len(ids(found)) == 5
    write(tmp_path, 1, feedback(id="twice", outcome="accepted", session="kitchen", time=now))
    joined = {line.id: line for line in read_log(tmp_path) if isinstance(line, Logged)}
    assert {one.line.id: one.line for one in found.lines()} == joined
    assert {id for id, line in joined.items() if line.outcome or line.truth} == {"first", "twice"}
    assert (
        joined["twice"].outcome == "rejected"
    )  # in the order of the log, which one writer's segment before another's is


def test_feedback_on_requests_that_are_not_kept_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "LINES", 3)
    write(tmp_path, 1, *(feedback(id=str(n), truth=Truth("x")) for n in range(10)))
    found = LogTail(tmp_path)
    assert ids(found) == []
    write(tmp_path, 1, *(line(str(n), n) for n in range(5, 10)))
    assert [(one.line.id, one.line.truth) for one in found.lines()] == [(str(n), Truth("x")) for n in (9, 8, 7)]
    assert len(found._said) <= 6


def test_no_more_is_kept_nor_read_than_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "LINES", 3)
    write(tmp_path, 1, *(line(str(n), n) for n in range(10)))
    found = LogTail(tmp_path)
    assert ids(found) == ["9", "8", "7"]
    monkeypatch.setattr(tail, "_BYTES", 2 * len(line("0", 0.0)) + 10)
    assert ids(LogTail(tmp_path)) == ["9", "8"]
    write(tmp_path, 1, *(line(str(n), n) for n in range(10, 20)))
    assert ids(found) == ["19", "18", "9"]  # what was written too fast is left out
    write(tmp_path, 1, line("20", 20.0))
    assert ids(found) == ["20", "19", "18"]


def test_a_request_is_kept_in_short_and_read_again_where_the_whole_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = tuple(Ranked(name, "Do", score=0.5, why={"base": 0.0}) for name in ("lamp", "shade"))
    reports = {"lamp": DomainReport("answered"), "shade": DomainReport("failed", reason="ZeroDivisionError")}
    answer = Answer("a", Decision("accept", (1,)), ranked, reports, {"merge": 0.1})
    read = (Hypothesis("lamp", "Do"),)
    recognised = Logged(id="a", utterance="\u2028 x", answer=answer, time=1.0, hypotheses=read, recognised=True)
    redacted = Logged(id="b", utterance_length=3, answer=answer, time=2.0, hypotheses=read, recognised=True)
    write(tmp_path, 1, line("first", 0.0), *(msgspec.json.encode(one) + b"\n" for one in (recognised, redacted)))
    found = LogTail(tmp_path)
    second, first, _ = found.lines()
    assert first.line.answer is not None
    assert (first.line.answer.chosen, list(first.line.answer.domains)) == (Ranked("shade", "Do", score=0.5), ["shade"])
    assert (first.line.hypotheses, second.line.hypotheses) == (None, read)
    assert found.whole("a") == recognised
    assert found.whole("c") is None
    write(tmp_path, 2, msgspec.json.encode(Feedback(id="b", outcome="accepted")) + b"\n")
    assert found.whole("b") == replace(redacted, outcome="accepted")
    monkeypatch.setattr(tail, "_KEPT", 10)
    write(tmp_path, 1, line("d", 3.0))
    assert ids(found) == ["d"]  # what holds hypotheses goes, and what is older than that
    next(tmp_path.glob("*-1-*")).write_bytes(b"x" * 9_000)
    with pytest.raises(DataError, match="changed since"):
        found.whole("d")
