"""Where arbitrank finds the three domains of this distribution."""

from __future__ import annotations

from arbitrank.domain import Domain
from arbitrank.hookspecs import hookimpl
from arbitrank.testing.hostile import Hostile
from arbitrank_kites.bells import Bells
from arbitrank_kites.kites import Kites


@hookimpl
def arbitrank_domains() -> list[Domain]:
    return [Kites(), Bells(), Hostile("gong", steady=True), Hostile("storm")]
