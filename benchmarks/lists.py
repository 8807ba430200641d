"""HypRank on sgd's lists beside merging alone, and its gain from pseudo-labels beside the Shortlister's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from arbitrank.evaluate.metrics import ece
from arbitrank.probability import sigmoid
from arbitrank.shortlist.epochs import PseudoLabels, TrainingPlan, train
from arbitrank.shortlist.hyprank_training import LabelledList, train_hyprank
from arbitrank.shortlist.network import NetworkShape, inputs, one_label
from arbitrank.shortlist.ngrams import bags, vocabulary
from arbitrank.values import Ranked, Request
from benchmarks.common import between, table
from benchmarks.skills import Services, opens, truths, turns

Floats = NDArray[np.float64]
Turns = list[dict[str, Any]]

_DIALOGUES = 1_500
_LENGTH = 8
_FOLDS = 3
_BOOTSTRAPS = 1_000


def sorted_lists(folder: Path, seeds: Sequence[int], note: Callable[[str], None]) -> dict[str, Any]:
    """Accuracy of the first skill on sgd dev by merging alone and by HypRank, and the effect of pseudo-labels on both.

    Each service is a domain of one skill; the schema's domain is the domain's name. A service's P(mine) is a sigmoid
    over n-grams, learned on other dialogues than those of the lists, and merging alone sorts by it.
    """
    services = Services.read(folder / "services.json")
    everything, dev = turns(folder, "train"), turns(folder, "dev")
    skills = sorted({row["domain"] for row in everything})
    acceptable = truths(dev, services, skills)
    own = np.array([[skill == row["domain"] for skill in skills] for row in dev])
    shown = np.array([row["domain"] in skills for row in dev])
    measured: dict[str, list[Floats]] = {}
    errors: dict[str, list[float]] = {}
    cost, shares = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        dialogues = sorted({row["dialogue"] for row in everything})
        kept = set(rng.permutation(dialogues)[:_DIALOGUES].tolist())
        rows = [row for row in everything if row["dialogue"] in kept]
        p, p_dev = _scores(rows, dev, skills, seed)
        for name, dialogue in (("HypRank without the dialogue", False), ("HypRank with the dialogue", True)):
            lists = _lists(rows, p, skills, services, dialogue)
            model = train_hyprank(lists, seed=seed, rounds=80)
            asked = _lists(dev, p_dev, skills, services, dialogue)
            began = perf_counter()
            best = [model.sort(one.request, one.ranked)[0] for one in asked]
            cost.append(1e6 * (perf_counter() - began) / len(asked))
            first = np.array([skills.index(str(one.skill)) for one in best])
            sure = np.array([one.domain_probability for one in best])
            errors.setdefault(name, []).append(ece(sure[shown], own[np.arange(len(dev)), first][shown]))
            measured.setdefault(name, []).append(np.stack([t[np.arange(len(dev)), first] for t in (acceptable, own)]))
            shares.append(model.kept / model.lists)
        first = p_dev.argmax(axis=1)
        errors.setdefault("merge alone", []).append(
            ece(p_dev.max(axis=1)[shown], own[np.arange(len(dev)), first][shown])
        )
        merged = np.stack([t[np.arange(len(dev)), first] for t in (acceptable, own)])
        measured.setdefault("merge alone", []).append(merged)
        note(f"lists, seed {seed}: " + ", ".join(f"{name} {one[-1][0].mean():.4f}" for name, one in measured.items()))
    groups = np.unique([row["dialogue"] for row in dev], return_inverse=True)[1]
    opening = np.array([opens(row) for row in dev])
    views = {"any that will do": (0, np.ones(len(dev), bool)), "…when something is opened": (0, opening)}
    views["the very service, of those seen"] = (1, shown)
    base = measured.pop("merge alone")
    found = {
        view: {
            "merge alone": float(np.mean([one[which][mask].mean() for one in base])),
            **{
                name: _against(
                    [one[which][mask].astype(float) - b[which][mask] for one, b in zip(ones, base, strict=True)],
                    groups[mask],
                )
                for name, ones in measured.items()
            },
        }
        for view, (which, mask) in views.items()
    }
    labels = _pseudo_labels(everything, skills, services, seeds, note)
    return {
        "n": len(dev),
        "accuracy": found,
        "pseudo": labels,
        "ece": {name: float(np.mean(values)) for name, values in errors.items()},
        "trainable": float(np.mean(shares)),
        "us_a_list": float(np.median(cost)),
    }


def _scores(rows: Turns, dev: Turns, skills: Sequence[str], seed: int) -> tuple[Floats, Floats]:
    """P(mine) of every service, cross-fitted by dialogue on the training turns, and on those of dev."""
    found_grams = bags([row["text"] for row in rows])
    words = vocabulary(found_grams)
    x = inputs(found_grams, words)
    y = one_label(np.array([skills.index(row["domain"]) for row in rows]), len(skills))
    plan = TrainingPlan(NetworkShape(rate=0.015), 6, seed=seed)
    p = np.zeros((len(rows), len(skills)))
    fold = _groups(rows) % _FOLDS
    for f in range(_FOLDS):
        seen = np.flatnonzero(fold != f)
        p[fold == f] = _probabilities(train(x[seen], y[seen], plan).log_odds(x[fold == f]))
    asked = inputs(bags([row["text"] for row in dev]), words)
    return p, _probabilities(train(x, y, plan).log_odds(asked))


def _lists(
    rows: Turns,
    p: Floats,
    skills: Sequence[str],
    services: Services,
    dialogue: bool,
    right: Sequence[frozenset[str]] | None = None,
) -> list[LabelledList]:
    """The merged list of each turn, with the dialogue so far where `dialogue`; the named skill is right."""
    order = np.argsort(-p, axis=1, kind="stable")[:, :_LENGTH]
    used: dict[str, set[str]] = {}
    found = []
    for i, (row, group) in enumerate(zip(rows, _groups(rows).tolist(), strict=True)):
        ranked = tuple(
            Ranked(services.domain[skills[j]], "any", (), q, q, q, skill=skills[j])
            for j, q in zip(order[i].tolist(), p[i, order[i]].tolist(), strict=True)
        )
        before = used.setdefault(row["dialogue"], set())
        request = dialogue_request(row, services, sorted(before)) if dialogue else Request()
        found.append(LabelledList(request, ranked, right[i] if right else frozenset([row["domain"]]), {}, group))
        before.add(row["domain"])
    return found


def dialogue_request(row: dict[str, Any], services: Services, used: list[str]) -> Request:
    context = row.get("context", {})
    acts = [act.partition("(")[0] for act in context.get("prev_sys_acts", "").split()]
    dialogue: dict[str, Any] = {"acts": acts, "failed": "NOTIFY_FAILURE" in acts, "turn": row["turn"]}
    if previous := context.get("prev_service"):
        dialogue |= {"previous_skill": previous, "previous_domain": services.domain[previous]}
    return Request(dialogue=dialogue, account={"used": used})


def _pseudo_labels(
    everything: Turns, skills: Sequence[str], services: Services, seeds: Sequence[int], note: Callable[[str], None]
) -> dict[str, Any]:
    """F1 of the Shortlister and of HypRank on its lists, trained on one label, with pseudo-labels, with all labels.

    HypRank sorts the lists of a Shortlister trained on one label. The threshold is tuned on half of the held-out
    dialogues and measured on the other half. `trainable` is the share of lists with a right answer.
    """
    rows = [row for row in everything if opens(row)]
    named = np.array([skills.index(row["domain"]) for row in rows])
    groups = _groups(rows)
    acceptable = truths(rows, services, skills)
    found_grams = bags([row["text"] for row in rows])
    figures: dict[str, list[float]] = {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        fold = rng.permutation(groups.max() + 1)[groups] % 10
        held, seen = np.flatnonzero(fold < 2), np.flatnonzero(fold >= 2)
        words = vocabulary(bags([rows[i]["text"] for i in seen]))
        x, y = inputs(found_grams, words), one_label(named, len(skills))
        plain = TrainingPlan(NetworkShape(rate=0.015), 6, seed=seed)
        rule = TrainingPlan(NetworkShape(rate=0.015), 16, pseudo=PseudoLabels(2, 4, 0.1, 0.05, 0.4), seed=seed)
        pseudo = train(x[seen], y[seen], rule)
        oracle = csr_array(acceptable[seen].astype(np.float32))
        p = np.zeros(acceptable.shape)
        for f in (0, 1):
            half = seen[fold[seen] % 2 == f]
            other = seen[fold[seen] % 2 != f]
            p[other] = _probabilities(train(x[half], y[half], plain).log_odds(x[other]))
        p[held] = _probabilities(train(x[seen], y[seen], plain).log_odds(x[held]))
        outputs = {
            "Shortlister, one label": p[held],
            "Shortlister, pseudo-labels": _probabilities(pseudo.log_odds(x[held])),
            "Shortlister, oracle labels": _probabilities(train(x[seen], oracle, plain).log_odds(x[held])),
        }
        targets = {"one label": y[seen], "pseudo-labels": pseudo.labels, "oracle labels": oracle}
        there = [rows[i] for i in held]
        for name, labels in targets.items():
            right = [frozenset(skills[j] for j in labels[[i]].indices) for i in range(len(seen))]
            lists = _lists([rows[i] for i in seen], p[seen], skills, services, False, right)
            model = train_hyprank(lists, seed=seed, rounds=60)
            out = np.zeros((len(held), len(skills)))
            for i, one in enumerate(_lists(there, p[held], skills, services, False)):
                candidates = list(one.ranked)
                at = [skills.index(str(c.skill)) for c in candidates]
                out[i, at] = model.probabilities(one.request, candidates, {})
            outputs[f"HypRank, {name}"] = out
            for k in (1, 3, _LENGTH):
                top = np.argsort(-p[seen], axis=1)[:, :k]
                got = np.take_along_axis(labels.toarray() > 0, top, axis=1).any(axis=1).mean()
                figures.setdefault(f"trainable at {k}, {name}", []).append(float(got))
        tuning = fold[held] == 0
        for name, out in outputs.items():
            best = max(np.linspace(0.03, 0.97, 95), key=lambda t: _f1(out[tuning] >= t, acceptable[held[tuning]]))
            truth = acceptable[held[~tuning]]
            figures.setdefault(f"F1, {name}", []).append(_f1(out[~tuning] >= best, truth))
            figures.setdefault(f"at 0.5, {name}", []).append(_f1(out[~tuning] >= 0.5, truth))
            top = out[~tuning].argmax(axis=1)
            figures.setdefault(f"first, {name}", []).append(float(truth[np.arange(len(truth)), top].mean()))
        note(
            f"pseudo-labels, seed {seed}: " + ", ".join(f"{n} {v[-1]:.4f}" for n, v in figures.items() if n[:2] == "F1")
        )
    return {name: [float(np.mean(values)), float(np.std(values))] for name, values in figures.items()}


def _f1(chosen: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(2 * (chosen & truth).sum() / max(1, chosen.sum() + truth.sum()))


def _against(differences: Sequence[NDArray[Any]], groups: NDArray[np.int64]) -> tuple[float, float, float]:
    """The mean of the differences over seeds, with its bootstrap interval over dialogues."""
    mean = np.mean([one.astype(float) for one in differences], axis=0)
    members, number = np.unique(groups, return_inverse=True)
    total, size = np.bincount(number, mean), np.bincount(number)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(members), (_BOOTSTRAPS, len(members)))
    low, high = np.quantile(total[drawn].sum(axis=1) / size[drawn].sum(axis=1), [0.025, 0.975])
    return float(mean.mean()), float(low), float(high)


def _probabilities(z: NDArray[np.float32]) -> Floats:
    return sigmoid(z.astype(np.float64))


def _groups(rows: Turns) -> NDArray[np.int64]:
    return np.unique([row["dialogue"] for row in rows], return_inverse=True)[1].astype(np.int64)


def print_lists(found: Mapping[str, Any]) -> None:
    """Print the accuracy of the first skill, and the effect of pseudo-labels."""
    print(
        f"lists: {found['n']} turns of dev, {_LENGTH} skills a list; {100 * found['trainable']:.1f} % of the lists to "
        f"train on hold the named skill; {found['us_a_list']:.0f} µs a list"
    )
    names = [name for name in next(iter(found["accuracy"].values())) if name != "merge alone"]
    rows = [
        [view, f"{100 * one['merge alone']:.2f}", *(between(*one[name]) for name in names)]
        for view, one in found["accuracy"].items()
    ]
    rows.append(["ECE of that", *(f"{100 * found['ece'][name]:.2f}" for name in ("merge alone", *names))])
    table(("first skill is", "merge alone", *names), rows)
    kinds = ("one label", "pseudo-labels", "oracle labels")
    rows = [
        [
            name,
            *(
                f"{100 * found['pseudo'][f'{name}, {kind}'][0]:.2f} ± {100 * found['pseudo'][f'{name}, {kind}'][1]:.2f}"
                for kind in kinds
            ),
        ]
        for name in sorted({name.rpartition(", ")[0] for name in found["pseudo"]})
    ]
    table(("per cent, ± over seeds", *kinds), rows)
