"""Exception boundary around plugin code: the one place that catches whatever a call raises and makes it a value."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ParamSpec, TypeVar

import pluggy

__all__ = ["Fault", "describe", "guarded", "guarded_async", "place_of", "shown", "text_of"]

_LONGEST = 500  # characters of an exception's text
_SECRET = re.compile(
    r"""(?ix) ( \b(?:password|passwd|pwd|secret|token|credential|(?:api|access|private)[_-]?key)s?\b ["']?\s*[:=]\s*
              | \bbearer\s+ | \bbasic\s+(?=[a-z0-9+/]{12}) | ://[^\s/:@]+: )
        ( "[^"]*" | '[^']*' | [^\s"'@,;&]+ )"""
)
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

    Only a `KeyboardInterrupt` that may be the user's is raised: none is in a service, or outside of the main thread.
    """
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _interruptible():
            raise
        return Fault(error)


async def guarded_async(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T | Fault:
    """As `guarded`, the awaited result of a coroutine function. A cancellation is raised as well."""
    from asyncio import CancelledError  # slow to import, and only the service needs it

    try:
        return await function(*args, **kwargs)
    except BaseException as error:
        if isinstance(error, CancelledError) or (isinstance(error, KeyboardInterrupt) and _interruptible()):
            raise
        return Fault(error)


def _interruptible() -> bool:
    """True where Python makes the user's interrupt a `KeyboardInterrupt`: in the main thread, by its own handler."""
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return own and threading.current_thread() is threading.main_thread()


def place_of(error: BaseException) -> str | None:
    """`FILE:LINE` of the innermost frame outside of this package and of installed libraries; None where all are inside.

    A plugin's file is named by its last two parts, as in `arbitrank_zoo/plugin.py:40`.
    """
    found = guarded(_place, error)
    return None if isinstance(found, Fault) else found


def _place(error: BaseException) -> str | None:
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
    """The exception's class and text in one line of bounded length. Never raises, not even where its `__str__` does."""
    name, text = guarded(_class_name, error), text_of(error, _LONGEST)
    return f"{name}: {text}" if text else str(name)


def text_of(error: BaseException, length: int) -> str:
    """The exception's text in one line, as it may be shown and logged. Never raises.

    What is not printable is escaped, and what looks like a password or a token left out, as far as that can be told.
    """
    text = guarded(str, error)
    if isinstance(text, Fault):
        return f"its text raises {guarded(_class_name, text.error)}"
    text = str.__str__(text)  # of a class of the plugin's own, too
    words = " ".join(text[: 4 * length].split())
    plain = _SECRET.sub(r"\1***", "".join(one if one.isprintable() else _escaped(one) for one in words))
    return plain if len(plain) <= length and len(text) <= 4 * length else f"{plain[: length - 1]}…"


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode()


def _class_name(error: BaseException) -> str:
    return type.__dict__["__name__"].__get__(type(error))[:80]  # type: ignore[no-any-return]


def shown(value: object, length: int = 80) -> str:
    """The kind and the text of a plugin's value in one line, as in `the tuple (0.5, 1)`. Never raises."""
    if value is None:
        return "None"
    text = guarded(repr, value)
    text = "without a text" if isinstance(text, Fault) else " ".join(text.split())
    return f"the {type(value).__name__} {text if len(text) <= length else f'{text[: length - 1]}…'}"
