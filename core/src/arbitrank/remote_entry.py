"""Entry of a remote domain in the operator's file: where it is, how long it may take, and what may be sent there.

An entry is read from `[domains.NAME]` where that has a `url`. Nothing but an entry names a host to connect to.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from arbitrank.errors import InputError, os_errors
from arbitrank.regular_files import read_regular
from arbitrank.scales import short
from arbitrank.toml_values import converted

__all__ = ["FIELDS", "PLACEHOLDER", "RemoteEntry", "checked_entry", "is_loopback", "placeholders"]

FIELDS = ("utterance", "hypotheses", "context", "session", "account", "dialogue", "id")
"""Parts of a request that an entry may have sent; `context.KEY` is one key of the context."""

PLACEHOLDER = re.compile(r"\{(utterance|session|id|context\.[^{}]+)\}")
"""A text in the body or the query of a call that stands for a part of the request."""

_CONTEXT = "context."
_RANGES = {"deadline_ms": (1, 60_000), "connections": (1, 1_000)}
_OF_FORMAT = ("map", "body")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN_HEADERS = ("host", "connection", "content-length", "content-type", "transfer-encoding", "accept", "te", "upgrade")
_TOKEN = re.compile(r"[!-~](?:[ -~]{0,8190}[!-~])?")
_LONGEST = 16 << 10  # bytes of a token's file


class RemoteEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A domain that runs as a service of its own, with the fields of docs/reference/remote.md.

    With a `format` it only recognises, and is ranked here.
    """

    url: str
    allow_http: bool = False
    deadline_ms: float = 1_000.0
    connections: int = 64
    token_env: str | None = None
    token_file: str | None = None
    token_header: str | None = None
    ca_file: str | None = None
    send: tuple[str, ...] = ("utterance", "hypotheses")
    format: str | None = None
    map: str | None = None
    body: dict[str, Any] | None = None

    @property
    def parts(self) -> SplitResult:
        """The parts of its URL."""
        return urlsplit(self.url)

    @property
    def address(self) -> str:
        """Its URL for display: without a query, which may hold a key."""
        return self.parts._replace(query="").geturl()

    @property
    def context_keys(self) -> frozenset[str] | None:
        """The keys of the context that are sent; None where all are."""
        if "context" in self.send:
            return None
        return frozenset(word.removeprefix(_CONTEXT) for word in self.send if word.startswith(_CONTEXT))

    def allows(self, word: str) -> bool:
        """True where a part of a request, or a key of its context as `context.KEY`, is sent."""
        return word in self.send or (word.startswith(_CONTEXT) and "context" in self.send)

    def token(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """The token, read now; None where the entry names none. Raises `InputError`, which never shows it."""
        if self.token_env is not None:
            where, text = f"token_env: {self.token_env}", environment.get(self.token_env, "")
        elif self.token_file is not None:
            where = f"token_file: {self.token_file}"
            with os_errors(InputError, f"{where}: cannot be read", "; expected a file with a token"):
                text = read_regular(Path(self.token_file), _LONGEST).decode("latin-1")
        else:
            return None
        text = text.strip()
        if not _TOKEN.fullmatch(text):
            raise InputError(f"{where}: {'empty' if not text else 'not of visible ASCII signs'}, expected a token")
        return text


def checked_entry(table: Mapping[str, Any], where: str) -> RemoteEntry:
    """The entry in a table of the file, at `where`. Raises `InputError` that names the key, also for a missing URL."""
    if "url" not in table:
        raise InputError(f"{where}.{next(iter(table))}: without url, expected the URL of a remote domain beside it")
    for name, (low, high) in _RANGES.items():
        value = table.get(name, low)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not low <= value <= high or (name == "connections" and value != int(value)):
            raise InputError(f"{where}.{name}: {short(value)} is invalid, expected a number in [{low}, {high}]")
    entry = converted(table, RemoteEntry, where)
    _check_url(entry, f"{where}.url")
    _check_sent(entry, where)
    _check_token(entry, where)
    for name in _OF_FORMAT:
        if entry.format is None and getattr(entry, name) is not None:
            raise InputError(f"{where}.{name}: without format, expected the format of what it recognises beside it")
    if entry.ca_file is not None and entry.parts.scheme == "http":
        raise InputError(f"{where}.ca_file: with http://, which has no certificates; expected https://")
    return entry


def _check_url(entry: RemoteEntry, where: str) -> None:
    url = entry.url
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError as error:
        raise InputError(f"{where}: {short(url)} is no URL: {error}") from None
    plain = url.isascii() and url.isprintable() and not set(url) & set(' "<>\\^`|')
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        expected = "expected one of ASCII signs, as in https://weather.example/arbitrank"
        raise InputError(f"{where}: {short(parts._replace(query='').geturl())} is no URL of HTTP, {expected}")
    if "@" in parts.netloc:
        raise InputError(f"{where}: has a user or a password, expected token_env or token_file beside it")
    if parts.fragment or (parts.query and entry.format is None):
        raise InputError(f"{where}: {short(entry.address)} has a {'fragment' if parts.fragment else 'query'}, "
                         "expected none, as routes are below it")  # fmt: skip
    if PLACEHOLDER.search(parts.netloc + parts.path):
        raise InputError(f"{where}: {short(entry.address)}: a part of a request may stand in the query alone")
    if parts.scheme == "http" and not entry.allow_http and not is_loopback(parts.hostname):
        raise InputError(
            f"{where}: {short(entry.address)}: what is sent by http:// can be read on the way, expected https://; "
            "or state allow_http = true beside it"
        )


def is_loopback(host: str) -> bool:
    """True for an address that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_sent(entry: RemoteEntry, where: str) -> None:
    for word in entry.send:
        if word not in FIELDS and not (word.startswith(_CONTEXT) and word != _CONTEXT):
            raise InputError(f"{where}.send: {short(word)}: unknown, expected some of {', '.join(FIELDS)}, context.KEY")
    for name, value in (("url", entry.parts.query), ("body", entry.body)):
        for word in placeholders(value):
            if not entry.allows(word):
                raise InputError(f"{where}.{name}: names {{{word}}}, which is not sent; add {short(word)} to send")


def _check_token(entry: RemoteEntry, where: str) -> None:
    if entry.token_env is not None and entry.token_file is not None:
        raise InputError(f"{where}.token_file: beside token_env, expected one of the two")
    if (header := entry.token_header) is not None:
        if not _HEADER.fullmatch(header) or header.lower() in _OWN_HEADERS:
            raise InputError(f"{where}.token_header: {short(header)} is no header for a token, expected as X-Api-Key")
        if entry.token_env is None and entry.token_file is None:
            raise InputError(f"{where}.token_header: without a token, expected token_env or token_file beside it")


def placeholders(value: Any) -> Iterator[str]:
    """The parts of a request that texts in a value stand for, at any depth."""
    if isinstance(value, str):
        yield from PLACEHOLDER.findall(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from placeholders(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from placeholders(inner)
