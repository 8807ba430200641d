"""The guard turns whatever a plugin raises into a value, except the user's interrupt."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from arbitrank.errors import describe
from arbitrank.guard import Fault, guarded, guarded_async


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class Text(str):
    def split(self, *_: object) -> list[str]:
        raise RuntimeError

    encode = __getitem__ = __iter__ = split  # type: ignore[assignment]


class OtherText(Exception):
    def __str__(self) -> str:
        return Text(self.args[0])


class Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError


class Hostile(Exception, metaclass=Nameless):
    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise SystemExit


def raises(error: BaseException) -> None:
    raise error


def test_a_result_is_returned_as_it_is() -> None:
    assert guarded(divmod, 7, 2) == (3, 1)
    assert guarded(sorted, [1, 2], reverse=True) == [2, 1]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(1), MemoryError(), GeneratorExit(), Unprintable()])
def test_whatever_is_raised_is_a_fault(error: BaseException) -> None:
    fault = guarded(raises, error)
    assert isinstance(fault, Fault)
    assert fault.error is error
    assert fault.reason == describe(error)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_that_may_be_the_user_s_is_raised() -> None:
    with pytest.raises(KeyboardInterrupt):
        guarded(raises, KeyboardInterrupt())


def test_an_interrupt_that_is_not_the_user_s_is_a_fault() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert isinstance(pool.submit(guarded, raises, KeyboardInterrupt()).result(), Fault)
    before = signal.signal(signal.SIGINT, lambda *_: None)  # as in a service
    try:
        assert isinstance(guarded(raises, KeyboardInterrupt()), Fault)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_coroutine_raises_is_a_fault_except_a_cancellation() -> None:
    async def double(value: int) -> int:
        return 2 * value

    async def fail(error: BaseException) -> None:
        raise error

    error = ValueError("bad")
    assert asyncio.run(guarded_async(double, 4)) == 8
    for one in (error, KeyboardInterrupt()):  # an event loop has the user's interrupt cancel its task
        fault = asyncio.run(guarded_async(fail, one))
        assert isinstance(fault, Fault)
        assert fault.error is one
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(guarded_async(fail, asyncio.CancelledError()))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\x1b[31mred\0 \ud800 \u202e é"), r"ValueError: a\x1b[31mred\x00 \ud800 \u202e é"),
        (OtherText("plain"), "OtherText: plain"),
        (OSError("postgres://app:hunter2@db/x"), "OSError: postgres://app:***@db/x"),
        (ValueError('{"password": "hunter2", "a": 1}'), 'ValueError: {"password": ***, "a": 1}'),
        (ValueError("token=abc, Authorization: Bearer xyz"), "ValueError: token=***, Authorization: Bearer ***"),
        (ValueError("expected a token of kind x"), "ValueError: expected a token of kind x"),
        (ValueError("two\nlines"), "ValueError: two lines"),
        (KeyError(), "KeyError"),
        (Unprintable(), "Unprintable: its text raises SystemExit"),
    ],
)
def test_an_error_is_described_in_one_line(error: BaseException, text: str) -> None:
    assert describe(error) == text


def test_a_huge_text_is_cut() -> None:
    assert len(describe(ValueError("a" * 50_000_000))) < 600
    assert len(describe(ValueError(" \n" * 10_000 + "a"))) < 600
    assert describe(ValueError("a" * 499)) == f"ValueError: {'a' * 499}"


def test_a_hostile_exception_is_a_fault_with_a_reason() -> None:
    fault = guarded(raises, Hostile("x"))
    assert isinstance(fault, Fault)
    assert fault.placed == "Hostile: x"
