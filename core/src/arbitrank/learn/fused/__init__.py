"""Many domains' re-rankers as one: what each would say of a request, computed for all of them together.

A re-ranker scores its own few hypotheses, and most of what that costs is the calling. Domains whose features are the
toolkit's are taken apart when they are loaded: their weights become the columns of one matrix, the context's weights a
table by what the context holds. The scores are the domains' own, to 1e-12; `arbitrank.learn.features` is the law, and
the names of the features below are its names, in its order.
"""

from __future__ import annotations

from collections.abc import Mapping

from arbitrank.domain import Model, Scores
from arbitrank.learn.fused.block import Found
from arbitrank.learn.fused.factored import FactoredBlock
from arbitrank.learn.fused.loglinear import LogLinearBlock
from arbitrank.learn.fused.parts import Part, part
from arbitrank.learn.rerankers import LogLinear
from arbitrank.values import Request

__all__ = ["FEW", "Fused", "Part", "part"]

FEW = 48
"""Readings of a request up to which factored domains are scored one by one."""


class Fused:
    """The fused re-rankers of some domains. Frozen once it is made; safe to call from any thread."""

    def __init__(self, models: Mapping[str, Model], few: int = FEW) -> None:
        parts = {name: found for name, model in models.items() if (found := part(name, model)) is not None}
        linear = {name: one for name, one in parts.items() if isinstance(one.reranker, LogLinear)}
        others = {name: one for name, one in parts.items() if name not in linear}
        self.models = {name: models[name] for name in parts}
        self._blocks: list[FactoredBlock | LogLinearBlock] = []
        if others:
            self._blocks.append(FactoredBlock(others, few))
        if linear:
            self._blocks.append(LogLinearBlock(linear))

    def scores(self, request: Request, found: Found) -> dict[str, Scores]:
        """What each domain in `found` says of its hypotheses; of each there is at least one, and all are in `models`.

        Raises `ValueError` or `TypeError` where a hypothesis or the context holds what its type forbids.
        """
        if len(self._blocks) == 1:
            return self._blocks[0].scores(request, found)
        scores: dict[str, Scores] = {}
        for block in self._blocks:
            own = {name: hypotheses for name, hypotheses in found.items() if name in block.index}
            if own:
                scores |= block.scores(request, own)
        return scores
