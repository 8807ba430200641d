"""Exception boundary around plugin code: the one place that catches whatever a call raises and makes it a value."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ParamSpec, TypeVar

import pluggy

__all__ = ["Fault", "describe", "guarded", "guarded_async", "place_of", "shown"]

_HERE = Path(__file__).parent
_LIBRARIES = frozenset(Path(module.__file__ or "").parent for module in (dataclasses, json, pluggy))

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Fault:
    """The exception that a guarded call raised."""

    error: BaseException

    @property
    def reason(self) -> str:
        """The exception's class and text in one line, as `describe` gives it."""
        return describe(self.error)

    @property
    def placed(self) -> str:
        """The reason, and the file and line of the plugin's code in which the exception arose, where that is known."""
        place = place_of(self.error)
        return f"{self.reason} ({place})" if place else self.reason


def guarded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Fault:
    """The result of `function(*args, **kwargs)`, or a `Fault` with whatever it raised, `SystemExit` included.

    Only `KeyboardInterrupt` is raised: it comes from the user, not from the function.
    """
    try:
        return function(*args, **kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Fault(error)


async def guarded_async(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T | Fault:
    """As `guarded`, the awaited result of a coroutine function. A cancellation is raised as well."""
    from asyncio import CancelledError  # slow to import, and only the service needs it

    try:
        return await function(*args, **kwargs)
    except (KeyboardInterrupt, CancelledError):
        raise
    except BaseException as error:
        return Fault(error)


def place_of(error: BaseException) -> str | None:
    """`FILE:LINE` of the innermost frame outside of this package and of installed libraries; None where all are inside.

    A plugin's file is named by its last two parts, as in `arbitrank_zoo/plugin.py:40`.
    """
    found = None
    trace = error.__traceback__
    while trace is not None:
        name = _outside(trace.tb_frame.f_code.co_filename)
        if name is not None:
            found = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


@lru_cache(maxsize=256)
def _outside(file: str) -> str | None:
    """The last two parts of a file's path, None for one of this package or of a library."""
    path = Path(file)
    if path.suffix != ".py" or _HERE in path.parents or not _LIBRARIES.isdisjoint(path.parents):
        return None
    return "/".join(path.parts[-2:])


def describe(error: BaseException) -> str:
    """The exception's class and text in one line. Never raises, not even where the exception's `__str__` does."""
    text = guarded(str, error)
    if isinstance(text, Fault):
        text = f"its text raises {type(text.error).__name__}"
    text = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()  # JSON holds no lone surrogate
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown(value: object, length: int = 80) -> str:
    """The kind and the text of a plugin's value in one line, as in `the tuple (0.5, 1)`. Never raises."""
    if value is None:
        return "None"
    text = guarded(repr, value)
    text = "without a text" if isinstance(text, Fault) else " ".join(text.split())
    return f"the {type(value).__name__} {text if len(text) <= length else f'{text[: length - 1]}…'}"
