"""Metrics of systems with other shares of out-of-scope requests than the held-out data have, by re-weighting these.

The requests in scope and those out of scope are counted so that the latter are the share given; each part is drawn
again by itself for the intervals. The settings stay as they were tuned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arbitrank.decisions.observed import share_weights
from arbitrank.decisions.scope import SHARES
from arbitrank.evaluate.intervals import bootstrap_means, interval
from arbitrank.evaluate.metrics import calibration
from arbitrank.evaluate.results import MEASURES, SystemResults, calibration_of, differences_of, measured
from arbitrank.probability import Floats
from arbitrank.values import Example

LEAST = 20
"""Requests out of scope below which no other shares of them are reported."""


def at_shares(
    results: Mapping[str, SystemResults],
    held: Sequence[Example],
    systems: Sequence[str],
    against: Sequence[str],
    *,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """The metrics of each system by share, as a text such as "0.05", and its differences from those in `against`.

    Nothing where fewer than 20 of the requests are out of scope, or none is in scope.
    """
    none = np.array([example.truth.out_of_scope for example in held], bool)
    if none.sum() < LEAST or none.all():
        return {}
    columns = {system: measured(results[system]) for system in systems}
    parts = [
        bootstrap_means(np.ascontiguousarray(np.vstack([one[:, rows] for one in columns.values()]).T), seed + k).T
        for k, rows in enumerate((~none, none))
    ]
    found: dict[str, dict[str, Any]] = {}
    for share in SHARES:
        weight = share_weights(none, share)
        every = ((1.0 - share) * parts[0] + share * parts[1]).reshape(len(systems), len(MEASURES), -1)
        drawn = dict(zip(systems, every, strict=True))
        found[f"{share:g}"] = {
            system: _figures(results[system], columns[system], drawn[system], weight, seed)
            | {
                "against": {
                    other: differences_of((columns[system] - columns[other]) * weight, drawn[system] - drawn[other])
                    for other in against
                    if other in columns and other != system
                }
            }
            for system in systems
        }
    return found


def _figures(one: SystemResults, columns: Floats, drawn: Floats, weight: Floats, seed: int) -> dict[str, Any]:
    return {
        **dict(zip(MEASURES, map(float, (columns * weight).mean(axis=1)), strict=True)),
        **calibration_of(calibration(one.probability, one.right, weight, seed=seed)),
        "ci": dict(zip(MEASURES, map(interval, drawn), strict=True)),
    }
