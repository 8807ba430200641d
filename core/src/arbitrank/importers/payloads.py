"""Payloads of a file or a call as requests, in one format and by one set of options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from arbitrank.errors import InputError
from arbitrank.importers.documents import documents
from arbitrank.importers.formats import format_named, imported, labels
from arbitrank.importers.options import ImportOptions, read_map
from arbitrank.values import Request
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.json_text import parsed
from arbitrank.wire.notices import Notice, Notices

__all__ = ["Imported", "PayloadFormat", "import_payload"]


class Imported(NamedTuple):
    """A payload: its place, its request or the error, and the truth and the like in its envelope."""

    where: str
    request: Request | InputError
    labels: dict[str, Any]


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

    def read_file(self, path: str, notices: Notices, *, strict: bool = False) -> Iterator[Imported]:
        """The payloads of a file, each with the request that it makes, or the error where it cannot be read.

        With `strict` a remark is an error.
        """
        for document in documents(path, listed=self.listed):
            notice = _raise if strict else notices.at(document.where)
            try:
                if isinstance(document, BadLine):
                    raise InputError(document.reason)
                request = imported(document.value, self.name, replace(self.options, notice=notice))
                yield Imported(document.where, request, labels(document.value))
            except InputError as error:
                yield Imported(document.where, error, {})


def import_payload(
    payload: Any,
    vendor: str,
    *,
    domain: str | None = None,
    utterance: str | None = None,
    mapping: str | Path | None = None,
) -> Request:
    """The request that a payload of another system makes, decoded JSON, as `arbitrank import` reads it.

    `vendor` is a format of `arbitrank import`, `mapping` the path of a mapping file. Raises `InputError` that names
    the field, what was seen and what was expected.
    """
    stated = PayloadFormat.stated(vendor, domain, None if mapping is None else Path(mapping), utterance)
    return imported(payload, stated.name, stated.options)


def _raise(key: str, text: str) -> None:
    raise InputError(text)
