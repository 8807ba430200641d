"""Refusals by the gate of segments: of candidates that are as good as what serves, and of those that break a segment.

The claims of a domain of a corpus, on requests that no model has seen, are those of the version that serves, with its
errors of calibration. A candidate that is as good has the same log-odds with noise of its own, as a training on other
data would; what serves gets noise as well, so that neither is preferred. One that breaks a segment has, besides, its
log-odds moved by one in a segment that is drawn. Each candidate is judged on requests drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from arbitrank.evaluate.segment_calibration import broken_segments, segment_calibration
from arbitrank.evaluate.segments import SegmentTable, situation
from arbitrank.probability import log_odds, sigmoid
from benchmarks.common import benches, options, show, table
from benchmarks.unseen import Unseen, unseen

NAME = "segments"
CORPORA = ("clinc150", "media", "slurp", "snips")
CANDIDATES = 200
REQUESTS = 3_000
NOISE = (0.1, 0.3)
MOVED = 1.0


def measured(seen: Unseen, candidates: int, noise: float, seed: int) -> dict[str, Any]:
    """The shares of refused candidates of a corpus, its domains in turn."""
    rng, observed = np.random.default_rng(seed), seen.observed
    refused = found = worst = 0
    errors = []
    for k in range(candidates):
        d = k % len(observed.domains)
        readings = observed.readings[d]
        own = np.flatnonzero(readings.best >= 0)
        chosen = rng.choice(own, min(REQUESTS, len(own)), replace=False)
        z, y = log_odds(readings.right[chosen]), observed.right[chosen, d].astype(np.float64)
        known = [situation(seen.contexts[i], seen.lengths[i], seen.intents[d][i]) for i in chosen.tolist()]
        requests = SegmentTable.of(known)
        before, after = (sigmoid(z + noise * rng.normal(size=len(z))) for _ in range(2))
        refused += bool(broken_segments(before, y, after, y, requests))
        segments = list(requests.segments())
        one = segments[int(rng.integers(len(segments)))]
        moved = log_odds(after)
        moved[one.places] += MOVED * rng.choice([-1.0, 1.0])
        broken = broken_segments(before, y, sigmoid(moved), y, requests)
        found += bool(broken)
        worst += bool(broken) and broken[0].after.segment == one.text
        seen_now = segment_calibration(before, y, requests)
        errors.append(seen_now.found)
    return {
        "noise": noise, "candidates": candidates, "refused": refused, "broken_refused": found, "broken_named": worst,
        "off_before": float(np.mean(errors)),
    }  # fmt: skip


def _print(figures: Mapping[str, Any]) -> None:
    head = ("corpus", "noise", "equal refused", "one segment moved: refused", "that segment named first", "off before")
    rows = [
        [
            name, f"{row['noise']:g}", f"{row['refused']} of {row['candidates']}", str(row["broken_refused"]),
            str(row["broken_named"]), f"{100 * row['off_before']:.0f} %",
        ]
        for name, each in figures.items()
        for row in each
    ]  # fmt: skip
    table(head, rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    figures = {}
    for bench in benches(chosen):
        seen = unseen(bench, seed=chosen.seed, jobs=chosen.jobs)
        candidates = 20 if chosen.quick else CANDIDATES
        figures[bench.corpus.name] = [measured(seen, candidates, noise, chosen.seed) for noise in NOISE]
    show(NAME, chosen, figures, _print)


if __name__ == "__main__":
    main()
