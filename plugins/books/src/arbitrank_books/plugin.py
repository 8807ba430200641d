"""Where arbitrank finds the Books domain."""

from __future__ import annotations

from arbitrank.hookspecs import hookimpl
from arbitrank_books.domain import Books


@hookimpl
def arbitrank_domains() -> list[Books]:
    """The domains of this package."""
    return [Books()]
