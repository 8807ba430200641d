"""Suites of the domains in a store: the cases that a candidate must not lose, and the history of which files they are.

.suites/DOMAIN/history/00000001.json    a change: the SHA-256 of each of the domain's files after it
.suites/DOMAIN/SHA256.jsonl             a file: must_win, must_not_win or incidents

What a case holds is defined by `arbitrank.outcomes.suite_cases`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from arbitrank.errors import DataError, StoreError
from arbitrank.store.artifact import digest
from arbitrank.store.backend import StoreBackend
from arbitrank.store.history import Digest, Entry, History
from arbitrank.store.kinds import is_domain
from arbitrank.store.seen_changes import SeenChanges
from arbitrank.store.signed_history import Trust
from arbitrank.store.signing import Keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SUITES = ".suites"
"""The name of the suites among keys and folders."""

SuiteKind = Literal["must_win", "must_not_win", "incidents"]
KINDS: tuple[SuiteKind, ...] = ("must_win", "must_not_win", "incidents")

MAX_SUITE = 16 << 20
"""Bytes of a file at most."""

Contents = Mapping[SuiteKind, bytes]


class SuiteChange(Entry, frozen=True, kw_only=True):
    """One change of a domain's suites: the SHA-256 of the files after it, by kind; an empty one is left out."""

    files: dict[SuiteKind, Digest]


def suite_history(
    backend: StoreBackend, domain: str, keys: Keys | None = None, seen: SeenChanges | None = None
) -> History[SuiteChange]:
    """The history of a domain's suites; with `keys`, its changes have to be signed by the domain's keys."""
    prefix = f"{SUITES}/{domain}/history"
    return History(backend, prefix, SuiteChange, Trust(keys, domain, prefix) if keys else None, seen)


def suite_domains(backend: StoreBackend) -> list[str]:
    """The domains that have suites, sorted."""
    names = {kept.key.split("/")[1] for kept in backend.under(SUITES) if kept.key.count("/") > 1}
    return sorted(name for name in names if is_domain(name))


def read_suites(history: History[SuiteChange], domain: str) -> dict[SuiteKind, bytes]:
    """The contents of a domain's files. Raises `StoreError` where one is missing or damaged."""
    latest = history.latest()
    return {} if latest is None else _contents(history.backend, domain, latest)


def change_suites(
    history: History[SuiteChange],
    domain: str,
    change: Callable[[Contents], Contents],
    key: Ed25519PrivateKey | None = None,
) -> SuiteChange | None:
    """Replace a domain's files by what `change` makes of them; None where that is what they were.

    It is called again after a concurrent change. With `key` the change is signed. Raises `DataError` for a file that is
    too long.
    """
    backend = history.backend
    history.check_key(key)
    while True:
        latest = history.latest()
        before = {} if latest is None else _contents(backend, domain, latest)
        after = {kind: content for kind, content in change(before).items() if content}
        if after == before:
            return None
        for kind, content in after.items():
            if len(content) > MAX_SUITE:
                raise DataError(f"{domain}: {kind}: {len(content)} bytes, expected at most {MAX_SUITE}; remove cases")
            if content != before.get(kind):
                backend.write(_key(domain, digest(content)), content)
        files = {kind: digest(content) for kind, content in after.items()}
        new = SuiteChange(number=1 if latest is None else latest.number + 1, files=files)
        if history.append(new, key):
            return new


def _contents(backend: StoreBackend, domain: str, change: SuiteChange) -> dict[SuiteKind, bytes]:
    found = {}
    for kind, sha256 in change.files.items():
        content = backend.read(_key(domain, sha256), MAX_SUITE)
        if content is None or digest(content) != sha256:
            seen = "missing" if content is None else "damaged"
            raise StoreError(
                f"store {backend}: the file {kind} of {domain}'s suites is {seen}; "
                f"set it again: arbitrank suite {domain} --{kind.replace('_', '-')} FILE"
            )
        found[kind] = content
    return found


def _key(domain: str, sha256: str) -> str:
    return f"{SUITES}/{domain}/{sha256}.jsonl"
