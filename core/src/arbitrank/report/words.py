"""Sentences of a quality report, the same for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from arbitrank.arbitration.recalibration import recalibration
from arbitrank.report.claims import NeighbourClaims, WorstRequest
from arbitrank.report.coverage import PatternCoverage
from arbitrank.report.curve import LearningCurve
from arbitrank.report.measured import CountedShare
from arbitrank.report.neighbours import MergedOutcome
from arbitrank.report.report import QualityReport

_NAMED = 8

_SOURCES = {
    "held-out": "held-out ones, which its weights have not seen",
    "cross-fitted": "cross-fitted, each scored by weights that have not seen it",
    "requests": "by the weights that it answers with",
}


def subject_line(one: QualityReport) -> str:
    """The domain, its weights, and the requests that it was measured on."""
    weights = f" {one.weights.version} ({one.weights.origin})" if one.weights else ""
    by = recalibration(1.0 / one.weights.temperature, one.weights.shift) if one.weights else None
    shrunk = f", {by}" if by else ""
    counts = f"{one.n} requests: {one.own} own, {one.others} of other domains, {one.out_of_scope} out of scope"
    return f"{one.domain}{weights}{shrunk} on {one.on}, {_SOURCES[one.source]}; {counts}"


def share_text(share: CountedShare) -> str:
    """A share in per cent with its interval."""
    return f"{100 * share.share:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def own_lines(one: QualityReport) -> Iterator[str]:
    """The shares of the own requests that are claimed and read rightly, and of others' that are claimed."""
    found = one.readings
    rows = {
        "claimed, P(mine) at least 0.5": found.claimed,
        "best reading entirely right": found.first,
        "right reading not put first (the re-ranker's error)": found.later,
        "right reading not among its readings (the recogniser's error)": found.absent,
        "no reading at all": found.unread,
    }
    for text, share in rows.items():
        if share is not None:
            yield f"{share_text(share)} % {text}, n = {share.of}"
    if one.false_claim_rate is not None:
        yield f"{share_text(one.false_claim_rate)} % of others' requests claimed, n = {one.false_claim_rate.of}"


def neighbour_text(each: NeighbourClaims) -> str:
    """One neighbour's requests that the domain claims."""
    read = f"; read as {', '.join(each.intents)}" if each.intents else ""
    mean = f"mean P(mine) {100 * each.mean_mine:.1f} %"
    return f"{each.neighbour}: {share_text(each.claimed)} % claimed, n = {each.claimed.of}, {mean}{read}"


def merged_lines(one: MergedOutcome | None) -> Iterator[str]:
    """The requests lost to neighbours and taken from them, or why that is not known."""
    if one is None:
        yield "not known from these data: give --on a log, or hypotheses of several domains"
        return
    yield f"merged with {', '.join(one.neighbours)}, and decided as a service does:"
    if one.won is not None:
        yield f"{share_text(one.won)} % of its own requests are answered by it, n = {one.won.of}"
    if one.lost:
        yield f"lost to: {_counted(one.lost)}"
    if one.shared:
        yield f"{one.shared} are answered by a neighbour that may serve them, too"
    if one.taken is not None:
        taken = f", from: {_counted(one.taken_from)}" if one.taken_from else ""
        yield f"{share_text(one.taken)} % of others' requests are answered by it, n = {one.taken.of}{taken}"


def curve_points(one: LearningCurve | None) -> Iterator[str]:
    """The points of the learning curve."""
    if one is None:
        yield "not measured"
        return
    for point in one.points:
        rate, low, high = (100 * x for x in (point.errors.mean, point.errors.low, point.errors.high))
        yield f"{point.examples} examples: {rate:.1f} [{low:.1f}, {high:.1f}] % errors, n = {one.n}"


def curve_lines(one: LearningCurve | None) -> Iterator[str]:
    """The verdict of the learning curve, and its points."""
    if one is not None:
        yield f"is more data worth it? {one.more_data}: {one.reason}"
    yield from curve_points(one)


def pattern_lines(one: PatternCoverage | None) -> Iterator[str]:
    """The coverage of real requests by the patterns, and the accuracy on both."""
    if one is None:
        return
    shares = {
        "running words": one.words,
        "pairs of words": one.pairs,
        "triples of words": one.triples,
        "utterances all of whose words are known": one.utterances,
        "utterances whose wording is drawn as it is": one.wordings,
        "intents": one.intents,
    }
    yield f"{one.drawn} own drawn requests cover of {one.real} own real ones:"
    for text, share in shares.items():
        if share is not None:
            yield f"{share_text(share)} % of the {text}"
    if one.missing_intents:
        yield f"intents without a pattern: {_counted(one.missing_intents)}"
    if one.missing_words:
        yield f"words that no pattern has: {_counted(one.missing_words)}"
    if one.real_right is not None and one.drawn_right is not None:
        real, drawn = one.real_right, one.drawn_right
        yield (
            f"claimed and entirely right: {share_text(real)} % of real requests (n = {real.of}), "
            f"{share_text(drawn)} % of drawn ones (n = {drawn.of})"
        )


def worst_text(one: WorstRequest) -> str:
    """The reading that the domain makes of a request, and the truth."""
    mine, right = (f"{100 * p:.0f} %" for p in (one.mine, one.right))
    if one.kind == "no reading":
        return f"no reading, though it is {one.truth}"
    if one.kind == "not claimed":
        return f"not claimed (P(mine) {mine}), though it is {one.truth}"
    if one.kind == "false claim":
        return f"claimed (P(mine) {mine}) as {one.reading}, though it is {one.truth}"
    return f"read as {one.reading} (P(right) {right}), though it is {one.truth}"


def _counted(counts: Mapping[str, int]) -> str:
    named = [f"{name} ({n})" for name, n in list(counts.items())[:_NAMED]]
    return ", ".join(named) + (f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else "")
