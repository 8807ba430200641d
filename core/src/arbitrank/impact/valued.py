"""Value report: the share of a candidate's answers that users would have accepted, from the reactions in a log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from arbitrank.answerlog.feedback import UnusedFeedback
from arbitrank.impact.logged_actions import NO_SELECTION, OTHER_POLICY, ExchangedVersions, choices_of
from arbitrank.impact.replayed import Replayed
from arbitrank.outcomes.value import ValueEstimate, ValueSettings, estimate

_FEW = 0.01  # share of answers of neither version that is not worth a remark


class ValueReport(msgspec.Struct, frozen=True):
    """The value of version `after` of `domain` beside `before`, by the reactions to `n` logged requests.

    `estimate` is None where no reaction can be used. `left_out` counts those that say nothing of the two versions, by
    the reason, `unused` those that belong to no answer; `contradicted` are reactions that a truth contradicts, which
    then counts in their place.
    """

    domain: str
    before: str | None
    after: str
    on: str
    n: int
    estimate: ValueEstimate | None
    left_out: dict[str, int]
    unused: UnusedFeedback
    contradicted: int
    notes: list[str]

    @property
    def reactions(self) -> int:
        """The reactions to the requests, used and left out."""
        return sum(self.left_out.values()) + (self.estimate.n if self.estimate else 0)


def value_of(
    found: Replayed,
    versions: ExchangedVersions,
    on: str,
    settings: ValueSettings = ValueSettings(),
    unused: UnusedFeedback | None = None,
) -> ValueReport:
    """The value report of a replay; `on` is what the requests go by, `unused` counts reactions that were not joined."""
    choices, contradicted = choices_of(found.rows, versions)
    other = int((~choices.before.served & ~choices.after.served & (choices.propensity == 1.0)).sum())
    report = ValueReport(
        domain=versions.name,
        before=None if versions.name in found.broken else versions.before,
        after=versions.after,
        on=on,
        n=len(found.rows) + found.silent,
        estimate=estimate(choices, settings),
        left_out=dict(sorted(found.left_out.items())),
        unused=unused or UnusedFeedback(),
        contradicted=contradicted,
        notes=[],
    )
    return msgspec.structs.replace(report, notes=list(_notes(report, other, int((choices.client == 0).sum()))))


def unusable(report: ValueReport) -> str | None:
    """The reason why none of the reactions can be used, with the next command; None where some can, or there are none.

    Of several reasons it is the one of most reactions.
    """
    if report.estimate is not None or not report.left_out:
        return None
    reason = max(report.left_out, key=lambda one: report.left_out[one])
    seen = f"{report.left_out[reason]} of {report.reactions} answers with a reaction"
    canary = f"arbitrank canary {report.domain}"
    if reason == NO_SELECTION:
        text = f"none of {report.reactions} answers with a reaction says how it was drawn, as logs since 0.2 do"
        return f"{text}; log with this release for a while, beside a canary: {canary}"
    if reason == OTHER_POLICY:
        return f"{seen}: {reason}; state the one of then: --policy FILE, or --since the time of the present one"
    return f"{seen}: {reason}, and no other can be used"


def without_reactions(report: ValueReport, on: Path, begins: str | None) -> str:
    """The reason why a report has no reaction; its requests are those of a log's folder or a file, since a time."""
    if not on.is_dir():
        return (
            "no line has a reaction; lines of feedback are read in the folder of a log alone, not in a file: "
            "expected --on FOLDER"
        )
    if begins is not None:
        return f"no request since {begins} has a reaction"
    return f"no reaction to any of {report.n} requests"


def _notes(report: ValueReport, other: int, nameless: int) -> Iterator[str]:
    for reason, n in report.left_out.items():
        yield f"{n} reactions ({100 * n / report.reactions:.1f} %) are left out: {reason}"
    if str(report.unused) != "none":
        yield f"reactions that are not used: {report.unused}"
    if report.contradicted:
        yield f"{report.contradicted} reactions are contradicted by the truth, which counts in their place"
    one = report.estimate
    if one is not None and other > _FEW * one.n:
        yield f"{other} answers are of neither version as it answers now: of others, or other settings"
    if nameless:
        yield f"{nameless} reactions name neither account nor session and count as one client's"
    if one is not None and one.capped:
        yield f"clients that react so often that their share of the weight is capped: {one.capped}"
    if one is not None and one.clipped:
        yield f"{100 * one.clipped:.2f} % of the importance weights are clipped, which lowers IPS"
