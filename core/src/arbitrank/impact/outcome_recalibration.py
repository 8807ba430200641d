"""Recalibration of a domain by users' reactions in a log, and the gate before it.

The gate replays the log with the recalibration. It refuses one with which a neighbour loses surely more accepted
answers than the tolerance, and one with which the claims are worse calibrated on the log's truths.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from arbitrank.answerlog.reader import UnreadableLines, placed_lines, source
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.errors import DataError, InputError
from arbitrank.evaluate.metrics import band_text
from arbitrank.impact.gate import GateLimits, GateReason, judge
from arbitrank.impact.plan import ReplayPlan
from arbitrank.impact.report import measure
from arbitrank.outcomes.drift_posterior import noise_posterior
from arbitrank.outcomes.reactions import ReactionRows
from arbitrank.outcomes.recalibrating import OutcomeRecalibration, recalibrate
from arbitrank.values import Truth
from arbitrank.wire.json_lines import BadLine, place
from arbitrank.wire.requests import Logged, decode_logged

LABELLED = 30
"""Requests of known truth below which they do not decide about a recalibration."""


def logged(path: Path, since: float | None = None, unreadable: UnreadableLines | None = None) -> Iterator[Logged]:
    """The requests with an answer of a log, or of a file of its lines, from a time on; bad lines are `unreadable`."""
    bad = UnreadableLines() if unreadable is None else unreadable
    for number, where, line in placed_lines(source(path)):
        if isinstance(line, BadLine):
            bad.add(line)
            continue
        try:
            request = decode_logged(line)
        except InputError as error:
            bad.add(BadLine(where or place(path, number), str(error)))
            continue
        if request.answer is not None and (since is None or (request.time is not None and request.time >= since)):
            yield request


def outcome_recalibrations(
    lines: Iterable[Logged], names: Iterable[str] | None = None, versions: Mapping[str, str] | None = None
) -> dict[str, OutcomeRecalibration]:
    """The recalibration of each of the named domains, or of all with reactions, by those of all domains.

    Of a domain in `versions` the reactions to that version count alone.
    """
    rows = ReactionRows(versions)
    for line in lines:
        rows.add(line)
    reactions = rows.reactions()
    noise = noise_posterior(reactions)
    return {name: recalibrate(reactions, noise, name) for name in names or reactions.domains}


def outcome_reasons(
    plan: ReplayPlan,
    by: Recalibration | None,
    lines: Callable[[], Iterable[Logged]],
    limits: GateLimits = GateLimits(),
    *,
    jobs: int = 1,
) -> list[GateReason]:
    """The reasons against a recalibration of the plan's candidate, which is the version that serves.

    Raises `DataError` where no answer was accepted and none has a truth.
    """
    mapped = dataclasses.replace(plan, candidate=dataclasses.replace(plan.candidate, recalibration=by), since=None)
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        both, labelled = Path(folder) / "accepted.jsonl", Path(folder) / "labelled.jsonl"
        if not _write(both, map(_with_accepted, lines())):
            raise DataError("no answer of this log was accepted, and none has a truth; report some: POST /v1/feedback")
        impact, _ = measure(mapped, both, jobs=jobs, called="the log")
        # Requests whose truth is known only because the answer of now was accepted say nothing of its calibration.
        reasons = [
            one for one in judge(impact, None, limits, domain=plan.name) if one.what in ("failures", "neighbour")
        ]
        if _write(labelled, (line for line in lines() if line.truth is not None)) < LABELLED:
            return reasons
        impact, _ = measure(mapped, labelled, jobs=jobs, called="the log")
    before, after = impact.claims.before, impact.claims.after
    if before is not None and after is not None and after.ece > max(before.ece, after.ece_band[1]):
        text = (
            f"its claims become worse: {band_text(after.ece, after.ece_band)}, in place of {100 * before.ece:.1f} %, "
        )
        reasons.append(GateReason("limit", text + f"on {after.n} requests of known truth"))
    return reasons


def _with_accepted(line: Logged) -> Logged | None:
    """The line with the accepted reading as its truth, where no truth is known; None where nothing is."""
    if line.truth is not None:
        return line
    reading = line.answer.chosen if line.answer is not None else None
    if line.outcome != "accepted" or line.called is not None or reading is None:
        return None  # what was called is not what was acted on
    return replace(line, truth=Truth(reading.domain, reading.intent, reading.slots))


def _write(path: Path, lines: Iterable[Logged | None]) -> int:
    n = 0
    with path.open("wb") as file:
        for line in lines:
            if line is not None:
                file.write(msgspec.json.encode(line) + b"\n")
                n += 1
    return n
