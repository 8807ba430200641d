"""Options of an import, and the mapping file: names, readings of none, the unit of offsets, the scale."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar
from unicodedata import normalize

import msgspec

from arbitrank.errors import InputError, os_errors
from arbitrank.scales import DEFAULT, FIELDS, Scale, Scales, domain_scales, scale
from arbitrank.wire.json_text import explained, short
from arbitrank.wire.notices import Notice, unnoticed
from arbitrank.wire.offsets import Offsets

__all__ = ["ImportOptions", "Unit", "domain_name", "read_map", "stated"]

Unit = Offsets | Literal["elements"]
"""The unit of offsets; `elements` are text elements, as .NET counts them."""

T = TypeVar("T", bound=msgspec.Struct)

MAX_BYTES = 1 << 20
"""Bytes of a mapping file at most."""

_LONGEST = 64  # characters of a domain's name
_NAMES = "expected lower-case letters, digits, '_' and '-', at most 64 characters"


@dataclass(frozen=True)
class ImportOptions:
    """Values for what a payload leaves open, and the caller's own names for what it has.

    `domain` is of readings whose payload names none, `default` the same where that is None, `utterance` of payloads
    without one. `domains` gives the names that the payload has for domains, options or tools as `DOMAIN` or
    `DOMAIN.INTENT`; `intents` moves intents into domains of their own, likewise; `*` in a name stands for any text,
    and in an intent for that text. Readings of `none` mean that nothing of the system's is meant. `offsets`, and
    `scales` by field, replace the system's own. `reading`, of the format `map` alone, tells where a payload has what.
    """

    domain: str | None = None
    utterance: str | None = None
    domains: Mapping[str, str] = field(default_factory=dict)
    intents: Mapping[str, str] = field(default_factory=dict)
    none: tuple[str, ...] = ()
    offsets: Unit | None = None
    scales: Scales = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    default: str | None = None
    notice: Notice = unnoticed

    def __post_init__(self) -> None:
        if self.domain is not None:
            _checked(self.domain, "domain")

    def is_none(self, name: str) -> bool:
        """True where a reading of this name means that nothing of the system's is meant, by `none`."""
        return any(_pattern(each).match(name) for each in self.none)

    def scale(self, field: str) -> Scale:
        """The scale of a field, 0..1 where none is stated."""
        return self.scales.get(field) or scale(DEFAULT)

    def mapped(self, name: str) -> tuple[str, str | None] | None:
        """The domain, and the intent where one is stated, that `domains` has for a name; None where it has none."""
        return _mapped(self.domains, name)

    def target(self, name: str, intent: str) -> tuple[str, str]:
        """The domain and the intent of a reading for which the payload has these names."""
        found = self.mapped(name)
        if found is None:
            return self.moved(domain_name(name), intent)
        domain, own = found
        return (domain, own) if own else self.moved(domain, intent)

    def moved(self, domain: str | None, intent: str) -> tuple[str, str]:
        """The domain and the intent of a reading of this domain; None stands for `domain` of the options."""
        domain, own = _mapped(self.intents, intent) or (domain, None)
        domain = domain or self.domain or self.default
        if domain is None:
            raise InputError("its readings name no domain, expected --domain NAME")
        return domain, own or intent


class NameMap(msgspec.Struct, frozen=True):
    """Content of a mapping file."""

    domains: dict[str, str] = {}
    intents: dict[str, str] = {}
    none: tuple[str, ...] = ()
    offsets: Unit | None = None
    scale: str | dict[str, str] | None = None
    reading: dict[str, Any] = {}


def read_map(path: Path, options: ImportOptions = ImportOptions()) -> ImportOptions:
    """The options with what a mapping file states. Raises `InputError` that names the key."""
    with os_errors(InputError, f"{path}: cannot be read", "; expected a mapping in TOML"), path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InputError(f"{path}: larger than the {MAX_BYTES} bytes allowed")
    try:
        content = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8, expected TOML in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    found = stated(content, NameMap, f"{path}: ")
    for table in ("domains", "intents"):
        for key, value in getattr(found, table).items():
            _checked(value.partition(".")[0], f"{path}: {table}[{key!r}]")
    by_field = dict.fromkeys(FIELDS, found.scale) if isinstance(found.scale, str) else found.scale or {}
    try:
        scales = dict(domain_scales(by_field))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return replace(
        options, domains=found.domains, intents=found.intents, none=found.none, offsets=found.offsets, scales=scales,
        reading=found.reading,
    )  # fmt: skip


def stated(table: Mapping[str, Any], kind: type[T], where: str) -> T:
    """The table of a mapping file as a type. Raises `InputError` for an unknown key or a wrong value, after `where`."""
    known = [each.encode_name for each in msgspec.structs.fields(kind)]
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"{where}{key}: unknown key, expected {', '.join(known)}{hint}")
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}{explained(str(error), table)}") from None


def domain_name(name: str) -> str:
    """A system's name as the name of a domain: in lower case, other signs than letters and digits as `-`.

    Raises `InputError` where nothing is left of it.
    """
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")
    if not made or len(made) > _LONGEST:
        raise InputError(f"{short(name)}: no name for a domain, {_NAMES}; map it: [domains] of --map FILE")
    return made


def _checked(name: str, where: str) -> None:
    if not re.fullmatch(r"[a-z0-9_-]{1,64}", name):
        raise InputError(f"{where}: {short(name)} is no domain's name, {_NAMES}")


def _mapped(table: Mapping[str, str], name: str) -> tuple[str, str | None] | None:
    """The domain and the intent that a table has for a name: exactly, else by the first pattern that matches."""
    if (value := table.get(name)) is not None:
        return _parts(value, "")
    for matched, value in _matches(table, name):
        return _parts(value, matched)
    return None


def _matches(table: Mapping[str, str], name: str) -> Iterator[tuple[str, str]]:
    for pattern, value in table.items():
        if "*" in pattern and (found := _pattern(pattern).match(name)):
            yield found[1], value


def _parts(value: str, matched: str) -> tuple[str, str | None]:
    domain, _, intent = value.partition(".")
    return domain, intent.replace("*", matched) or None


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    """A pattern of names, `*` for any text; the first one is group 1."""
    return re.compile("(.*)".join(map(re.escape, text.split("*"))) + r"\Z", re.S)
