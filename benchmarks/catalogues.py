"""Quality of the Shortlister on real catalogues, beside a linear support-vector machine and BM25 on the same requests.

metatool: requests to 199 tools, one label each though several tools often fit. clinc150: 150 intents, and requests out
of scope. sgd: the requests that open something new, to 26 services; every service of the same domain and intent is
acceptable. All train on the train split and are measured on dev; settings were chosen by splits of metatool's train
split alone. The peer is TF-IDF of words, pairs of words and characters (2 to 5, inside words) with scikit-learn's
LinearSVC; BM25 (bm25s) ranks skills by their best training request. Differences are paired over requests, with 95 %
bootstrap intervals, and averaged over seeds, of which each trains in another order. ECE is of the best skill's
probability. Seconds are of the processor, of all threads; with a core for each of its two, a training takes as long as
the longer one.

*None* is P(no skill fits): of clinc150's requests out of scope, and of a Shortlister that is trained on half of a
catalogue's skills and sees the requests of both halves. The expected share of requests that fit none is given to both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.metrics import calibration
from arbitrank.nlu.text import crc
from arbitrank.shortlist.build import SkillUtterance, build
from arbitrank.shortlist.linear_training import can_train, train_linear
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Request
from benchmarks.common import DATA, between, note, show, table
from benchmarks.skills import Services, opens, read, turns

NAME = "catalogues"
RANKS = (1, 5, 10)
CORPORA = ("metatool", "clinc150", "sgd")
Ranks = NDArray[np.float64]

_BOOTSTRAPS = 1_000


@dataclass(frozen=True)
class Labelled:
    """Utterances to train on and to measure on, and on either side those that fit no skill."""

    train: list[SkillUtterance]
    dev: list[SkillUtterance]
    outside: list[str]
    outside_dev: list[str]


def line(text: str, skill: str, acceptable: Sequence[str] = ()) -> SkillUtterance:
    return SkillUtterance(text, skill, "catalogue", frozenset([skill, *acceptable]), Request(utterance=text))


def corpus(name: str, folder: Path) -> Labelled:
    """A corpus by its name."""
    if name == "sgd":
        services = Services.read(folder / "services.json")
        parts = [[row for row in turns(folder, split) if opens(row)] for split in ("train", "dev")]
        lines = [[line(row["text"], row["domain"], sorted(services.acceptable(row))) for row in part] for part in parts]
        known = {one.skill for one in lines[0]}
        return Labelled(lines[0], [one for one in lines[1] if one.acceptable & known], [], [])
    rows = [list(read(folder / f"{split}.jsonl.gz")) for split in ("train", "dev")]
    if name == "metatool":
        return Labelled(*([line(row["text"], row["skill"]) for row in part] for part in rows), [], [])
    owned = [[line(row["text"], row["intent"]) for row in part if row["domain"]] for part in rows]
    return Labelled(*owned, *([row["text"] for row in part if not row["domain"]] for part in rows))


def ranks(found: Sequence[Sequence[str]], lines: Sequence[SkillUtterance]) -> Ranks:
    """The rank of the first acceptable skill of each request, infinite for none."""
    return np.array(
        [
            next((rank for rank, skill in enumerate(row) if skill in one.acceptable), np.inf)
            for row, one in zip(found, lines, strict=True)
        ]
    )


def ours(data: Labelled, seed: int, linear: bool = True) -> tuple[Ranks, dict[str, Any]]:
    """The Shortlister: the rank of each request and its figures."""
    began, of_thread = time.process_time(), time.thread_time()
    shortlister = trained(data.train, data.outside, seed, linear)
    took, own = time.process_time() - began, time.thread_time() - of_thread
    # None of these requests is out of scope.
    found = [shortlister.shortlist(one.utterance, max(RANKS), outside=0.0) for one in data.dev]
    rank = ranks([[one.skill for one in row] for row in found], data.dev)
    card = calibration(np.array([row[0].score if row else 0.0 for row in found]), (rank == 0).astype(np.float64))
    began = time.process_time()
    for one in data.dev[:500]:
        shortlister.shortlist(one.utterance)
    us = 1e6 * (time.process_time() - began) / len(data.dev[:500])
    size = shortlister.index.nbytes + (shortlister.linear.nbytes if shortlister.linear else 0)
    figures: dict[str, Any] = {
        "train_s": took,
        "thread_s": max(own, took - own),
        "query_us": us,
        "mb": size / 1e6,
        "ece": card.ece,
    }
    figures |= {"floor": card.ece_floor, "over": card.over}
    if data.outside_dev:
        figures["none"] = none_figures(shortlister, [one.utterance for one in data.dev], data.outside_dev)
    return rank, figures


def trained(lines: Sequence[SkillUtterance], outside: Sequence[str], seed: int, linear: bool = True) -> Shortlister:
    """A Shortlister with the linear kernel, where one is wanted and the data are few enough for it."""
    few = linear and can_train(len(lines), len({one.skill for one in lines}))
    return build(lines, unowned=outside, linear=partial(train_linear, seed=seed) if few else None).shortlister


def none_figures(shortlister: Shortlister, inside: Sequence[str], outside: Sequence[str]) -> dict[str, float]:
    """P(no skill fits) on requests that fit one and that fit none: area under the ROC curve, ECE and its floor."""
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.zeros(len(inside)), np.ones(len(outside))])
    p = np.array([shortlister.judge(text, outside=float(truth.mean()))[1] for text in (*inside, *outside)])
    card = calibration(p, truth)
    kept = [bool(shortlister.shortlist(text, mass=0.95, outside=float(truth.mean()))) for text in outside]
    return {
        "share": float(truth.mean()),
        "auc": float(roc_auc_score(truth, p)),
        "ece": card.ece,
        "floor": card.ece_floor,
        "over": card.over,
        "empty": 1.0 - float(np.mean(kept)),
    }


def halves(data: Labelled, seed: int) -> dict[str, float]:
    """The figures of none for a Shortlister of half of the skills, on the requests of both halves."""
    mine = [one for one in data.train if crc(f"half {one.skill}") % 2]
    skills = {one.skill for one in mine}
    shortlister = trained(mine, (), seed)
    inside = [one.utterance for one in data.dev if one.acceptable & skills]
    return none_figures(shortlister, inside, [one.utterance for one in data.dev if not one.acceptable & skills])


def vectors(data: Labelled) -> tuple[Ranks, dict[str, Any]]:
    """TF-IDF of words and characters with a linear support-vector machine."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union
    from sklearn.svm import LinearSVC

    began = time.process_time()
    weigh = make_union(
        TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True, dtype=np.float32),
    )
    model = LinearSVC(C=0.5)
    model.fit(weigh.fit_transform([one.utterance for one in data.train]), [one.skill for one in data.train])
    took = time.process_time() - began
    scores = model.decision_function(weigh.transform([one.utterance for one in data.dev]))
    best = np.argsort(-scores, axis=1)[:, : max(RANKS)]
    return ranks(model.classes_[best].tolist(), data.dev), {"train_s": took}


def bm25(data: Labelled) -> tuple[Ranks, dict[str, Any]] | None:
    """BM25 over the training requests, each standing for its skill; None where bm25s is not installed."""
    try:
        import bm25s
    except ImportError:
        return None
    began = time.process_time()
    index = bm25s.BM25()
    words = partial(bm25s.tokenize, stopwords=None, show_progress=False)
    index.index(words([one.utterance for one in data.train]), show_progress=False)
    took = time.process_time() - began
    near, _ = index.retrieve(
        words([one.utterance for one in data.dev]), k=min(200, len(data.train)), show_progress=False
    )
    found = [list(dict.fromkeys(data.train[at].skill for at in row.tolist()))[: max(RANKS)] for row in near]
    return ranks(found, data.dev), {"train_s": took}


def gains(one: Sequence[Ranks], other: Ranks, k: int) -> tuple[float, float, float]:
    """The mean difference in recall@k over seeds, with its interval over requests."""
    change = np.mean([(rank < k).astype(float) for rank in one], axis=0) - (other < k)
    draws = np.random.default_rng(0).integers(0, len(change), (_BOOTSTRAPS, len(change)))
    low, high = np.quantile(change[draws].mean(axis=1), (0.025, 0.975))
    return float(change.mean()), float(low), float(high)


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of every corpus."""
    figures: dict[str, Any] = {}
    for name in chosen.corpus or CORPORA:
        note(name)
        data = corpus(name, chosen.data / name)
        runs = [ours(data, chosen.seed + turn) for turn in range(chosen.seeds)]
        systems: dict[str, Any] = {"Shortlister": averaged([rank for rank, _ in runs], [one for _, one in runs])}
        systems["Shortlister"]["half"] = halves(data, chosen.seed)
        systems_beside = {"index alone": partial(ours, seed=chosen.seed, linear=False)}
        systems_beside |= {"TF-IDF and linear SVM": vectors, "BM25": bm25} if chosen.peers else {}
        for peer, system in systems_beside.items():
            note(f"{name}: {peer}")
            if (done := system(data)) is not None:
                rank, own = done
                gain = {k: gains([rank for rank, _ in runs], rank, k) for k in RANKS}
                systems[peer] = {**averaged([rank], [own]), "gain": gain}
        figures[name] = {"n": len(data.dev), "train": len(data.train), "seeds": chosen.seeds, "systems": systems}
    return figures


def averaged(found: Sequence[Ranks], figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    recall = {k: float(np.mean([(rank < k).mean() for rank in found])) for k in RANKS}
    numbers = {key: float(np.mean([one[key] for one in figures])) for key in figures[0] if key != "none"}
    return {"recall": recall, **numbers, "none": figures[0].get("none")}


def print_tables(figures: Mapping[str, Any]) -> None:
    for name, one in figures.items():
        print(f"{name}: {one['train']} requests to train on, {one['n']} to measure, {one['seeds']} seeds; per cent")
        rows = []
        for system, own in one["systems"].items():
            shares = [f"{100 * own['recall'][k]:.1f}" for k in RANKS]
            gained = [between(*own["gain"][k], digits=1) if "gain" in own else "" for k in RANKS[:2]]
            rows.append([system, *shares, *gained, f"{own['train_s']:.0f}"])
        table(("", "@1", "@5", "@10", "Shortlister's gain @1", "gain @5", "s of training"), rows)
        own = one["systems"]["Shortlister"]
        print(
            f"Shortlister: ECE {100 * own['ece']:.1f} (floor {100 * own['floor']:.1f}, over-confident by "
            f"{100 * own['over']:+.1f}), {own['query_us']:.0f} µs of the processor a request, {own['mb']:.0f} MB; "
            f"the longer of the two threads of its training takes {own['thread_s']:.0f} s"
        )
        for title, none in (("out of scope", own["none"]), ("half of the skills", own["half"])):
            if none:
                print(
                    f"none, {title}: {100 * none['share']:.0f} % of the requests; AUC {none['auc']:.3f}, ECE "
                    f"{100 * none['ece']:.1f} (floor {100 * none['floor']:.1f}, over-confident by "
                    f"{100 * none['over']:+.1f}); list empty for {100 * none['empty']:.0f} % of these, mass 0.95"
                )
        print()


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", choices=CORPORA, help="what to measure on (all)")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first (%(default)s)")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="measure the Shortlister alone")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    chosen = options(argv)
    show(NAME, chosen, measured(chosen), print_tables)


if __name__ == "__main__":
    main()
