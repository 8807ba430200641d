"""Cold start of the Shortlister: services that training never shows, known by their descriptions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.shortlist.epochs import TrainingPlan, train
from arbitrank.shortlist.network import NetworkShape, inputs, one_label
from arbitrank.shortlist.ngrams import bags, vocabulary
from benchmarks.common import table
from benchmarks.skills import Services, opens, truths, turns

_TIMES = 20  # a description of a skill counts as so many utterances


def cold_start(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Recall on dev's requests, split by whether training shows their service.

    A skill's description and those of its intents are training examples of it. `own` is recall of the named service,
    `will do` of any acceptable one; `seen` are services that training shows.
    """
    services = Services.read(folder / "services.json")
    rows = [row for row in turns(folder, "train") if opens(row)]
    dev = [row for row in turns(folder, "dev") if opens(row)]
    shown = sorted({row["domain"] for row in rows})
    skills = sorted({*shown, *(row["domain"] for row in dev)})
    number = {name: i for i, name in enumerate(skills)}
    descriptions = [(text, number[name]) for name in skills for text in services.descriptions[name]] * _TIMES
    utterances = [row["text"] for row in rows] + [text for text, _ in descriptions]
    named = np.array([number[row["domain"]] for row in rows] + [skill for _, skill in descriptions])
    found_grams = bags(utterances)
    words = vocabulary(found_grams)
    x, y = inputs(found_grams, words), one_label(named, len(skills))
    asked = inputs(bags([row["text"] for row in dev]), words)
    own = np.array([[skill == row["domain"] for skill in skills] for row in dev])
    acceptable = truths(dev, services, skills)
    unseen = np.array([row["domain"] not in shown for row in dev])
    found: dict[str, Any] = {"n": {"unseen": int(unseen.sum()), "seen": int((~unseen).sum())}, "recall": {}}
    for seed in seeds:
        z = train(x, y, TrainingPlan(NetworkShape(rate=0.015), 6, seed=seed)).log_odds(asked)
        order = np.argsort(-z, axis=1, kind="stable")
        for group, rows_ in (("unseen", unseen), ("seen", ~unseen)):
            for truth, right in (("own", own), ("will do", acceptable)):
                got = found["recall"].setdefault(f"{group} service, {truth}", {})
                for k in (1, 3, 5, 10):
                    top = np.take_along_axis(right[rows_], order[rows_, :k], axis=1)
                    got[k] = got.get(k, 0.0) + float(top.any(axis=1).mean()) / len(seeds)
    return found


def print_cold(found: Mapping[str, Any]) -> None:
    """Print recall at several lengths of the list."""
    print(
        f"cold start: {found['n']['unseen']} requests to services never seen, {found['n']['seen']} to others; per cent"
    )
    rows = [[name, *(f"{100 * got[k]:.1f}" for k in got)] for name, got in found["recall"].items()]
    table(("recall of", "@1", "@3", "@5", "@10"), rows)
