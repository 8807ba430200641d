"""Ids of a call: which are taken, which are made, and where they come out again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.reader import read_log
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.serve.call_ids import CURRENT, CallIds, call_ids, checked_traceparent, id_maker
from arbitrank.serve.event_log import EventLog
from arbitrank.values import Answer, Decision, Request
from arbitrank.wire.json_lines import BadLine

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def ids(*headers: tuple[bytes, bytes], make: Callable[[], str] = id_maker()) -> CallIds:
    return call_ids(headers, dict(headers), make)


@pytest.mark.parametrize("given", ["a", "7f3c-22", "Root=1-67891233-abcdef0123", "x" * 128, "a.b_c~d:/+=@,"])
def test_a_sane_request_id_is_taken(given: str) -> None:
    assert ids((b"x-request-id", given.encode())).request_id == given


@given(st.binary(max_size=300))
def test_any_request_id_in_a_reply_is_short_and_of_plain_characters(sent: bytes) -> None:
    found = ids((b"x-request-id", sent)).request_id
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~:/+=@,-]{0,127}", found)


@pytest.mark.parametrize("given", ["", " ", "x" * 129, "a b", "a\r\nset-cookie: x", "a\n", "<b>", "é", "-a", "a;b"])
def test_an_unusable_request_id_is_replaced(given: str) -> None:
    found = ids((b"x-request-id", given.encode()), make=lambda: "made")
    assert found == CallIds("made")


def test_made_ids_differ() -> None:
    makers = [id_maker() for _ in range(3)]
    assert len({make() for make in makers for _ in range(10)}) == 30


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (TRACE, TRACE),
        (TRACE[:-2] + "00", TRACE[:-2] + "00"),
        ("cc" + TRACE[2:] + "-more.of-a-later/version", TRACE),
        ("cc" + TRACE[2:], TRACE),
        (TRACE + "-more", None),
        ("ff" + TRACE[2:], None),
        (TRACE.upper(), None),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", None),
        (TRACE[:-1], None),
        (TRACE + "\n", None),
        ("", None),
        ("cc" + TRACE[2:] + "-" + "x" * 300, None),
    ],
)
def test_a_traceparent_is_taken_as_the_specification_says(given: str, taken: str | None) -> None:
    assert checked_traceparent(given.encode()) == taken


def test_two_traceparents_are_none() -> None:
    assert ids(*[(b"traceparent", TRACE.encode())] * 2).traceparent is None


def test_the_log_keeps_the_ids_of_the_call(tmp_path: Path) -> None:
    answer = Answer("1", Decision("none"), (), {}, {})
    with AnswerLog(tmp_path / "log") as log:
        log.write(Request(id="1", utterance="a"), answer, call=("mine", TRACE), arms={"music": "canary"})
        log.write(Request(id="2", utterance="a"), answer)
        log.feedback(Feedback(id="1", outcome="accepted"))
    first, second = read_log(tmp_path / "log")
    assert not isinstance(first, BadLine)
    assert not isinstance(second, BadLine)
    assert (first.request_id, first.traceparent, first.arms) == ("mine", TRACE, {"music": "canary"})
    assert (second.request_id, second.traceparent, second.arms) == (None, None, None)


def test_events_of_a_call_name_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    events = EventLog()
    events.write("before")
    token = CURRENT.set(CallIds("mine", TRACE))
    events.write("during")
    CURRENT.reset(token)
    events.close()
    before, during = map(json.loads, capfdbinary.readouterr().err.splitlines())
    assert "request_id" not in before
    assert (during["request_id"], during["traceparent"]) == ("mine", TRACE)
