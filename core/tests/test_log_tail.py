"""The tail of a log: the last requests of all writers, with what was reported of them, read once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from arbitrank.answerlog import tail
from arbitrank.answerlog.feedback import Feedback
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
