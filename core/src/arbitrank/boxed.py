"""Domains that may run in a box alone, as the operator names them: ARBITRANK_BOX, which --box states."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

__all__ = ["BOX", "is_boxed", "unboxed", "unknown"]

BOX = "ARBITRANK_BOX"
"""Environment variable with the names of domains, separated by commas, or `all` for those of environments."""

_ALL = "all"


def is_boxed(domains: Iterable[str]) -> bool:
    """True where an environment with these domains is to be in a box."""
    return not _named().isdisjoint({_ALL, *domains})


def unboxed(name: str, distribution: str) -> str | None:
    """The reason why a domain that is installed beside the core cannot answer; None where no box is stated for it."""
    if name not in _named():
        return None
    return (
        f"{BOX} or --box names it, and it is installed beside the core, where nothing can be kept from it; "
        f"run: arbitrank install {distribution} --environments DIR, and uninstall it here"
    )


def unknown(known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The names that are to be in a box and that no domain has, each with the reason: a misspelt one boxes nothing."""
    known = set(known)
    for name in sorted(_named() - known - {_ALL}):
        near = get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "run: arbitrank domains --environments DIR"
        yield name, f"{BOX} or --box names it, and no domain has that name, so nothing is in a box by it; {remedy}"


def _named() -> frozenset[str]:
    return frozenset(name.strip() for name in os.environ.get(BOX, "").split(",") if name.strip())
