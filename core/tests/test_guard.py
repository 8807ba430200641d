"""The guard turns whatever a plugin raises into a value, except the user's interrupt."""

from __future__ import annotations

import asyncio

import pytest

from arbitrank.errors import describe
from arbitrank.guard import Fault, guarded, guarded_async


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


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


def test_an_interrupt_is_raised() -> None:
    with pytest.raises(KeyboardInterrupt):
        guarded(raises, KeyboardInterrupt())


def test_what_a_coroutine_raises_is_a_fault_except_an_interrupt_and_a_cancellation() -> None:
    async def double(value: int) -> int:
        return 2 * value

    async def fail(error: BaseException) -> None:
        raise error

    error = ValueError("bad")
    assert asyncio.run(guarded_async(double, 4)) == 8
    fault = asyncio.run(guarded_async(fail, error))
    assert isinstance(fault, Fault)
    assert fault.error is error
    for raised in (KeyboardInterrupt(), asyncio.CancelledError()):
        with pytest.raises(type(raised)):
            asyncio.run(guarded_async(fail, raised))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\nlines"), "ValueError: two lines"),
        (KeyError(), "KeyError"),
        (Unprintable(), "Unprintable: its text raises SystemExit"),
    ],
)
def test_an_error_is_described_in_one_line(error: BaseException, text: str) -> None:
    assert describe(error) == text
