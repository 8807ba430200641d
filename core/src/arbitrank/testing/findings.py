"""Findings of checks: what was seen, what is expected and the fix, with file, line and key where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import update_wrapper
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from arbitrank.domain import Domain
from arbitrank.errors import ArbitrankError
from arbitrank.guard import Fault, guarded
from arbitrank.nlu.data_faults import DataFault, DataFilesError
from arbitrank.plugin_hooks import expectation
from arbitrank.testing.subject import Subject

Level = Literal["broken", "warning"]

_SHOWN = 100  # characters of a value
_TEXT = 300  # characters of what was seen


class Finding(Struct, frozen=True):
    """One finding of a check: `broken` where its guarantee is, `warning` where the author should look.

    `seen` and `expected` are values, `fix` is the edit or the next command; `file`, `line` and `key` say where.
    """

    check: str
    seen: str
    expected: str
    fix: str
    level: Level = "broken"
    file: str | None = None
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        where = self.file and (self.file if self.line is None else f"{self.file}:{self.line}")
        place = "".join(f"{part}: " for part in (where, self.key) if part)
        expected = f", expected {self.expected}" if self.expected else ""
        return f"{place}{self.seen}{expected}" + (f"; {self.fix}" if self.fix else "")


class CheckFailed(AssertionError):
    """Raised when a domain does not fulfil a guarantee; says what was seen, what was expected and what to do."""


class DomainCheck:
    """A check of one guarantee of a domain; its docstring is the guarantee.

    Called with a domain, it raises `CheckFailed` with all that is broken. `findings` gives them, warnings included.
    """

    __name__: str

    def __init__(self, function: Callable[[Subject], Iterable[Finding]]) -> None:
        update_wrapper(self, function)
        self._function = function

    def findings(self, subject: Subject) -> list[Finding]:
        """The findings on a subject. Never raises: what the check itself raises is a finding."""
        found: list[Finding] = []
        ended = guarded(_each, self._function, subject, found)
        if isinstance(ended, Fault):
            found += of_fault(ended, self.__name__)
        return [replace(one, check=self.__name__) for one in found]

    def __call__(self, domain: Domain) -> None:
        """Raise `CheckFailed` where the guarantee is broken."""
        broken = [one for one in self.findings(Subject.of(domain)) if one.level == "broken"]
        if broken:
            raise CheckFailed("\n".join(map(str, broken)))

    def __repr__(self) -> str:
        return f"<check {self.__name__}>"


def _each(function: Callable[[Subject], Iterable[Finding]], subject: Subject, found: list[Finding]) -> None:
    found.extend(function(subject))


def seen(text: str, expected: str, fix: str, level: Level = "broken", **place: str | int | None) -> Finding:
    """A finding whose check is filled in by it."""
    return Finding("", text, expected, fix, level, **place)  # type: ignore[arg-type]


def warning(text: str, expected: str, fix: str) -> Finding:
    """A finding that breaks nothing."""
    return seen(text, expected, fix, "warning")


def of_text(text: str, level: Level = "broken") -> Finding:
    """A finding from a message `SEEN, expected EXPECTED; FIX`."""
    text = text.replace("; run: arbitrank check", "; correct the code at that line, then: arbitrank check")
    before, _, rest = text.partition(", expected ")
    if not rest:
        before, _, fix = text.partition("; ")
        return seen(_cut(before), "", fix, level)
    expected, _, fix = rest.partition("; ")
    return seen(_cut(before), expected, fix, level)


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}…"


def of_data(fault: DataFault) -> Finding:
    """The finding on a fault of a data file."""
    level: Level = "broken" if fault.fatal else "warning"
    return seen(fault.seen, fault.expected, fault.fix, level, file=fault.file, line=fault.line, key=fault.key)


def of_fault(fault: Fault, doing: str) -> Iterator[Finding]:
    """The findings on what a domain's code raised: each fault of data files, else one."""
    error = fault.error
    if isinstance(error, DataFilesError):
        yield from map(of_data, error.faults)
    elif isinstance(error, CheckFailed | ArbitrankError):
        yield of_text(str(error))
    else:
        yield seen(
            f"{doing} raised {fault.placed}", expectation(fault, "no exception"), "correct the code at that line"
        )


def expect(holds: bool, otherwise: str) -> None:
    """Raise `CheckFailed` with the text `otherwise` where a condition does not hold."""
    if not holds:
        raise CheckFailed(otherwise)


def shown(value: object) -> str:
    """A value's text, cut."""
    text = guarded(repr, value)
    text = type(value).__name__ if isinstance(text, Fault) else text
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
