"""Context keys that domains read, and remarks on those that no domain reads.

A key that no weights read cannot change an answer, so a caller who sends one is told, once. A model states the keys
that it reads as `context_keys` (`arbitrank.domain.Model`); of one that states nothing, any key may be read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from shlex import quote
from typing import Any

from arbitrank.domain import Domain, Model
from arbitrank.guard import Fault, guarded

__all__ = [
    "KNOWN",
    "ContextCount",
    "NamedKeys",
    "UnreadKeys",
    "is_known",
    "keys_of",
    "keys_read",
    "named_for",
    "naming",
    "remark",
]

KNOWN = ("device", "has_screen", "locale", "previous_domain", "previous_intent")
"""Context keys that the core knows, beside `preference.DOMAIN` and `preference.DOMAIN.INTENT`."""

_PREFERENCE = "preference."
_REMARKS = 10  # keys that are remarked on at most
_SEEN = 1_000  # keys that are remembered at most
_SHOWN = 80  # characters of a key


def is_known(key: str) -> bool:
    """True for a key that the core knows, which needs no naming."""
    return key in KNOWN or key.startswith(_PREFERENCE)


def keys_of(one: Domain | Model) -> frozenset[str] | None:
    """The context keys that a model reads, or that a domain has its re-ranker read; None where it does not state them.

    A statement that is no list of texts counts as none, so that a plugin's mistake costs only the remark.
    """
    found = guarded(_stated, one)
    return None if isinstance(found, Fault) else found


def _stated(one: Domain | Model) -> frozenset[str] | None:
    keys: Any = one.context_keys
    if keys is None or isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
        return None
    return frozenset(keys)


def keys_read(readers: Iterable[Domain | Model]) -> frozenset[str] | None:
    """All context keys that one of the domains or models reads; None where one of them does not state its keys."""
    found: frozenset[str] = frozenset()
    for one in readers:
        keys = keys_of(one)
        if keys is None:
            return None
        found |= keys
    return found


def naming(keys: Iterable[str], domain: str = "NAME") -> str:
    """The line of `arbitrank.toml` by which a domain reads these keys from its next training on."""
    listed = ", ".join(json.dumps(key, ensure_ascii=False) for key in keys)
    return f"[domains.{domain}] context_keys = [{listed}]"


def remark(key: str, read: Collection[str], seen: str = "", domain: str | None = None) -> str:
    """The sentence on a key that no domain reads, or not the one that is named: its near miss, or the way to name it.

    `seen` says how often it came.
    """
    key = key if len(key) <= _SHOWN else f"{key[:_SHOWN]}…"
    text = f"context key {key!r}{seen} is " + (f"not read by domain {domain}" if domain else "read by no domain")
    near = get_close_matches(key.casefold(), {*KNOWN, *read}, n=1, cutoff=0.8)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return (
        f"{text}{meant}, so it changes no answer; to have a domain learn from it, train with "
        f"--context-key {quote(key)}, or with {naming([key], domain or 'NAME')} in arbitrank.toml, else leave it out"
    )


NamedKeys = Mapping[str | None, Sequence[str]]
"""Further context keys to learn from, by domain; those under None are for every domain."""


def named_for(domain: str, named: NamedKeys) -> tuple[str, ...]:
    """The keys that are named for a domain, each once."""
    return tuple(dict.fromkeys((*named.get(None, ()), *named.get(domain, ()))))


class ContextCount:
    """Counts of the context keys in data, of a bounded number of keys."""

    def __init__(self) -> None:
        self.requests = 0
        self._keys: Counter[str] = Counter()

    def add(self, context: Mapping[str, Any]) -> None:
        """Count the keys of one request."""
        self.requests += 1
        if len(self._keys) < _SEEN or self._keys.keys() >= context.keys():
            self._keys.update(context.keys())

    def remarks(
        self, read: Collection[str] | None, named: Collection[str] = (), domain: str | None = None
    ) -> list[str]:
        """Remarks on keys in the data that are not among those that are `read`, and on `named` ones that are not there.

        Where it is unknown what is read (None), only on the latter. `domain` is the only one that has the data.
        """
        counts = self._keys.most_common()
        absent = [key for key in named if self.requests and key not in self._keys]
        found = [_absent(key, self._keys) for key in absent]
        if read is not None:
            unread = [(key, n) for key, n in counts if not (key in read or key in named or is_known(key))]
            found += [remark(key, read, f" (in {n} of {self.requests} requests)", domain) for key, n in unread]
        return found[:_REMARKS] + ([f"and {len(found) - _REMARKS} context keys more"] if len(found) > _REMARKS else [])


def _absent(key: str, counted: Collection[str]) -> str:
    near = get_close_matches(key, counted, n=1)
    return f"context key {key!r} is named, and in no request" + (f"; did you mean {near[0]!r}?" if near else "")


class UnreadKeys:
    """Remarks on the context keys of requests that no domain reads, each key once and a bounded number in all.

    `models` returns those that answer now; `also` are keys that something else reads, such as a policy.
    """

    def __init__(self, models: Callable[[], Iterable[Domain | Model]], also: Collection[str] = ()) -> None:
        self._models, self._also = models, frozenset(also)
        self._seen: set[str] = set()
        self._remarked: list[str] = []

    def __call__(self, context: Mapping[str, Any]) -> list[str]:
        """The remarks that the context of one more request gives cause to; empty for keys that were seen before."""
        seen = self._seen
        if seen.issuperset(context) or len(seen) >= _SEEN:
            return []
        added = [key for key in context if key not in seen]
        seen.update(added)
        unknown = [key for key in added if not is_known(key) and key not in self._also]
        if not unknown or len(self._remarked) >= _REMARKS or (read := keys_read(self._models())) is None:
            return []
        found = [key for key in unknown if key not in read][: _REMARKS - len(self._remarked)]
        self._remarked += found
        return [remark(key, read) for key in found]

    @property
    def remarks(self) -> list[str]:
        """The remarks so far, but for those on keys that the models of this moment read."""
        read = keys_read(self._models()) if self._remarked else None
        return [] if read is None else [remark(key, read) for key in self._remarked if key not in read]
