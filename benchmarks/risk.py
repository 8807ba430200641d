"""Bounds on the share of wrong answers, over random splits of corpora: how often they hold, and what is accepted.

Of the requests of a corpus that no model has seen, a random half sets the thresholds, as `tune --risk` does. The corpus
is the population that the half was drawn from: the bound holds where at most the limit of all its accepted answers are
wrong. On the other half alone, chance is in the share that is compared as well; both are counted. A split in which no
threshold passes accepts nothing, and keeps every bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arbitrank.arbitration.decide import ACTIONS, DecisionSettings
from arbitrank.arbitration.risk_bound import DOMAIN, accept_thresholds
from arbitrank.decisions.observed import Heads, heads_of
from arbitrank.decisions.risk import bounded
from arbitrank.decisions.risk_groups import RiskLimit
from benchmarks.common import benches, options, show, table
from benchmarks.unseen import unseen

NAME = "risk"
CORPORA = ("clinc150", "media", "slurp", "snips")
LIMITS = ((0.02, None), (0.05, None), (0.1, None), (0.05, DOMAIN))
SPLITS = 200


def measured(heads: Heads, none: np.ndarray | None, domains: Sequence[str], splits: int, seed: int) -> list[Any]:
    """The figures of each limit over random halves of the requests."""
    return [_row(heads, none, domains, RiskLimit(risk, per=per), splits, seed) for risk, per in LIMITS]


def _row(
    heads: Heads, none: np.ndarray | None, domains: Sequence[str], limit: RiskLimit, splits: int, seed: int
) -> dict[str, Any]:
    rng, n = np.random.default_rng(seed), len(heads.right)
    met = held = held_on_rest = 0
    accepted, wrong = [], []
    for _ in range(splits):
        half = np.zeros(n, np.bool_)
        half[rng.permutation(n)[: n // 2]] = True
        places = np.flatnonzero(half)
        found = bounded(
            heads.at(places), DecisionSettings(), limit, domains=domains,
            none=None if none is None else none[places], seed=int(rng.integers(1 << 31)),
        )  # fmt: skip
        if found.refusal:
            held += 1
            held_on_rest += 1
            accepted.append(0.0)
            continue
        met += 1
        settings = found.settings
        accept = accept_thresholds(settings.accept_by, settings.accept, domains, heads.domain, ())
        taken = heads.actions(settings, accept) == ACTIONS.index("accept")
        groups = [taken & (heads.domain == d) for d in range(len(domains))] if limit.per else [taken]
        held += all(_share(heads, one) <= limit.risk for one in groups)
        held_on_rest += all(_share(heads, one & ~half) <= limit.risk for one in groups)
        accepted.append(float(taken.mean()))
        wrong.append(_share(heads, taken))
    return {
        "risk": limit.risk, "per": limit.per or "all", "splits": splits, "met": met, "held": held,
        "held_on_rest": held_on_rest, "accepted": float(np.mean(accepted)),
        "wrong": float(np.mean(wrong)) if wrong else None,
    }  # fmt: skip


def _share(heads: Heads, taken: np.ndarray) -> float:
    return float((~heads.right[taken]).mean()) if taken.any() else 0.0


def _print(figures: Mapping[str, Any]) -> None:
    head = (
        "corpus", "limit", "per", "n", "kept by", "holds", "on the rest", "accepted", "wrong", "accepted before",
        "wrong before",
    )  # fmt: skip
    rows = []
    for name, one in figures.items():
        for row in one["limits"]:
            wrong = "" if row["wrong"] is None else f"{100 * row['wrong']:.2f} %"
            rows.append([
                name, f"{100 * row['risk']:g} %", row["per"], str(one["n"]), f"{row['met']} of {row['splits']}",
                str(row["held"]), str(row["held_on_rest"]), f"{100 * row['accepted']:.1f} %", wrong,
                f"{100 * one['accepted']:.1f} %", f"{100 * one['wrong']:.1f} %",
            ])  # fmt: skip
    table(head, rows)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    figures = {}
    for bench in benches(chosen):
        seen = unseen(bench, seed=chosen.seed, jobs=chosen.jobs).observed
        heads = heads_of(seen, DecisionSettings())
        none = seen.on_none.right if seen.out_of_scope.any() else None
        taken = heads.actions(DecisionSettings()) == ACTIONS.index("accept")
        figures[bench.corpus.name] = {
            "n": len(heads.right), "accepted": float(taken.mean()), "wrong": _share(heads, taken),
            "limits": measured(heads, none, seen.domains, 20 if chosen.quick else SPLITS, chosen.seed),
        }  # fmt: skip
    show(NAME, chosen, figures, _print)


if __name__ == "__main__":
    main()
