"""Gates of a Shortlister and of a HypRank: neither may surely lose requests of the audit set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import UNSET

from arbitrank.arbitration.fallback import merged
from arbitrank.evaluate.intervals import least_loss
from arbitrank.impact.gate import GateLimits, GateReason
from arbitrank.normal_text import printable
from arbitrank.semer import entirely_right
from arbitrank.shortlist.artifact import ArtifactSkills, load_shortlister, read_skills
from arbitrank.shortlist.calibration import account_profile
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.labels import right_tools
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Answer, Example, Request
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import read_examples

__all__ = [
    "K",
    "catalogue_reasons",
    "missing_skills",
    "order_reasons",
    "recall_reasons",
    "shrunk",
    "shrunk_text",
    "tool_reasons",
]

_FEW = 4  # skills of which any may go
_SHOWN = 5  # missing skills in a text

K = 10
"""Skills of the shortlists that are compared."""


def catalogue_reasons(candidate: Path, stable: Path | None) -> tuple[GateReason, ...]:
    """The reason against making a Shortlister stable that lacks more than half of the stable one's skills."""
    if stable is None:
        return ()
    before = read_skills(stable)
    missing = missing_skills(before, read_skills(candidate).catalogue())
    return (GateReason("catalogue", shrunk_text(before, missing)),) if shrunk(before, missing) else ()


def missing_skills(before: ArtifactSkills, after: SkillCatalogue) -> list[str]:
    """The unique names of skills that a later catalogue lacks."""
    return [unique for unique, domain, own in before.owned() if after.number_of(domain, own) is None]


def shrunk(before: ArtifactSkills, missing: Sequence[str]) -> bool:
    """True where more than half of a catalogue is missing, which is no small one."""
    return len(before.names) >= _FEW and len(missing) > len(before.names) / 2


def shrunk_text(before: ArtifactSkills, missing: Sequence[str]) -> str:
    """The counts of a catalogue that has shrunk, and some of the skills that it lost."""
    n = len(before.names)
    some = printable(f"{', '.join(missing[:_SHOWN])}{', …' if len(missing) > _SHOWN else ''}")
    lost = f"all {n:,}" if len(missing) == n else f"{len(missing):,} of the {n:,}"
    return f"{lost} skills of the version before are missing, expected no more than half: {some}"


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
        (owners, _listed(before, example.request, owners), _listed(after, example.request, owners))
        for owners, example in _audited(audit)
        if example.request.utterance
    )
    return tuple(
        GateReason(
            "recall",
            f"the owner's domain is no longer on the shortlist of requests of which it was: {seen}; surely "
            f"{100 * low:.2f} points fewer",
        )
        for _, seen, low in _losses(changes, limits.tolerance)
    )


def order_reasons(
    before: HypRank | None,
    after: HypRank,
    audit: Path,
    answer: Callable[[Request], Answer],
    limits: GateLimits = GateLimits(),
) -> tuple[GateReason, ...]:
    """The reasons against the HypRank `after` in the place of `before`, the stable one if any; none where it passes.

    `answer` gives the service's answer to a request without HypRank. Refused is a candidate that surely loses, by more
    than the tolerance, requests whose first reading was entirely right before: in the order of the stable HypRank, or
    in that of the merged list where none is stable. Judged are all requests, and each domain's (intervals hold jointly
    with 95 %).
    """
    changes = (
        (owners, _first_right(before, ranked, example), _first_right(after, ranked, example))
        for owners, example in _audited(audit)
        for ranked in [answer(example.request)]
    )
    return tuple(
        GateReason(
            "irer" if name is None else "neighbour",
            f"its order is wrong where the one before was right: {seen}; surely {100 * low:.2f} points more errors",
            () if name is None else (name,),
        )
        for name, seen, low in _losses(changes, limits.tolerance)
    )


def tool_reasons(
    before: HypRank | None,
    after: HypRank,
    audit: Path,
    shortlister: Shortlister,
    limits: GateLimits = GateLimits(),
) -> tuple[GateReason, ...]:
    """The reasons against the HypRank `after` in the place of `before` by the order of the tools of shortlists.

    Refused is a candidate that surely loses, by more than the tolerance, requests whose first tool was right before: in
    the order of the stable HypRank, or in that of the shortlist where none is stable. `shortlister` is the stable one.
    Judged are all requests, and those of each owner (intervals hold jointly with 95 %).
    """

    def changes() -> Iterator[tuple[tuple[str, ...], bool, bool]]:
        for owners, example in _audited(audit):
            profile = account_profile(example.request)
            listed = shortlister.shortlist(example.request.utterance, K, profile=profile)
            right = right_tools(listed, example.truth, _skill(example))
            if right is not None:
                first = [listed if one is None else one.sort_tools(example.request, listed) for one in (before, after)]
                was, now = (bool(found) and found[0].skill in right for found in first)
                yield owners, was, now

    return tuple(
        GateReason("tools", f"its first tool is wrong where the one before was right: {seen}; surely "
                   f"{100 * low:.2f} points more errors")
        for _, seen, low in _losses(changes(), limits.tolerance)
    )  # fmt: skip


def _skill(example: Example) -> str | None:
    """The skill that a line names."""
    skill = example.extra.get("skill")
    return skill if isinstance(skill, str) else None


def _audited(audit: Path) -> Iterator[tuple[tuple[str, ...], Example]]:
    """The readable, in-scope examples of an audit set, each with its true domains."""
    for line in read_examples(audit):
        if not isinstance(line, BadLine) and line.truth.owners:
            yield line.truth.owners, line


def _losses(
    changes: Iterable[tuple[tuple[str, ...], bool, bool]], tolerance: float
) -> Iterator[tuple[str | None, str, float]]:
    """The slices that surely lose more than the tolerance: domain (None for all), counts in words, certain share lost.

    `changes` holds each request's domains, and its success before and after.
    """
    counts: defaultdict[str | None, list[int]] = defaultdict(lambda: [0, 0, 0])
    for owners, before, after in changes:
        for own in (counts[None], *(counts[domain] for domain in owners)):
            own[0] += before and not after
            own[1] += after and not before
            own[2] += 1
    for name, (lost, won, n) in sorted(counts.items(), key=lambda item: item[0] or ""):
        low = least_loss(lost, won, n, 1 if name is None else len(counts) - 1)
        if low > tolerance:
            yield name, f"{name or 'all domains'}: {lost} of {n} requests lost, {won} won", low


def _listed(shortlister: Shortlister, request: Request, owners: tuple[str, ...]) -> bool:
    candidates = shortlister.shortlist(request.utterance, K, profile=account_profile(request))
    # A label without an owner states the skill's name as the domain's.
    return any(candidate.domain in owners or candidate.skill in owners for candidate in candidates)


def _first_right(hyprank: HypRank | None, answer: Answer, example: Example) -> bool:
    """True where the first reading is entirely right, in the order of the HypRank or else of the merged list."""
    shortlist = {} if answer.shortlist is UNSET else {one.skill: one.score for one in answer.shortlist.candidates}
    ranked = merged(answer) if hyprank is None else hyprank.sort(example.request, merged(answer), shortlist)
    return bool(ranked) and entirely_right(ranked[0], example.truth)
