"""Where arbitrank finds the Music domain."""

from __future__ import annotations

from arbitrank.hookspecs import hookimpl
from arbitrank_music.domain import Music


@hookimpl
def arbitrank_domains() -> list[Music]:
    """The domains of this package."""
    return [Music()]
