"""Where arbitrank finds the Video domain."""

from __future__ import annotations

from arbitrank.hookspecs import hookimpl
from arbitrank_video.domain import Video


@hookimpl
def arbitrank_domains() -> list[Video]:
    """The domains of this package."""
    return [Video()]
