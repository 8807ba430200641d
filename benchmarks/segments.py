"""Refusals by the gate of segments: of candidates that are as good as what serves, and of those that break a segment.

The claims of a domain of a corpus, on requests that no model has seen, are those of the version that serves, with its
errors of calibration. A candidate that is as good has the same log-odds with noise of its own, as a training on other
data would; what serves gets noise as well, so that neither is preferred. One that breaks a segment has, besides, its
log-odds moved in a segment that is drawn, of 200 requests or more, so that its probabilities there are on average ten
points higher or lower. Each candidate is judged on requests drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from arbitrank.evaluate.segment_calibration import broken_segments
from arbitrank.evaluate.segments import RequestSegment, SegmentTable, situation
from arbitrank.probability import Floats, log_odds, sigmoid
from benchmarks.common import benches, options, show, table
from benchmarks.unseen import Unseen, unseen

NAME = "segments"
CORPORA = ("clinc150", "media", "slurp", "snips")
CANDIDATES = 200
REQUESTS = 3_000
NOISE = 0.2
MOVED, OF = 0.1, 200


def measured(seen: Unseen, candidates: int, seed: int) -> dict[str, Any]:
    """The numbers of refused candidates of a corpus, its domains in turn."""
    rng, observed = np.random.default_rng(seed), seen.observed
    refused = moved = found = named = 0
    for k in range(candidates):
        d = k % len(observed.domains)
        readings = observed.readings[d]
        own = np.flatnonzero(readings.best >= 0)
        chosen = rng.choice(own, min(REQUESTS, len(own)), replace=False)
        z, y = log_odds(readings.right[chosen]), observed.right[chosen, d].astype(np.float64)
        known = [situation(seen.contexts[i], seen.lengths[i], seen.intents[d][i]) for i in chosen.tolist()]
        requests = SegmentTable.of(known)
        before, after = (sigmoid(z + NOISE * rng.normal(size=len(z))) for _ in range(2))
        refused += bool(broken_segments(before, y, after, y, requests))
        worse = _moved(after, [one for one in requests.segments() if len(one.places) >= OF], rng)
        if worse is None:
            continue
        moved += 1
        one, p = worse
        broken = broken_segments(before, y, p, y, requests)
        found += bool(broken)
        named += bool(broken) and broken[0].after.segment == one.text
    return {"candidates": candidates, "refused": refused, "moved": moved, "moved_refused": found, "moved_named": named}


def _moved(p: Floats, segments: list[RequestSegment], rng: np.random.Generator) -> tuple[RequestSegment, Floats] | None:
    """A segment, and the probabilities with those of it moved; None where none can be moved so far."""
    for k in rng.permutation(len(segments)).tolist():
        own = log_odds(p[segments[k].places])
        for sign in rng.permutation([-1.0, 1.0]).tolist():
            low, high = 0.0, 6.0
            if abs(float((sigmoid(own + sign * high) - sigmoid(own)).mean())) < MOVED:
                continue
            for _ in range(30):
                middle = (low + high) / 2
                far = abs(float((sigmoid(own + sign * middle) - sigmoid(own)).mean())) > MOVED
                low, high = (low, middle) if far else (middle, high)
            worse = p.copy()
            worse[segments[k].places] = sigmoid(own + sign * high)
            return segments[k], worse
    return None


def _print(figures: Mapping[str, Any]) -> None:
    head = ("corpus", "as good: refused", "a segment ten points off: refused", "that segment named first")
    rows = []
    for name, row in figures.items():
        equal, broken = f"{row['refused']} of {row['candidates']}", f"{row['moved_refused']} of {row['moved']}"
        rows.append([name, equal, broken, str(row["moved_named"])])
    table(head, rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    figures = {}
    for bench in benches(chosen):
        seen = unseen(bench, seed=chosen.seed, jobs=chosen.jobs)
        candidates = 20 if chosen.quick else CANDIDATES
        figures[bench.corpus.name] = measured(seen, candidates, chosen.seed)
    show(NAME, chosen, figures, _print)


if __name__ == "__main__":
    main()
