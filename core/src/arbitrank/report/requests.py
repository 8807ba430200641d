"""Labelled requests that a report is on: those of a file or a log, checked to be of use to the domain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import numpy as np

from arbitrank.answerlog.joining import view
from arbitrank.answerlog.reader import read_truths
from arbitrank.answerlog.reader import report as contents
from arbitrank.answerlog.segments import is_log
from arbitrank.errors import DataError
from arbitrank.report.measured import neighbour_of
from arbitrank.values import Example
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.notices import Notices
from arbitrank.wire.offsets import Offsets

LEAST = 10
"""Labelled requests below which there is no report."""

MOST = 50_000
"""Requests with hypotheses that a report is on at most; of more, some are drawn."""

MOST_RECOGNISED = 5_000
"""Requests that a report is on at most where the domain has to recognise their words."""

_NAMED = 8  # owners in a message


class LabelledRequests(NamedTuple):
    """Labelled requests, remarks on what was left out, and the number of lines that could not be read."""

    examples: list[Example]
    notes: list[str]
    bad_lines: int = 0


def read_requests_with_truth(path: Path, name: str, offsets: Offsets = "characters") -> LabelledRequests:
    """The labelled requests of a hypotheses file, a corpus or a log, for a report on the domain `name`.

    Raises `DataError` where there are none, too few, none of the domain's own, or only other domains' hypotheses.
    """
    if path.is_dir() and not is_log(path):
        splits = [split.name for split in sorted(path.glob("*.jsonl*"))]
        if splits:
            raise DataError(f"{path}: a folder, expected a file or a log; name one of {', '.join(splits[:_NAMED])}")
    notes: list[str] = []
    lines = list(read_truths(path, Notices(notes.append), offsets=offsets))
    good = [line for line in lines if isinstance(line, Example)]
    bad = [line for line in lines if isinstance(line, BadLine)]
    if not good:
        raise DataError(_nothing(path, bad))
    if bad:
        notes.append(f"{len(bad)} of {len(lines)} lines are left out; the first: {bad[0]}")
    check_requests(str(path), name, good)
    return _sampled(LabelledRequests(good, notes, len(bad)))


def check_requests(where: str, name: str, examples: Sequence[Example]) -> None:
    """Raise `DataError` where a report on the domain `name` cannot be made of these requests."""
    n = len(examples)
    brought = Counter(h.domain for e in examples for h in e.request.hypotheses or ())
    owners = Counter(owner for e in examples for owner in e.truth.owners or (neighbour_of(e),))
    if brought and name not in brought and all(e.request.hypotheses is not None for e in examples):
        near = get_close_matches(name, brought, 1) or [brought.most_common(1)[0][0]]
        raise DataError(
            f"{where}: no hypothesis of {name} in {n} labelled requests, expected some; those are of "
            f"{_listed(brought)}; run: arbitrank report {near[0]} --on {where}"
        )
    if not any(example.truth.owned_by(name) for example in examples):
        raise DataError(
            f"{where}: none of the {n} labelled requests is of {name}, expected some of its own and some of others; "
            f"they are of {_listed(owners)}"
        )
    if n < LEAST:
        raise DataError(
            f"{where}: {n} labelled {'request' if n == 1 else 'requests'}, expected at least {LEAST}, as fewer say "
            f"nothing; add some, or run: arbitrank report {name} --on HYPOTHESES|LOG"
        )


def _nothing(path: Path, bad: Sequence[BadLine]) -> str:
    """The message where there is no labelled request."""
    expected = "expected labelled requests: lines with truth (hypotheses, a log) or text and domain (a corpus)"
    if path.is_dir():
        found = contents(view(path))
        return (
            f"{path}: none of the log's {found.requests} requests has a truth, expected some; report truths with "
            'POST /v1/feedback, or append lines as {"id": …, "truth": {"domain": …, "intent": …}}'
        )
    if not bad:
        return f"{path}: is empty, {expected}; see docs/how-to/report.md"
    return f"{path}: no line of {len(bad)} is a labelled request, {expected}; the first: {bad[0]}"


def _sampled(read: LabelledRequests) -> LabelledRequests:
    """The requests, or some of them where they are too many to score."""
    recognised = any(example.request.hypotheses is None for example in read.examples)
    most = MOST_RECOGNISED if recognised else MOST
    n = len(read.examples)
    if n <= most:
        return read
    chosen = np.sort(np.random.default_rng(0).permutation(n)[:most]).tolist()
    note = f"{most} of the {n} labelled requests are drawn and measured"
    return read._replace(examples=[read.examples[i] for i in chosen], notes=[*read.notes, note])


def _listed(counts: Counter[str]) -> str:
    named = [f"{name} ({n})" for name, n in counts.most_common(_NAMED)]
    more = len(counts) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
