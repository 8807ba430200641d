"""The gate of a Shortlister: whether the domains that own the audit set's requests still are on its shortlists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from arbitrank.impact.gate import Limits, Reason, surely_lost
from arbitrank.shortlist.artifact import load
from arbitrank.shortlist.calibration import personal
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Request
from arbitrank.wire import BadLine, read_examples

K = 10
"""Skills of the shortlists that are compared."""


def reasons(candidate: Path, stable: Path | None, audit: Path, limits: Limits = Limits()) -> tuple[Reason, ...]:
    """Why a Shortlister may not become stable; none where nothing speaks against it, or none is stable yet.

    It may not where requests of the audit set surely are lost whose domain was among the best `K` skills' before, by
    more than the tolerance: for all requests, and for each domain's (their intervals hold together with 95 %).
    """
    if stable is None:
        return ()
    after, before = load(candidate), load(stable)
    counts: dict[str, list[int]] = {}
    for domain, request in _asked(audit):
        was, now = _lists(before, request, domain), _lists(after, request, domain)
        one = counts.setdefault(domain, [0, 0, 0])
        one[0] += was and not now
        one[1] += now and not was
        one[2] += 1
    whole = [sum(column) for column in zip(*counts.values(), strict=True)] if counts else [0, 0, 0]
    found = [_reason("all domains", whole, 1, limits)]
    found += [_reason(name, one, len(counts), limits) for name, one in sorted(counts.items())]
    return tuple(one for one in found if one is not None)


def _asked(audit: Path) -> Iterator[tuple[str, Request]]:
    for line in read_examples(audit):
        if not isinstance(line, BadLine) and line.truth.domain is not None and line.request.utterance:
            yield line.truth.domain, line.request


def _lists(shortlister: Shortlister, request: Request, domain: str) -> bool:
    found = shortlister.shortlist(request.utterance, K, known=personal(request))
    return any(one.domain == domain for one in found)


def _reason(name: str, counts: list[int], together: int, limits: Limits) -> Reason | None:
    lost, won, n = counts
    low = surely_lost(lost, won, n, together) if n else -1.0
    if low <= limits.tolerance:
        return None
    seen = f"{name}: {lost} of {n} requests lost, {won} won"
    return Reason(
        "recall", f"requests are no more on the shortlist whose domain was; {seen}; surely {100 * low:.2f} points fewer"
    )
