"""Protocols of the stages that are handed to an arbitrator, so that it imports none of their implementations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import UnsetType

from arbitrank.domain import Scores
from arbitrank.values import Candidate, Ranked, Request


class ShortlistStage(Protocol):
    """Selection of the domains to query: `arbitrank.shortlist.shortlister.Shortlisting`."""

    @property
    def version(self) -> str | None:
        """The version of the Shortlister."""

    @property
    def always(self) -> frozenset[str]:
        """Domains that are queried whatever the shortlist holds."""

    def __call__(self, request: Request) -> tuple[tuple[Candidate, ...], float | UnsetType]:
        """The skills whose domains are queried, best first, and P(no skill fits) where it is known."""


class SortStage(Protocol):
    """Sorting of a merged list and of a shortlist: `arbitrank.shortlist.hyprank.HypRank`."""

    @property
    def sorts_readings(self) -> bool:
        """True where merged lists are sorted."""

    def sort_tools(self, request: Request, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """The candidates of a shortlist in another order, with its probabilities."""

    def sort(self, request: Request, ranked: tuple[Ranked, ...], shortlist: Mapping[str, float]) -> tuple[Ranked, ...]:
        """The list in another order, with its probabilities; `shortlist` holds the shortlisted skills' scores."""


class FallbackScorer(Protocol):
    """Scores of the hypotheses of a domain that is not installed: `arbitrank.learn.rerankers.R0`."""

    def rerank(self, request: Request) -> Scores:
        """P(mine) and P(right) of the request's hypotheses, at least one."""

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        """Each group's contribution to each hypothesis's log-odds, in nats."""
