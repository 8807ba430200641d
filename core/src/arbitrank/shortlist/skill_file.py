"""Skills with their texts in a temporary file: as objects, those of a million skills would take most of a gigabyte."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import overload
from weakref import finalize

import msgspec
from msgspec.structs import astuple

from arbitrank.domain import SkillParameter
from arbitrank.errors import InputError, StoreError, os_errors
from arbitrank.wire.catalogue_lines import CatalogueSkill

__all__ = ["SkillFile"]

_Fields = tuple[
    str,
    str,
    str,
    tuple[str, ...],
    tuple[SkillParameter, ...],
    str | None,
    str | None,
    tuple[str, ...],
]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Fields).decode


class _OpenFile:
    """A temporary file that is closed with the last that has it."""

    def __init__(self) -> None:
        with _writing():
            self.file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with this object
        finalize(self, self.file.close)


def _writing() -> AbstractContextManager[None]:
    subject = f"skills in {tempfile.gettempdir()}: cannot be kept"
    return os_errors(StoreError, subject, "; free space or set TMPDIR")


class SkillFile(Sequence[CatalogueSkill]):
    """Skills by number, each read from the file when it is asked for. The file goes with the last one that has it.

    What is written stays, so that a copy shares the file: of both, only one may be added to.
    """

    def __init__(self, copied: SkillFile | None = None) -> None:
        self._open: _OpenFile = copied._open if copied else _OpenFile()
        self._file = self._open.file
        self._starts: array[int] = array("Q", copied._starts if copied else ())
        self._sizes: array[int] = array("I", copied._sizes if copied else ())
        self._end: int = copied._end if copied else 0

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, number: int) -> CatalogueSkill: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[CatalogueSkill]: ...
    def __getitem__(self, number: int | slice) -> CatalogueSkill | Sequence[CatalogueSkill]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        start, size = self._starts[number], self._sizes[number]
        self._file.flush()
        return CatalogueSkill(*_decode(os.pread(self._file.fileno(), size, start)))

    def __iter__(self) -> Iterator[CatalogueSkill]:
        return (self[number] for number in range(len(self)))

    def add(self, skill: CatalogueSkill, number: int | None = None) -> None:
        """Append a skill, or put it in the place of the one of this number.

        Raises `InputError` where a text of it is no Unicode, `StoreError` where there is no room.
        """
        try:
            line = _encode(astuple(skill))
        except UnicodeEncodeError as error:
            raise InputError(f"skill {skill.name!r}: half a character in a text of it: {error.reason}") from error
        with _writing():
            self._file.write(line)
        if number is None:
            self._starts.append(self._end)
            self._sizes.append(len(line))
        else:
            self._starts[number], self._sizes[number] = self._end, len(line)
        self._end += len(line)
