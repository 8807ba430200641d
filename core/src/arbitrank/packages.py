"""Installed distributions and their entry points, read leniently: what is damaged in one becomes a problem of that one.

`importlib.metadata` raises for the first malformed line of any distribution in the environment, also of one that has
nothing to do with arbitrank, and parses every METADATA wholly. Here a line that is no `NAME = VALUE`, a file that is no
UTF-8, empty or missing is kept as a problem, and only the head of METADATA is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from io import StringIO
from pathlib import PurePath
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from arbitrank.domain import CONTRACT
from arbitrank.guard import Fault, guarded
from arbitrank.hookspecs import GROUP

__all__ = [
    "CORE",
    "NEGATIVES",
    "UNKNOWN",
    "Package",
    "core_version",
    "is_near_group",
    "is_near_negatives",
    "packages",
    "unfit",
    "wrong_group",
]

CORE = "arbitrank"
"""The name of core's own distribution."""

NEGATIVES = "arbitrank.negatives"
"""The entry-point group of sets of negatives, which serve no domain."""

UNKNOWN = "unknown"
"""The version of a distribution that states none."""

_METADATA = ("METADATA", "PKG-INFO", "")  # of a wheel, of an egg, of an egg-info that is a file
_ENTRY_POINTS = "entry_points.txt"
_FOLDER = re.compile(r"(?P<name>[^-]+)(-(?P<version>[^-]+))?.*\.(dist|egg)-info", re.DOTALL)
_SHOWN = 60  # characters of a malformed line
_LINES = 3  # of them that are named
_PARTS = ("arb", "rank", "domain")  # one of which such a name holds
_NEAR = 0.85  # the similarity of a name that is meant to be the group's


@dataclass(frozen=True)
class Package:
    """An installed distribution: its entry points that can be read, and the problems of its metadata.

    `complete` is False where its metadata does not state a name, so that nothing is known of what it needs.
    """

    name: str
    version: str
    entries: tuple[EntryPoint, ...]
    problems: tuple[str, ...]
    complete: bool
    distribution: Distribution
    where: str

    @property
    def requires(self) -> list[str] | Fault:
        """Its requirements, or the fault with which its metadata cannot be read."""
        found = guarded(lambda: self.distribution.requires)
        return found if isinstance(found, Fault) else list(found or ())


@cache
def core_version() -> str:
    """The version of core that is installed; `unknown` where its metadata is missing."""
    found = map(_read, _each(distributions(name=CORE)))
    return next((one.version for one in found if one.complete), UNKNOWN)


def packages(found: Iterable[Distribution]) -> list[Package]:
    """The distributions that importlib finds, once each: the first of a name, as imports find it. Never raises."""
    seen: dict[str, list[Package]] = {}
    for distribution in _each(found):
        package = _read(distribution)
        seen.setdefault(canonicalize_name(package.name), []).append(package)
    return [_chosen(named) for named in seen.values()]


def _each(found: Iterable[Distribution]) -> Iterator[Distribution]:
    """The distributions; a finder that raises ends them."""
    iterator = iter(found)
    while not isinstance(distribution := guarded(next, iterator, None), Fault) and distribution is not None:
        yield distribution


def _read(distribution: Distribution) -> Package:
    path = PurePath(_printable(str(getattr(distribution, "_path", None) or "a distribution without a folder")))
    problems: list[str] = []
    if path.name.startswith("~"):
        left = f"{path} was left behind by an interrupted pip; remove it"
        return Package(path.name, UNKNOWN, (), (left,), False, distribution, str(path))
    head = _head(distribution, path, problems)
    folder = _FOLDER.fullmatch(path.name)
    name = head.get("name") or (folder and folder["name"]) or path.name
    version = head.get("version") or (folder and folder["version"]) or UNKNOWN
    text = guarded(distribution.read_text, _ENTRY_POINTS)
    if isinstance(text, Fault):
        problems.append(f"{path / _ENTRY_POINTS} cannot be read: {text.reason}")
        text = None
    entries = _entries(text, path, problems) if text else ()
    return Package(
        _printable(name), _printable(version), entries, tuple(problems), "name" in head, distribution, str(path)
    )


def _printable(text: str) -> str:
    """The text with escapes in the place of control characters and of bytes that are no UTF-8."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _head(distribution: Distribution, path: PurePath, problems: list[str]) -> dict[str, str]:
    """The name and the version that the metadata states, with keys in lower case."""
    text: Any = None
    empty = False
    for file in _METADATA:
        text = guarded(distribution.read_text, file)
        if isinstance(text, Fault):
            problems.append(f"{path / file} cannot be read: {text.reason}; install it again")
            return {}
        if text:
            break
        empty = empty or text is not None
    if not text:
        what = "an empty METADATA" if empty else "no METADATA that can be read"
        problems.append(f"{path} has {what}, as an interrupted installation leaves it; install it again, or remove it")
        return {}
    found: dict[str, str] = {}
    for line in StringIO(text.lstrip("\ufeff")):
        if not (line := line.rstrip("\r\n")):  # the head ends, the description begins
            break
        key, colon, value = line.partition(":")
        if colon and key.lower() in ("name", "version") and value.strip():
            found.setdefault(key.lower(), value.strip())
    if "name" not in found:
        problems.append(f"{path}: its METADATA states no name; install it again")
    return found


def _entries(text: str, path: PurePath, problems: list[str]) -> tuple[EntryPoint, ...]:
    """The entry points in a file, each once; malformed lines are problems."""
    group: str | None = None
    found: dict[tuple[str, str, str], EntryPoint] = {}
    malformed = []
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            group = line[1:-1].strip()
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if group and name and equals and value:
            found.setdefault((group, name, value), EntryPoint(_printable(name), value, group))
        else:
            malformed.append((number, line))
    for number, line in malformed[:_LINES]:
        shown = line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
        expected = "NAME = MODULE" if group else "a [group] first"
        problems.append(f"{path / _ENTRY_POINTS}:{number}: {shown!r} is malformed, expected {expected}")
    if len(malformed) > _LINES:
        problems.append(f"{path / _ENTRY_POINTS}: and {len(malformed) - _LINES} malformed lines more")
    return tuple(found.values())


def _chosen(named: list[Package]) -> Package:
    """The distribution of a name that counts: the first on the path, in one folder the highest version."""
    first = next((one for one in named if one.complete), named[0])
    beside = [one for one in named if one.complete and PurePath(one.where).parent == PurePath(first.where).parent]
    chosen = max(beside, key=_order) if len(beside) > 1 else first
    # Several versions of other packages on a path are common, as beside a system's own, and no concern of ours.
    ours = chosen.name.startswith(CORE) or any(is_near_group(entry.group) for one in named for entry in one.entries)
    others = [one for one in named if ours and one is not chosen and one.complete and one.version != chosen.version]
    hidden = tuple(
        f"{one.where} holds version {one.version} too, which {chosen.version} hides; uninstall one of them"
        for one in others
    )
    damaged = tuple(text for one in named if one is not chosen and not one.complete for text in one.problems)
    if not hidden and not damaged:
        return chosen
    return replace(chosen, problems=(*chosen.problems, *hidden, *damaged))


def _order(package: Package) -> tuple[bool, Version, str]:
    try:
        return True, Version(package.version), package.version
    except InvalidVersion:
        return False, Version("0"), package.version


def is_near_group(group: str) -> bool:
    """True for the group of plugins and for names that are meant to be it: misspelt, of another contract."""
    if group == GROUP:
        return True
    plain = re.sub(r"[^a-z0-9]+", ".", group.casefold())
    if is_near_negatives(group) or not any(part in plain for part in _PARTS):
        return False
    return plain.startswith("arbitrank") or SequenceMatcher(None, plain, GROUP).ratio() >= _NEAR


def is_near_negatives(group: str) -> bool:
    """True for the group of sets of negatives and for names that are meant to be it."""
    plain = group.casefold()[:60]
    return plain.startswith(CORE) and SequenceMatcher(None, plain, NEGATIVES).ratio() >= _NEAR


def wrong_group(group: str) -> str | None:
    """The reason why entry points in a group that `is_near_group` are not loaded; None in the group itself."""
    if group == GROUP:
        return None
    if (other := re.fullmatch(r"arbitrank\.domains\.v(\d+)", group)) is not None:
        return f"is made for contract {other[1]}, this core has {CONTRACT}; install a version of it for this core"
    shown = group if len(group) <= 60 else f"{group[:59]}…"
    return (
        f"its entry point is in the group {shown!r}, expected {GROUP!r}; correct its pyproject.toml and install again"
    )


def unfit(package: Package) -> str | None:
    """The reason why a distribution does not support this core, None where its range includes it."""
    if not package.complete:
        return package.problems[0]
    required = package.requires
    reason = f"its metadata cannot be read: {required.reason}" if isinstance(required, Fault) else None
    for text in () if isinstance(required, Fault) else required:
        unmet = guarded(_unmet, text)
        reason = reason or (f"its metadata cannot be read: {unmet.reason}" if isinstance(unmet, Fault) else unmet)
    return reason


def _unmet(text: str) -> str | None:
    """The reason why this core does not fulfil a requirement. Raises where it cannot be read."""
    requirement, mine = Requirement(text), core_version()
    # One of an extra, or of another system or Python, does not apply.
    applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ours = canonicalize_name(requirement.name) == "arbitrank" and applies
    if ours and mine != UNKNOWN and not requirement.specifier.contains(mine, prereleases=True):
        return f"needs arbitrank{requirement.specifier}, this is {mine}; install a version of it for this core"
    return None
