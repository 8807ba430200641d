"""Gate of a Shortlister: the domains that own the audit set's requests must stay on its shortlists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from arbitrank.evaluate.intervals import least_loss
from arbitrank.impact.gate import GateLimits, GateReason
from arbitrank.shortlist.artifact import load_shortlister
from arbitrank.shortlist.calibration import account_profile
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Example, Request
from arbitrank.wire import BadLine, read_examples

__all__ = ["K", "audited", "losses", "recall_reasons"]

K = 10
"""Skills of the shortlists that are compared."""


def recall_reasons(
    candidate: Path, stable: Path | None, audit: Path, limits: GateLimits = GateLimits()
) -> tuple[GateReason, ...]:
    """The reasons against making a Shortlister stable; none where it passes, or no version is stable yet.

    It is refused where it surely loses, by more than the tolerance, requests of the audit set whose domain was among
    the best `K` skills' before: of all requests, or of one domain's (intervals hold jointly with 95 %).
    """
    if stable is None:
        return ()
    after, before = load_shortlister(candidate), load_shortlister(stable)
    changes = (
        (domain, _listed(before, example.request, domain), _listed(after, example.request, domain))
        for domain, example in audited(audit)
        if example.request.utterance
    )
    return tuple(
        GateReason(
            "recall",
            f"the owner's domain is no longer on the shortlist of requests of which it was: {seen}; surely "
            f"{100 * low:.2f} points fewer",
        )
        for _, seen, low in losses(changes, limits.tolerance)
    )


def audited(audit: Path) -> Iterator[tuple[str, Example]]:
    """The readable, in-scope examples of an audit set, each with its true domain."""
    for line in read_examples(audit):
        if not isinstance(line, BadLine) and line.truth.domain is not None:
            yield line.truth.domain, line


def losses(changes: Iterable[tuple[str, bool, bool]], tolerance: float) -> Iterator[tuple[str | None, str, float]]:
    """The slices that surely lose more than the tolerance: domain (None for all), counts in words, certain share lost.

    `changes` holds each request's domain, and its success before and after.
    """
    counts: dict[str, list[int]] = {}
    for domain, before, after in changes:
        own = counts.setdefault(domain, [0, 0, 0])
        own[0] += before and not after
        own[1] += after and not before
        own[2] += 1
    whole = [sum(column) for column in zip(*counts.values(), strict=True)]
    slices: Mapping[str | None, list[int]] = {None: whole, **dict(sorted(counts.items()))} if counts else {}
    for name, (lost, won, n) in slices.items():
        low = least_loss(lost, won, n, 1 if name is None else len(counts))
        if low > tolerance:
            yield name, f"{name or 'all domains'}: {lost} of {n} requests lost, {won} won", low


def _listed(shortlister: Shortlister, request: Request, domain: str) -> bool:
    candidates = shortlister.shortlist(request.utterance, K, profile=account_profile(request))
    return any(candidate.domain == domain for candidate in candidates)
