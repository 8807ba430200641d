"""Training of the Shortlister's classifier on one label where several are acceptable: pseudo-labels, feedback, more.

Training sees one skill for each utterance; evaluation counts all acceptable ones. F1 is over pairs of an utterance and
a skill, at a threshold tuned on other held-out data and at 0.5. sgd: requests that open something new, split by
dialogue inside train (a tenth without labels, a fifth held out: one half tunes, the other measures). bbai: train and
dev in five folds, tuned on the outputs of the other four. Differences to one label are relative, paired, with 95 %
bootstrap intervals over dialogues, averaged over seeds. `turns` is every turn of a quarter of sgd's dialogues, `sweep`
varies p and r on a third of them, `cold` has requests to services that training never shows, `lists` is HypRank's part.

`sgd-beside` (on two fifths of the dialogues) and `bbai-beside` add the log-odds of the linear kernel, trained on the
one label, to those of every arm: the techniques beside it. Of the settings of pseudo-labels, and of all techniques, one
row has those that were best on the other data, on which the threshold is tuned.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from arbitrank.probability import log_odds, sigmoid
from arbitrank.shortlist.calibration import softmax
from arbitrank.shortlist.classifier_training import FineTuning, SelfTraining, fine_tune, retrain
from arbitrank.shortlist.epochs import Distillation, PseudoLabels, TrainedNetwork, TrainingPlan, train
from arbitrank.shortlist.linear_training import train_linear
from arbitrank.shortlist.network import NetworkShape, inputs, one_label
from arbitrank.shortlist.ngrams import bags, vocabulary
from benchmarks.cold import cold_start, print_cold
from benchmarks.common import DATA, between, note, show, table
from benchmarks.lists import print_lists, sorted_lists
from benchmarks.skills import Task, bbai, sgd, synthetic

NAME = "dynamic"
PARTS = ("sgd", "bbai", "turns", "sweep", "cold", "lists", "sgd-beside", "bbai-beside")
_SINGLE = "one label"
_ALL = "combination"
_ORACLE = "oracle labels"
_PSEUDO_ELSEWHERE = "pseudo-labels, the best elsewhere"
_ELSEWHERE = "any technique, the best elsewhere"
_TEMPERED = 0.6  # of the linear kernel's logits, which are too sure of themselves
_GRID = np.linspace(0.03, 0.97, 95)
_BOOTSTRAPS = 400
_WRONG = 0.3
_LEAST = 1e-3  # lower bound of an F1 that is divided by

Floats = NDArray[np.float64]


class Split(NamedTuple):
    """Rows to train on, and those whose outputs are measured."""

    train: NDArray[np.int64]
    held: NDArray[np.int64]


@dataclass(frozen=True)
class Arm:
    """A way of training. `feedback` is from the data or simulated by the labels, with a share of it `flipped`."""

    plan: TrainingPlan
    oracle: bool = False
    feedback: str | None = None
    flipped: float = 0.0
    unlabelled: SelfTraining | None = None


def arms(task: Task) -> dict[str, Arm]:
    """The techniques, each alone and combined. The settings were chosen on other splits of the same data."""
    if task.name == "bbai":
        base = TrainingPlan(NetworkShape(rate=0.02, batch=64), 8)
        best, combined = PseudoLabels(1, 4, 1.0, least=0.35), PseudoLabels(1, 4, 1.0, least=0.4)
    elif task.name == "synthetic":
        base = TrainingPlan(NetworkShape(rate=0.1, batch=64), 6)
        best = combined = PseudoLabels(2, 4, 0.1, least=0.05, share=0.4)
    else:
        base = TrainingPlan(NetworkShape(rate=0.015), 6)
        best = combined = PseudoLabels(2, 4, 0.1, least=0.05, share=0.4)
    long = replace(base, epochs=16 if task.name != "bbai" else 8)
    more = SelfTraining(0.0, 6, 1.0)
    return {
        _SINGLE: Arm(base),
        "one label, as many epochs": Arm(long),
        "pseudo-labels, p 2 r 4": Arm(replace(long, pseudo=PseudoLabels())),
        "pseudo-labels, ratio 0.5": Arm(replace(long, pseudo=PseudoLabels(ratio=0.5))),
        "pseudo-labels, ratio 0.25": Arm(replace(long, pseudo=PseudoLabels(ratio=0.25))),
        "pseudo-labels, chosen": Arm(replace(long, pseudo=best)),
        "negative feedback": Arm(base, feedback="own"),
        "negative feedback, simulated": Arm(base, feedback="simulated"),
        "negative feedback, simulated, 30 % wrong": Arm(base, feedback="simulated", flipped=_WRONG),
        "self-distillation, targets": Arm(replace(base, distil=Distillation(0.3))),
        "self-distillation, targets and input": Arm(replace(base, distil=Distillation(0.3, statistics=True))),
        "unlabelled utterances": Arm(base, unlabelled=more),
        "unlabelled, and who refused them": Arm(base, feedback="refused", unlabelled=more),
        _ALL: Arm(
            replace(long, pseudo=combined, distil=Distillation(0.1)),
            feedback="refused" if task.name == "bbai" else "own",
            unlabelled=more,
        ),
        _ORACLE: Arm(long, oracle=True),
    }


def trained(task: Task, split: Split, arm: Arm, seed: int) -> tuple[TrainedNetwork, NDArray[np.uint32]]:
    """The model of one arm, and its vocabulary."""
    kept = split.train[~np.isin(split.train, task.failed)]
    found = bags([task.utterances[row] for row in kept])
    words = vocabulary(found, least=1 if len(kept) < 5_000 else 2)
    x = inputs(found, words)
    y = (
        csr_array(task.acceptable[kept].astype(np.float32))
        if arm.oracle
        else one_label(task.named[kept], len(task.skills))
    )
    plan = replace(arm.plan, seed=seed)
    model = train(x, y, plan)
    more = inputs(bags(task.spare), words)
    if arm.unlabelled:
        refused = csr_array(task.refused) if arm.feedback == "refused" and task.refused is not None else None
        model = retrain(model, x, more, plan, arm.unlabelled, refused)
    if arm.feedback in ("own", "simulated"):
        corrected, columns = _corrections(task, split, arm, model, x, kept, words, seed)
        wrong = max(0.1, arm.flipped)
        fine_tune(model, x, corrected, columns, FineTuning(wrong))
    return model, words


def _corrections(
    task: Task,
    split: Split,
    arm: Arm,
    model: TrainedNetwork,
    x: csr_array,
    kept: NDArray[np.int64],
    words: NDArray[np.uint32],
    seed: int,
) -> tuple[csr_array, NDArray[np.int64]]:
    """The refused inputs, and the refusing skill of each: from the data's feedback, or simulated by the labels.

    Simulated feedback is on the model's first choice for a fifth of its training utterances; a flipped one is inverted,
    and only refusals are used.
    """
    if arm.feedback == "simulated":
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.permutation(len(kept))[: len(kept) // 5])
        first = model.log_odds(x[rows]).argmax(axis=1)
        wrong = ~task.acceptable[kept[rows], first] ^ (rng.random(len(rows)) < arm.flipped)
        return x[rows[wrong]], first[wrong]
    if task.refused is None:
        rows = np.intersect1d(task.failed, split.train)
        return inputs(bags([task.utterances[row] for row in rows]), words), task.named[rows]
    more = inputs(bags(task.spare), words)
    top = np.argsort(-model.log_odds(more), axis=1, kind="stable")[:, :3]
    at = np.repeat(np.arange(len(task.spare)), top.shape[1])
    refused = task.refused[at, top.ravel()]
    return more[at[refused]], top.ravel()[refused]


class Held(NamedTuple):
    """Outputs for held-out utterances: probabilities, truths, the dialogue of each, and the part for tuning."""

    p: Floats
    truth: NDArray[np.bool_]
    groups: NDArray[np.int64]
    part: NDArray[np.int64]


Beside = dict[tuple[int, int], Floats]
"""The linear kernel's log-odds for held-out utterances, by seed and fold."""


def linear_log_odds(task: Task, split: Split, seed: int) -> Floats:
    """Log-odds of the linear kernel, trained on the one label, for the held-out utterances."""
    kept = split.train[~np.isin(split.train, task.failed)]
    kernel = train_linear([task.utterances[row] for row in kept], task.named[kept].tolist(), seed=seed)
    share = np.full((len(split.held), len(task.skills)), _LEAST)
    for row, of in enumerate(split.held):
        if (logits := kernel.logits(task.utterances[of])) is not None:
            share[row, kernel.skills] = softmax(_TEMPERED * logits)
    return log_odds(share.clip(1e-6, 1.0 - 1e-6))


def held_out(task: Task, arm: Arm, seed: int, beside: Beside | None = None) -> Held:
    """The arm's outputs for held-out utterances: one fifth of sgd's dialogues, all of bbai in five folds.

    With `beside`, which is filled, those of the linear kernel are added to them.
    """
    rng = np.random.default_rng(seed)
    fold = (rng.permutation(task.groups.max() + 1) % 5)[task.groups]
    folds = range(5) if task.name == "bbai" else [0]
    p = np.zeros(task.acceptable.shape)
    for f in folds:
        split = Split(np.flatnonzero(fold != f), np.flatnonzero(fold == f))
        model, words = trained(task, split, arm, seed)
        x = inputs(bags([task.utterances[row] for row in split.held]), words)
        z = model.log_odds(x).astype(np.float64)
        if beside is not None:
            if (seed, f) not in beside:
                beside[seed, f] = linear_log_odds(task, split, seed)
            z += beside[seed, f]
        p[split.held] = sigmoid(z)
    rows = np.setdiff1d(np.flatnonzero(np.isin(fold, folds)), task.failed)
    part = fold[rows] if task.name == "bbai" else rng.integers(2, size=task.groups.max() + 1)[task.groups[rows]]
    return Held(p[rows], task.acceptable[rows], task.groups[rows], part)


def counts(held: Held, at: float | None = None) -> tuple[Floats, NDArray[np.int64]]:
    """For each measured utterance F1's numerator, its denominator, and 1 for an exact set; and its dialogue's number.

    The threshold of a part is the best on the other parts. With two parts only the second is measured.
    """
    parts = np.unique(held.part)
    rows, found = [], []
    for part in parts[1:] if len(parts) == 2 else parts:
        mine = held.part == part
        threshold = tuned(held.p[~mine], held.truth[~mine]) if at is None else at
        chosen, truth = held.p[mine] >= threshold, held.truth[mine]
        rows.append(np.flatnonzero(mine))
        exact = (chosen == truth).all(axis=1)
        sizes = chosen.sum(axis=1) + truth.sum(axis=1)
        found.append(np.stack([2.0 * (chosen & truth).sum(axis=1), sizes, exact], axis=1))
    groups = np.unique(held.groups[np.concatenate(rows)], return_inverse=True)[1]
    return np.concatenate(found), groups.astype(np.int64)


def best_elsewhere(found: Sequence[Held]) -> Held:
    """Of several arms' outputs, for each part those with the best F1 on the other parts."""
    p = found[0].p.copy()
    for part in np.unique(found[0].part):
        mine = found[0].part == part
        scores = [best_f1(one.p[~mine], one.truth[~mine]) for one in found]
        p[mine] = found[int(np.argmax(scores))].p[mine]
    return found[0]._replace(p=p)


def best_f1(p: Floats, truth: NDArray[np.bool_]) -> float:
    """F1 at the threshold of a grid that has the best."""
    chosen = p >= tuned(p, truth)
    return f1(np.array([[2.0 * (chosen & truth).sum(), chosen.sum() + truth.sum()]]))


def tuned(p: Floats, truth: NDArray[np.bool_]) -> float:
    """The threshold of a grid with the best F1."""
    scores = [
        f1(np.array([[2.0 * (chosen & truth).sum(), chosen.sum() + truth.sum()]])) for chosen in (p >= t for t in _GRID)
    ]
    return float(_GRID[int(np.argmax(scores))])


def f1(found: Floats) -> float:
    """Micro F1 of rows of `counts`."""
    whole = found.sum(axis=0)
    return float(whole[0] / max(whole[1], 1.0))


def recall(held: Held, k: int) -> float:
    """The share of utterances with an acceptable skill among the k best."""
    top = np.argsort(-held.p, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(held.truth, top, axis=1).any(axis=1).mean())


def relative(one: Sequence[Held], base: Sequence[Held], at: float | None, seed: int) -> tuple[float, float, float]:
    """The relative gain in F1 over seeds, with its bootstrap interval over dialogues."""
    pairs = [(counts(a, at), counts(b, at)[0]) for a, b in zip(one, base, strict=True)]
    rng = np.random.default_rng(seed)
    mean = float(np.mean([f1(a) / max(f1(b), _LEAST) - 1.0 for (a, _), b in pairs]))
    drawn = []
    for _ in range(_BOOTSTRAPS):
        gains = []
        for (a, groups), b in pairs:
            n = int(groups.max()) + 1
            weight = rng.multinomial(n, np.full(n, 1.0 / n))[groups][:, None]
            gains.append(f1(a * weight) / max(f1(b * weight), _LEAST) - 1.0)
        drawn.append(np.mean(gains))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return mean, float(low), float(high)


def compared(
    make: Callable[[int], Task],
    chosen: Callable[[Task], Mapping[str, Arm]],
    seeds: Sequence[int],
    beside: Beside | None = None,
) -> dict[str, Any]:
    """The figures of every arm: means over the seeds, and against one label."""
    tasks = {seed: make(seed) for seed in seeds}
    names = list(chosen(tasks[seeds[0]]))
    found: dict[str, Any] = {}
    outputs: dict[str, list[Held]] = {}
    if beside is not None:
        names += [_PSEUDO_ELSEWHERE, _ELSEWHERE]
    for name in names:
        if name in (_PSEUDO_ELSEWHERE, _ELSEWHERE):
            prefix = "pseudo-labels" if name == _PSEUDO_ELSEWHERE else ""
            among = [
                outputs[other] for other in chosen(tasks[seeds[0]]) if other.startswith(prefix) and other != _ORACLE
            ]
            outputs[name] = [best_elsewhere(found) for found in zip(*among, strict=True)]
        else:
            outputs[name] = [held_out(task, chosen(task)[name], seed, beside) for seed, task in tasks.items()]
        rows = [{at: counts(one, at)[0] for at in (None, 0.5)} for one in outputs[name]]
        found[name] = {
            "f1": float(np.mean([f1(one[None]) for one in rows])),
            "f1_half": float(np.mean([f1(one[0.5]) for one in rows])),
            "exact": float(np.mean([one[None][:, 2].mean() for one in rows])),
            **{f"recall{k}": float(np.mean([recall(one, k) for one in outputs[name]])) for k in (1, 3, 10)},
            "gain": relative(outputs[name], outputs[names[0]], None, 0),
            "gain_half": relative(outputs[name], outputs[names[0]], 0.5, 0),
        }
        note(f"{tasks[seeds[0]].name}: {name}: {found[name]['f1']:.4f} {found[name]['f1_half']:.4f}")
    return {"n": len(outputs[names[0]][0].p), "seeds": len(seeds), "arms": found}


def techniques(task: Task) -> dict[str, Arm]:
    """The techniques each, and pseudo-labels by the settings that were chosen on either corpus."""
    every = arms(task)
    long = every["one label, as many epochs"].plan
    other = PseudoLabels(1, 4, 1.0, least=0.35) if task.name != "bbai" else PseudoLabels(2, 4, 0.1, 0.05, 0.4)
    left_out = (
        "simulated",
        "as many epochs",
        "ratio 0.25",
        "targets and input" if task.name == "bbai" else ", targets",
    )
    kept = {name: arm for name, arm in every.items() if not name.endswith(left_out) and "simulated" not in name}
    kept.pop(_ORACLE)
    return {**kept, "pseudo-labels, as chosen elsewhere": Arm(replace(long, pseudo=other)), _ORACLE: every[_ORACLE]}


def sweep(task: Task) -> dict[str, Arm]:
    """p and r as the article sweeps them, with the chosen ratio and share, and with the article's ratio."""
    plan = TrainingPlan(NetworkShape(rate=0.015), 16)
    ours = {
        f"p {p} r {r}, chosen": Arm(replace(plan, pseudo=PseudoLabels(p, r, 0.1, 0.05, 0.4)))
        for p in (1, 2, 3)
        for r in (1, 2, 4, 6)
    }
    article = {
        f"p {p} r {r}, ratio 1": Arm(replace(plan, pseudo=PseudoLabels(p, r))) for p in (1, 2, 3) for r in (2, 4, 6)
    }
    return {_SINGLE: arms(task)[_SINGLE], **article, **ours}


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of the chosen parts."""
    if chosen.quick:
        return {"synthetic": compared(lambda seed: synthetic(seed=seed), _main, range(2))}
    seeds = range(chosen.seed, chosen.seed + chosen.seeds)
    folder = chosen.data / "sgd"
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "sgd": lambda: compared(lambda seed: sgd(folder, seed=seed), arms, seeds),
        "bbai": lambda: compared(lambda seed: bbai(chosen.data / "bbai", seed=seed), arms, seeds),
        "turns": lambda: compared(lambda seed: sgd(folder, every_turn=True, share=0.25, seed=seed), _main, seeds),
        "sweep": lambda: compared(lambda seed: sgd(folder, share=0.3, seed=seed), sweep, seeds),
        "cold": lambda: cold_start(folder, seeds),
        "lists": lambda: sorted_lists(folder, seeds, note),
        "sgd-beside": lambda: compared(lambda seed: sgd(folder, share=0.4, seed=seed), techniques, seeds, {}),
        "bbai-beside": lambda: compared(lambda seed: bbai(chosen.data / "bbai", seed=seed), techniques, seeds, {}),
    }
    return {part: parts[part]() for part in chosen.part or PARTS}


def _main(task: Task) -> dict[str, Arm]:
    """The most informative arms."""
    every = arms(task)
    return {name: every[name] for name in (_SINGLE, "pseudo-labels, p 2 r 4", "pseudo-labels, chosen", _ALL, _ORACLE)}


def print_tables(found: Mapping[str, Any]) -> None:
    """Print the tables of all parts."""
    for name, one in found.items():
        if name == "cold":
            print_cold(one)
        elif name == "lists":
            print_lists(one)
        else:
            _print_arms(name, one)


def _print_arms(name: str, one: Mapping[str, Any]) -> None:
    print(f"{name}: {one['n']} held-out utterances, {one['seeds']} seeds; per cent; gains relative to the first row")
    head = ("trained with", "F1", "at 0.5", "exact", "R@1", "R@3", "R@10", "gain in F1", "gain at 0.5", "of the gap")
    base = one["arms"][_SINGLE]["f1"]
    gap = one["arms"].get(_ORACLE, {"f1": base})["f1"] - base
    rows = [
        [
            arm,
            *(f"{100 * got[key]:.2f}" for key in ("f1", "f1_half", "exact", "recall1", "recall3", "recall10")),
            between(*got["gain"]),
            between(*got["gain_half"], digits=1),
            f"{100 * (got['f1'] - base) / gap:.0f}" if gap else "",
        ]
        for arm, got in one["arms"].items()
    ]
    table(head, rows)


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The benchmark's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="what to measure (all)")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a small synthetic task; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(argv)


def main() -> None:
    """Measure and print."""
    chosen = options()
    with threadpool_limits(1):
        show(NAME, chosen, figures(chosen), print_tables)


if __name__ == "__main__":
    main()
