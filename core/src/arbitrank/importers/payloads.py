"""Payloads of a file or a call as requests, in one format and by one set of options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from arbitrank.errors import InputError
from arbitrank.importers.documents import documents
from arbitrank.importers.formats import format_named, imported
from arbitrank.importers.options import ImportOptions, read_map
from arbitrank.values import Request
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.json_text import parsed
from arbitrank.wire.notices import Notice, Notices

__all__ = ["PayloadFormat"]


@dataclass(frozen=True)
class PayloadFormat:
    """A format with its options: reads files and single payloads. `listed`: a list may be one payload."""

    name: str
    options: ImportOptions

    @classmethod
    def stated(
        cls, name: str, domain: str | None = None, mapping: Path | None = None, utterance: str | None = None
    ) -> PayloadFormat:
        """The format of a name with options as a user states them. Raises `InputError`."""
        own, _ = format_named(name)
        options = ImportOptions(domain, utterance)
        return cls(own, options if mapping is None else read_map(mapping, options))

    def named(self, domain: str | None) -> PayloadFormat:
        """The same format with a domain for readings whose payload names none; its own where that is None."""
        return self if domain is None else replace(self, options=replace(self.options, domain=domain))

    @property
    def listed(self) -> bool:
        """True where a list may be one payload."""
        return format_named(self.name)[1].listed

    def read(self, raw: bytes, notice: Notice) -> Request:
        """The request that a payload in JSON makes. Raises `InputError`."""
        return imported(parsed(raw), self.name, replace(self.options, notice=notice))

    def read_file(
        self, path: str, notices: Notices, *, strict: bool = False
    ) -> Iterator[tuple[str, Request | InputError]]:
        """The request of each payload of a file, or the error where it cannot be read, with its place.

        With `strict` a remark is an error.
        """
        for document in documents(path, listed=self.listed):
            notice = _raise if strict else notices.at(document.where)
            try:
                if isinstance(document, BadLine):
                    raise InputError(document.reason)
                yield document.where, imported(document.value, self.name, replace(self.options, notice=notice))
            except InputError as error:
                yield document.where, error


def _raise(key: str, text: str) -> None:
    raise InputError(text)
