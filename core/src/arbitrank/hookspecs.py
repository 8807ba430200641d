"""The plugin hook: a plugin's module implements `arbitrank_domains`, marked with `hookimpl`."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from arbitrank.domain import Domain

__all__ = ["GROUP", "arbitrank_domains", "hookimpl", "hookspec"]

GROUP = "arbitrank.domains.v1"
"""The entry-point group of plugins; its name carries the contract's major version."""

hookspec = pluggy.HookspecMarker("arbitrank")
hookimpl = pluggy.HookimplMarker("arbitrank")


@hookspec
def arbitrank_domains() -> Sequence[Domain]:
    """The domains that the package serves.

    You get nothing. You return `Domain` objects, usually one. It is called once, when the registry discovers plugins.
    """
    raise NotImplementedError
