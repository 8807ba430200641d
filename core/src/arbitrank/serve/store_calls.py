"""Calls of the store by the service: each in a thread of its own, within a deadline, so that a store may hang."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from arbitrank.errors import StoreError
from arbitrank.guard import Fault, guarded

_SECONDS = 30.0
_MOST = 8  # calls at a time, of which all may hang

T = TypeVar("T")


class StoreCalls:
    """Makes calls of a store; at most a few wait for it at a time, and none for longer than some seconds."""

    def __init__(self, seconds: float = _SECONDS, most: int = _MOST) -> None:
        self._seconds, self._most, self._running = seconds, most, 0

    async def __call__(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """The result of a call. Raises what it raises, and `StoreError` where the store does not answer in time."""
        if self._running >= self._most:
            raise StoreError(f"the store does not answer: {self._running} calls wait for it; try again later")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T | Fault] = loop.create_future()
        self._running += 1

        def returned(result: T | Fault) -> None:
            self._running -= 1
            if not done.done():
                done.set_result(result)

        def call() -> None:
            result = guarded(function, *args, **kwargs)
            guarded(loop.call_soon_threadsafe, returned, result)  # the loop may have ended since

        threading.Thread(target=call, name="arbitrank store", daemon=True).start()
        try:
            result = await asyncio.wait_for(done, self._seconds)
        except TimeoutError:
            raise StoreError(
                f"the store has not answered after {self._seconds:g} s; a change may still be made; try again later"
            ) from None
        if isinstance(result, Fault):
            raise result.error
        return result
