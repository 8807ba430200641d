"""Value of a candidate from a log, where the truth is known: coverage of intervals, spread of estimators, verdicts.

bbai: 2,399 questions to 19 assistants, of which all acceptable answers are known. A text classifier of each assistant,
cross-fitted, claims P(acceptable); the greatest claim answers. A candidate exchanges one assistant's claims: another
bias, noise, or less training. synthetic: eight domains, whose claims and acceptances follow the same hidden
numbers. Sessions have one to eight requests; bbai's are of similar questions.

A log is drawn from these as a service writes it: whole sessions fall into a canary, or into exploration among claims
close to the greatest. `arbitrank.outcomes.value` estimates from it alone. Over --draws logs of each candidate: the
share of 95 % intervals that hold the true difference; the spread of DR over that of IPS; and the share of verdicts
(better, worse) with the sign of the truth. --log N: instead, the time and the memory that `arbitrank value` takes on a
log of N requests to three domains, in sessions of three, with fifteen hypotheses and a reaction each.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from joblib.externals.loky import get_reusable_executor
from msgspec.structs import replace as replaced
from numpy.typing import NDArray

from arbitrank.answerlog.feedback import Feedback
from arbitrank.arbitration.outcomes import Arbitration
from arbitrank.arbitration.own_claims import own_claims
from arbitrank.impact.plan import plan
from arbitrank.impact.value_work import unused_in, valued
from arbitrank.impact.valued import value_of
from arbitrank.live.live import Live
from arbitrank.outcomes.choices import LoggedChoices, VersionChoices
from arbitrank.outcomes.draws import draw, draw_key
from arbitrank.outcomes.propensities import selection_of
from arbitrank.outcomes.value import ValueSettings, estimate
from arbitrank.probability import Floats, log_odds, sigmoid
from arbitrank.store.store import Store, open_store
from arbitrank.values import Request
from arbitrank.wire.requests import Logged
from benchmarks.common import DATA, note, show, table
from benchmarks.exchanged import World as Exchanged
from benchmarks.exchanged import world

NAME = "value"
SESSIONS = 1_000
DOMAINS = 4  # that are exchanged, one at a time
SHARES = (0.05, 0.2, 0.5)
WITHIN, BUDGET = 0.3, 0.2  # exploration: claims within that of the greatest, by that share of the sessions
ESTIMATORS = ("ips", "snips", "dr")
EXCHANGED, SHARE = "domain1", 0.3  # of the log of a service: the domain with a canary, and its share


@dataclass(frozen=True)
class World:
    """N requests of known acceptance: P(accepted) of each of D domains' answers, claims by version, and sessions."""

    name: str
    accepted: Floats
    stable: Floats
    candidates: dict[str, Floats]
    session: NDArray[np.int64]

    def value(self, claims: Floats) -> float:
        """The true share of accepted answers."""
        return float(self.accepted[np.arange(len(claims)), claims.argmax(axis=1)].mean())


def bbai(folder: Path, seed: int = 0) -> World:
    """The assistants of bbai, with classifiers of the questions."""
    files = [gzip.decompress((folder / f"{part}.jsonl.gz").read_bytes()) for part in ("train", "dev")]
    rows = [json.loads(line) for content in files for line in content.splitlines()]
    texts, names = [row["text"] for row in rows], sorted({name for row in rows for name in row["agents_ok"]})
    accepted = np.array([[name in row["agents_ok"] for name in names] for row in rows], np.float64)
    claims, weak = (_classified(texts, accepted, seed, share) for share in (1.0, 0.15))
    session = _similar(texts, seed)
    return World("bbai", accepted, claims, dict(_candidates(names, claims, weak, seed)), session)


def synthetic(seed: int = 0, n: int = 20_000, domains: int = 8) -> World:
    """Domains with hidden suitability; the claims know it but for noise."""
    rng = np.random.default_rng(seed)
    session = np.repeat(np.arange(n), rng.integers(1, 9, n))[:n]
    hidden = 1.5 * rng.normal(size=(n, domains)) + 0.8 * rng.normal(size=(n, domains))[session] - 1.0
    accepted = sigmoid(hidden)
    claims = sigmoid(hidden + 0.9 * rng.normal(size=hidden.shape))
    weak = sigmoid(hidden + 2.0 * rng.normal(size=hidden.shape))
    names = [f"d{i}" for i in range(domains)]
    return World("synthetic", accepted, claims, dict(_candidates(names, claims, weak, seed)), session)


def _candidates(names: list[str], claims: Floats, weak: Floats, seed: int) -> Iterator[tuple[str, Floats]]:
    """Claims with those of one domain exchanged, for the domains that win most requests."""
    rng, z = np.random.default_rng(seed + 1), log_odds(claims)
    wins = np.bincount(claims.argmax(axis=1), minlength=len(names))
    for d in np.argsort(-wins)[:DOMAINS].tolist():
        noisy = z[:, d] + rng.normal(size=len(z))
        changes = {"greedy": z[:, d] + 0.7, "shy": z[:, d] - 0.7, "noisy": noisy}
        for change, own in {**changes, "weak": log_odds(weak[:, d])}.items():
            changed = claims.copy()
            changed[:, d] = sigmoid(own)
            yield f"{names[d]} {change}", changed


def _classified(texts: list[str], accepted: Floats, seed: int, share: float) -> Floats:
    """Cross-fitted P(acceptable) of each assistant by the words of a question, from a share of the others."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    x = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    fold, taught = rng.integers(5, size=len(texts)), rng.random(len(texts)) < share
    claims = np.empty_like(accepted)
    for k in range(5):
        held, rows = fold == k, (fold != k) & taught
        for d in range(accepted.shape[1]):
            y = accepted[rows, d]
            if y.min() == y.max():
                claims[held, d] = y.mean()
                continue
            model = LogisticRegression(C=3.0, max_iter=300).fit(x[rows], y)
            claims[held, d] = model.predict_proba(x[held])[:, 1]
    return claims


def _similar(texts: list[str], seed: int) -> NDArray[np.int64]:
    """Sessions of one to eight questions that are alike: runs along the first direction of their words."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    rng = np.random.default_rng(seed)
    x = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    order = TruncatedSVD(2, random_state=seed).fit_transform(x)[:, 1].argsort()
    session = np.empty(len(texts), np.int64)
    session[order] = np.repeat(np.arange(len(texts)), rng.integers(1, 9, len(texts)))[: len(texts)]
    return session


def logged(world: World, claims: Floats, rng: np.random.Generator, canary: float | None) -> LoggedChoices:
    """The log of so many sessions with a canary of that share, else with exploration."""
    k = int(world.session.max()) + 1
    order, starts = np.argsort(world.session, kind="stable"), np.searchsorted(np.sort(world.session), np.arange(k + 1))
    picked = rng.integers(k, size=SESSIONS)
    sizes = starts[picked + 1] - starts[picked]
    session = np.repeat(np.arange(SESSIONS), sizes)
    rows = order[
        np.repeat(starts[picked], sizes) + np.arange(len(session)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    ]
    before, after = world.stable[rows].argmax(axis=1), claims[rows].argmax(axis=1)
    flipped, at = before != after, np.arange(len(rows))
    if canary is not None:
        drawn = (rng.random(SESSIONS) < canary)[session]
        served = np.where(drawn, after, before)
        propensity = np.where(flipped, np.where(drawn, canary, 1.0 - canary), 1.0)
        possible = np.ones(len(rows), np.bool_), np.ones(len(rows), np.bool_)
    else:
        served, chances = _explored(world.stable[rows], rng, session)
        propensity = chances[at, served]
        possible = np.ones(len(rows), np.bool_), chances[at, after] > 0.0
    accepted = (rng.random(len(rows)) < world.accepted[rows, served]).astype(np.float64)
    first, second = (
        VersionChoices(served == one, can, own[rows][at, one], np.zeros(len(rows), np.int64))
        for one, can, own in zip((before, after), possible, (world.stable, claims), strict=True)
    )
    return LoggedChoices(accepted, propensity, session, session, first, second, flipped)


def _explored(claims: Floats, rng: np.random.Generator, session: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Served domains, and the probabilities of all, with exploration among the claims close to the greatest."""
    head = claims.argmax(axis=1)
    close = claims >= claims.max(axis=1, keepdims=True) - WITHIN
    close[np.arange(len(head)), head] = False
    others = np.where(close, claims, 0.0)
    total = others.sum(axis=1, keepdims=True)
    chances = np.where(total > 0.0, BUDGET * others / np.where(total > 0.0, total, 1.0), 0.0)
    chances[np.arange(len(head)), head] = np.where(total[:, 0] > 0.0, 1.0 - BUDGET, 1.0)
    drawn = (rng.random(SESSIONS) < BUDGET)[session] & (total[:, 0] > 0.0)
    within = (others.cumsum(axis=1) < rng.random((len(head), 1)) * total).sum(axis=1)
    return np.where(drawn, within, head), chances


def measured(world: World, canary: float | None, draws: int, seed: int) -> dict[str, Any]:
    """Coverage, spread and verdicts over the candidates of a world."""
    stable = world.value(world.stable)
    cover: dict[str, list[float]] = {one: [] for one in ESTIMATORS}
    spread, judged, agreed, logs, bias = [], 0, 0, 0, []
    for number, claims in enumerate(world.candidates.values()):
        truth = world.value(claims) - stable
        rng = np.random.default_rng(seed + number)
        found = [estimate(logged(world, claims, rng, canary), ValueSettings()) for _ in range(draws)]
        logs += draws
        enough = [one for one in found if one is not None and one.verdict not in ("same", "too little evidence")]
        for one in enough:
            sign = {"better": 1, "worse": -1}.get(one.verdict, 0)
            judged += sign != 0
            agreed += sign * truth > 0.0
        if len(enough) < draws // 2:
            continue
        bias.append(np.mean([one.difference.dr.mean for one in enough]) - truth)
        if not any(one.without_evidence for one in enough):
            for name in ESTIMATORS:
                intervals = [getattr(one.difference, name) for one in enough]
                cover[name].append(float(np.mean([one.low <= truth <= one.high for one in intervals])))
        means = {name: np.std([getattr(one.difference, name).mean for one in enough]) for name in ESTIMATORS}
        spread.append(float(means["dr"] / means["ips"]))
    covered = {name: float(np.mean(shares)) if shares else None for name, shares in cover.items()}
    return {
        "candidates": len(world.candidates),
        "measured": len(bias),
        **covered,
        "spread": float(np.median(spread)) if spread else None,
        "judged": judged / logs,
        "agreement": agreed / judged if judged else None,
        "bias": float(np.mean(np.abs(bias))) if bias else None,
    }


def timed(n: int, jobs: int) -> dict[str, float]:
    """The seconds of a value report on a log of n requests, as a service with a canary writes it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        made = world(out / "world", domains=3, train=800, held=2_000)
        store = made.fill(open_store(out / "store", environment={}))
        candidate = made.build(EXCHANGED, out / "candidate", 100)
        version = store.publish(candidate).version
        store.canary(EXCHANGED, SHARE)
        _write(made, store, version, out / "log", n)
        plan_of = plan(made.domains, store, EXCHANGED, candidate)
        size = sum(path.stat().st_size for path in (out / "log").iterdir())
        began, processor = time.perf_counter(), _processor()
        found = valued(plan_of, out / "log", jobs=jobs)
        report = value_of(found, plan_of.exchanged, "log", unused=unused_in(found, out / "log"))
        seconds = time.perf_counter() - began
        get_reusable_executor().shutdown(wait=True)  # processes count once they have ended
        processor = _processor() - processor
        memory = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    assert report.estimate is not None
    return {
        "requests": n, "jobs": jobs, "sessions": report.estimate.sessions, "log_mb": size / 1e6, "seconds": seconds,
        "seconds_million": 1e6 * seconds / n, "processor_million": 1e6 * processor / n, "own_mb": memory[0],
        "process_mb": memory[1],
    }  # fmt: skip


def _processor() -> float:
    """Seconds of processor time of this process and of those that have ended."""
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in each)


def _write(made: Exchanged, store: Store, candidate: str, folder: Path, n: int) -> None:
    """A log of n requests in sessions of three: the held examples, repeated, each as the arm of its session answers."""
    folder.mkdir()
    encode = msgspec.json.Encoder().encode
    with Live(made.domains, store, selftest=lambda folder, name: None) as live:
        live.look()
        answered = [(example, _arms(live, example.request)) for example in made.held]
    with (folder / "20261120T124605.123456Z-4711-000001.jsonl").open("wb") as file:
        for number in range(n):
            example, arms = answered[number % len(answered)]
            asked, id = replaced(example.request, id=f"r{number}", session=f"s{number // 3}"), f"r{number}"
            arbitration = arms[draw(EXCHANGED, candidate, draw_key(asked) or "") < SHARE]
            selection = selection_of(asked, arbitration.answer, arbitration.canary)
            line = Logged(
                **{name: getattr(asked, name) for name in Request.__struct_fields__}, recognised=True,
                answer=replaced(arbitration.answer, id=id, selection=selection), time=1e9 + number,
                arms=dict(arbitration.arms), claims=own_claims(arbitration),
            )  # fmt: skip
            best = arbitration.answer.best
            liked = best is not None and example.truth.owned_by(best.domain)
            reaction = Feedback(id=id, outcome="accepted" if liked else "rejected", time=1e9 + number)
            file.write(encode(line) + b"\n" + encode(reaction) + b"\n")


def _arms(live: Live, request: Request) -> dict[bool, Arbitration]:
    """The arbitrations of a request by both arms, the canary's under True."""
    found: dict[bool, Arbitration] = {}
    for number in count():
        one = live.arbitrate(replaced(request, session=str(number)))
        found[one.arms[EXCHANGED] == "canary"] = one
        if len(found) == 2:
            break
    return found


def _print_time(found: Mapping[str, Any]) -> None:
    print(
        f"{found['requests']} requests in {found['sessions']} sessions ({found['log_mb']:.0f} MB), {found['jobs']} "
        f"jobs: {found['seconds']:.1f} s; for a million {found['seconds_million']:.0f} s, and "
        f"{found['processor_million']:.0f} s of processors; {found['own_mb']:.0f} MB of memory here, at most "
        f"{found['process_mb']:.0f} MB in each other process"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--draws", type=int, default=500, help="logs of each candidate (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="the synthetic world alone, 30 logs of each candidate")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--log", type=int, metavar="N", help="the time on a log of so many requests")
    parser.add_argument("--jobs", type=int, default=2, help="processes for that (%(default)s)")
    chosen = parser.parse_args()
    if chosen.log is not None:
        show(NAME, chosen, timed(chosen.log, chosen.jobs), _print_time)
        return
    worlds = [synthetic(chosen.seed)] if chosen.quick else [synthetic(chosen.seed), bbai(chosen.data / "bbai")]
    figures = {}
    for one in worlds:
        for canary in (*SHARES, None):
            called = f"{one.name}, " + ("exploration" if canary is None else f"canary {canary:g}")
            figures[called] = measured(one, canary, 30 if chosen.quick else chosen.draws, chosen.seed)
            note(f"{called}: {figures[called]}")
    show(NAME, chosen, figures, _print)


def _print(figures: Mapping[str, Any]) -> None:
    heads = ("log", "candidates", "IPS", "SNIPS", "DR", "DR / IPS", "judged", "right sign")
    rows = [
        (name, str(one["measured"]), *map(_percent, (one["ips"], one["snips"], one["dr"])), _number(one["spread"]),
         _percent(one["judged"]), _percent(one["agreement"]))
        for name, one in figures.items()
    ]  # fmt: skip
    table(heads, rows)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _number(one: float | None) -> str:
    return "–" if one is None else f"{one:.2f}"


if __name__ == "__main__":
    main()
