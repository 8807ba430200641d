"""Locks of environments: every distribution that an installation takes, in one version and with its hashes.

An installation resolves its requirement into a lock first, or is given one by --require-hashes, and installs exactly
that, hashes checked by the installer; before, the lock is compared with what the operator allows. A lock has the format
of a requirements file, so that it can be given again on another machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from arbitrank.configuration import InstallRules
from arbitrank.environments.requirement import package_of
from arbitrank.errors import InputError, os_errors
from arbitrank.regular_files import read_regular

__all__ = ["LOCK", "check_allowed", "given_lock", "locked", "of_report", "read_lock"]

LOCK = "requirements.lock"
"""The file of a release that has its lock."""

_MAX_BYTES = 8 << 20
_HASH = re.compile(r"--hash=(\w+:[0-9A-Fa-f]+)")


class Locked(NamedTuple):
    """A distribution in a lock: its requirement, and its hashes as `sha256:…`."""

    requirement: Requirement
    hashes: tuple[str, ...]


def read_lock(path: Path) -> str:
    """The text of a lock. Raises `InputError` where it cannot be read, or a line is not one version with its hashes."""
    with os_errors(InputError, f"--require-hashes {path}", "; expected a lock, as requirements.lock of a release"):
        text = read_regular(path, _MAX_BYTES).decode("utf-8-sig", "replace")
    locked(text, str(path))
    return text


def locked(text: str, where: str = LOCK) -> list[Locked]:
    """The distributions of a lock. Raises `InputError`, beginning with `where`, for a line that is none."""
    return list(_locked(text, where))


def _locked(text: str, where: str) -> Iterator[Locked]:
    for line in text.replace("\\\n", " ").splitlines():
        stripped = re.sub(r"(^|\s)#.*", "", line).strip()
        if not stripped:
            continue
        words = _HASH.sub("", stripped).strip()
        try:
            requirement = Requirement(words)
        except InvalidRequirement as error:
            raise InputError(
                f"{where}: {words[:200]!r}: no locked requirement, expected NAME==VERSION --hash=…"
            ) from error
        hashes = tuple(_HASH.findall(stripped))
        stated = [one.operator for one in requirement.specifier if not one.version.endswith("*")]
        exact = requirement.url or (stated == ["=="] and len(requirement.specifier) == 1)
        if not exact or not hashes:
            raise InputError(f"{where}: {words[:200]!r}: expected one version, NAME==VERSION, and --hash=sha256:…")
        yield Locked(requirement, hashes)


def given_lock(requirement: str, path: Path) -> str:
    """The lock at a path, which has to have the requirement. Raises `InputError`."""
    text = read_lock(path)
    if Path(requirement).exists():
        raise InputError(
            f"--require-hashes {path}: saw {requirement}, expected the name of a package that the lock has"
        )
    wanted = Requirement(requirement)
    found = [
        one.requirement for one in locked(text) if canonicalize_name(one.requirement.name) == package_of(requirement)
    ]
    versions = [spec.version for one in found for spec in one.specifier]
    if not found or not all(wanted.specifier.contains(version, prereleases=True) for version in versions):
        raise InputError(
            f"--require-hashes {path}: has {', '.join(versions) or 'no'} {wanted.name}, expected {requirement}"
        )
    return text


def of_report(content: bytes) -> str:
    """The lock in the report of pip's resolution (`pip install --report`); a checkout has no hash, and so no lock."""
    report: Mapping[str, Any] = msgspec.json.decode(content)
    lines = []
    for one in sorted(report["install"], key=lambda one: canonicalize_name(one["metadata"]["name"])):
        name, version = one["metadata"]["name"], one["metadata"]["version"]
        info = one["download_info"]
        at = f" @ {info['url']}" if one.get("is_direct") else f"=={version}"
        hashes = "".join(
            f" --hash={kind}:{value}" for kind, value in info.get("archive_info", {}).get("hashes", {}).items()
        )
        lines.append(f"{name}{at}{hashes}\n")
    return "".join(lines)


def check_allowed(lock: Sequence[Locked], indexes: Collection[str], rules: InstallRules) -> None:
    """Raise `InputError` for distributions and indexes that the operator does not allow; no rule allows all."""
    if rules.distributions:
        names = {canonicalize_name(one.requirement.name) for one in lock}
        patterns = [canonicalize_name(pattern) for pattern in rules.distributions]
        refused = sorted(name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns))
        if refused:
            raise InputError(
                f"{', '.join(refused)}: not among the distributions that [install] of {rules.where} allows "
                f"({', '.join(rules.distributions)}); nothing was installed"
            )
    if rules.indexes:
        allowed = [_place(one) for one in rules.indexes]
        urls = [*indexes, *(one.requirement.url for one in lock if one.requirement.url)]
        foreign = sorted({_shown(url) for url in urls if _remote(url) and not _beneath(_place(url), allowed)})
        if foreign:
            raise InputError(
                f"{', '.join(foreign)}: not among the indexes that [install] of {rules.where} allows "
                f"({', '.join(map(_shown, rules.indexes))}); nothing was installed"
            )


def _remote(url: str) -> bool:
    return "://" in url and not url.startswith("file:")


def _place(url: str) -> str:
    """Scheme, host and path of a URL, without a password, a query or a slash at its end."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path.rstrip('/')}"


def _beneath(place: str, allowed: Collection[str]) -> bool:
    return any(place == one or place.startswith(f"{one}/") for one in allowed)


def _shown(url: str) -> str:
    return _place(url) if _remote(url) else url
