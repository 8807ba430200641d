"""What does it cost to retrain domains side by side, and what does the toolkit's learning cost above its arithmetic?

- `speedup_16_over_two_processes`: 16 domains, boosted, by `arbitrank train --jobs 2`: their throughput over that of two
  bare processes, each of which trains half of them; `speedup_64_…` with many small domains. `…_over_threads` is over
  one process that trains domain after domain with two of LightGBM's own threads. `…_by_processor` is by processor time,
  in which other work of the machine counts less.
- `one_changed_of_64`: training all of these again after the data of one have changed, over training all of them.
- `loglinear_over_gradients`: seconds of training with R3 over those of the bare gradients that L-BFGS asked for, by
  plain numpy, 1,000,000 hypotheses of 30 features; one thread.
- `custom_over_binary`: LightGBM with the objective R3 over its own binary objective, the same rounds.
- `one_of_18_time`, `one_of_18_data`: retraining one domain of 18 over retraining a joint model of all.
- `memory_slope`: how peak memory that cannot be dropped grows with the hypotheses, log over log; 1 would be as fast.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from arbitrank.domain import Settings
from arbitrank.learn import boosted_training as boosting
from arbitrank.learn import linear_training as fitting
from arbitrank.learn.boosted import feature_names, matrix
from arbitrank.learn.evidence import Evidence
from arbitrank.learn.feature_spec import FeatureSpec, Situation
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.linear_training import BlockedLoss
from arbitrank.learn.losses import Batch, mixed
from arbitrank.probability import Floats
from arbitrank.store.store import open_store
from arbitrank.training.backends import local
from arbitrank.training.datasets import Dataset
from arbitrank.training.run import TrainingRun, train_domains
from arbitrank.training.task import TrainingTask, run
from benchmarks.common import show, table
from benchmarks.spent import Spent

NAME = "retrain"
FACTORY = "arbitrank.learn.reference:ReferenceDomain"
READINGS = 5
_SETTINGS = Settings(model="boosted", calibrate=False)
_FLOATS = 30

BARE = """
import sys
from benchmarks.retrain import bare
bare(*sys.argv[1:])
"""


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The benchmark's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="hypotheses of each of the 16 domains (%(default)s)")
    parser.add_argument("--small", type=int, default=5_000, help="those of each of the 64 (%(default)s)")
    parser.add_argument("--fit", type=int, default=1_000_000, help="those that R3 is fitted to (%(default)s)")
    parser.add_argument("--memory", default="1000000,4000000,16000000", help="those of the memory runs (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of the fits, whose medians are taken (%(default)s)")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS), help="which to measure")
    parser.add_argument("--quick", action="store_true", help="small everywhere; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.rows, chosen.small, chosen.fit, chosen.memory, chosen.repeats = 2_000, 1_000, 100_000, "5000,40000", 1
    return chosen


def write_domain(path: Path, name: str, hypotheses: int, seed: int) -> None:
    """Requests that a domain reads, with their truth: `READINGS` readings each, of which confidences tell something."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for first in range(0, hypotheses // READINGS, 10_000):
            n = min(10_000, hypotheses // READINGS - first)
            mine = rng.random(n) < 0.4
            belief = 1.0 / (1.0 + np.exp(-rng.normal(np.where(mine, 1.2, -1.2), 1.2)))
            odds = rng.gumbel(size=(n, READINGS)) + 1.5 * rng.normal(size=(n, READINGS))
            shares = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
            right = np.argmax(odds + rng.gumbel(size=odds.shape), axis=1)
            slots, device = rng.uniform(0.5, 1.0, (n, READINGS)), rng.integers(0, 4, n)
            for i in range(n):
                readings = ",".join(
                    f'{{"domain":"{name}","intent":"i{k}","domain_confidence":{belief[i]:.4f},'
                    f'"intent_confidence":{shares[i, k]:.4f},"slots_confidence":{slots[i, k]:.4f}}}'
                    for k in range(READINGS)
                )
                truth = f'{{"domain":"{name}","intent":"i{right[i]}"}}' if mine[i] else '{"domain":null}'
                file.write(
                    f'{{"id":"{first + i}","utterance":"words {first + i}","context":{{"device":"d{device[i]}"}},'
                    f'"hypotheses":[{readings}],"truth":{truth}}}\n'
                )


def written(folder: Path, domains: int, rows: int) -> tuple[Path, list[str]]:
    """Data partitioned by domain, and the domains' names."""
    names = [f"d{i}" for i in range(domains)]
    for seed, name in enumerate(names):
        write_domain(folder / "data" / f"domain={name}" / "part.jsonl", name, rows, seed)
    return folder / "data", names


def side_by_side(domains: int, rows: int, *, threads: bool, change: bool = False) -> dict[str, float]:
    """Throughput of the command's own run over that of bare processes, and of LightGBM's threads.

    With `change`, also what training all again costs once the data of one domain have changed.
    """
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as work:
        folder = Path(work)
        data, names = written(folder, domains, rows)
        store = open_store(folder / "store", environment={})
        ours = TrainingRun(
            store=store,
            settings=_SETTINGS,
            data=Dataset(str(data)),
            factory=FACTORY,
            root=folder / "scratch",
            logs=folder / "logs",
        )
        whole = _trained(ours, names)
        two = _bare(folder, data, [names[0::2], names[1::2]], 1)
        found = _compared(whole, two, "two_processes")
        if change:
            with (data / f"domain={names[0]}" / "part.jsonl").open("a") as file:
                file.write('{"id":"more","utterance":"more","hypotheses":[],"truth":{"domain":null}}\n')
            again = _trained(ours, names, unchanged=domains - 1)
            found |= {"one_changed": again.seconds / whole.seconds}
            found |= {"one_changed_by_processor": again.processor / whole.processor}
        if threads:
            found |= _compared(whole, _bare(folder, data, [names], 2), "threads")
    return found


def _trained(ours: TrainingRun, names: Sequence[str], unchanged: int = 0) -> Spent:
    """Time of a run on domains of which so many have not changed since they were trained."""
    began = Spent.now()
    kinds = Counter(one.kind for one in train_domains(ours, names, local(2)))
    assert kinds.total() == kinds["published"] + kinds["refused"] + kinds["unchanged"], kinds
    assert kinds["unchanged"] + kinds["refused"] >= unchanged, kinds
    return Spent.now().since(began)


def _compared(ours: Spent, other: Spent, name: str) -> dict[str, float]:
    return {
        "seconds": ours.seconds,
        "processor": ours.processor,
        name: other.seconds,
        f"{name}_processor": other.processor,
        f"over_{name}": other.seconds / ours.seconds,
        f"over_{name}_by_processor": other.processor / ours.processor,
    }


def _bare(folder: Path, data: Path, parts: Sequence[Sequence[str]], threads: int) -> Spent:
    """Time of processes that train each a part of the domains, one after another."""
    began = Spent.now()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    # Threads that spin while they wait would be far slower yet where others use the machine too.
    environment |= {"OMP_WAIT_POLICY": "passive"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BARE, str(folder / f"bare-{threads}-{number}"), str(data), str(threads), *names],
            env=environment,
        )
        for number, names in enumerate(parts)
    ]
    assert [process.wait() for process in processes] == [0] * len(processes)
    return Spent.now().since(began)


def bare(folder: str, data: str, threads: str, *names: str) -> None:
    """In a process of its own: train the domains one after another, and nothing else."""
    one = boosting.parameters
    boosting.parameters = lambda *given: {**one(*given), "num_threads": int(threads)}  # type: ignore[assignment]
    for name in names:
        own = Path(folder) / name
        own.mkdir(parents=True)
        settings = {"model": _SETTINGS.model, "calibrate": _SETTINGS.calibrate}
        task = TrainingTask(domain=name, folder=str(own), factory=FACTORY, data=Dataset(data), settings=settings)
        outcome = run(task, progress=lambda stage, done, total: None, figures=lambda figures: None)
        assert outcome.kind in ("built", "refused"), outcome


def batch_of(rows: int, width: int, seed: int = 0) -> tuple[Floats, Batch]:
    """A matrix of features and labels that depend on them."""
    rng = np.random.default_rng(seed)
    n = rows // READINGS
    found = rng.normal(size=(n * READINGS, width))
    z = (found @ rng.normal(size=width) / np.sqrt(width)).reshape(n, READINGS) + rng.gumbel(size=(n, READINGS))
    mine = rng.random(n) < 0.5
    best = np.zeros((n, READINGS))
    best[np.arange(n), z.argmax(axis=1)] = 1.0
    right = (best * mine[:, None]).ravel()
    errors = np.where(right > 0, 0.0, rng.choice([0.5, 1.0], size=len(right)))
    starts = np.arange(0, len(right), READINGS, dtype=np.int64)
    return found, Batch(starts, right, errors, mine.astype(np.float64), np.ones(n))


def loglinear(rows: int, repeats: int) -> dict[str, float]:
    """Seconds of the fit over those of the gradients that it asked for."""
    features, batch = batch_of(rows, _FLOATS)
    ratios, spent = [], []
    with threadpool_limits(1):
        for _ in range(repeats):
            asked: list[Floats] = []
            sums = BlockedLoss(partial(mixed, form="null", r1=1.0, r2=1.0), features, batch)

            def watched(w: Floats, sums: BlockedLoss = sums, asked: list[Floats] = asked) -> tuple[float, Floats]:
                asked.append(w.copy())
                return sums(w)

            fit = partial(fitting.minimised, watched, np.zeros(_FLOATS), 1e-6, Settings())
            ours = _seconds(fit)
            spent.append(ours)
            ratios.append(ours / _seconds(lambda asked=asked: [plain(features, batch, w) for w in asked]))
    return {"over_gradients": median(ratios), "seconds": median(spent), "gradients": float(len(asked))}


def plain(features: Floats, batch: Batch, w: Floats) -> tuple[float, Floats]:
    """R3 in the null form and its gradient, as plain numpy says it, for lists of one length."""
    z = (features @ w).reshape(-1, READINGS)
    right, semer = batch.right.reshape(z.shape), batch.semer.reshape(z.shape)
    grown, null = np.exp(z), 1.0
    total = grown.sum(axis=1, keepdims=True) + null
    p = grown / total
    expected = (p * semer).sum(axis=1, keepdims=True) + null / total
    own = batch.mine[:, None]
    slope = own * p * (semer - expected)
    has = right.sum(axis=1, keepdims=True)
    target = np.where(has > 0, (p * right).sum(axis=1, keepdims=True), null / total)
    slope = slope + p - np.where(has > 0, right * p / target, 0.0)
    loss = (own * expected - np.log(target)).mean()
    return float(loss), features.T @ (slope.ravel() / len(z))


def custom(rows: int, repeats: int) -> dict[str, float]:
    """Seconds of LightGBM with R3 over those with its own binary objective, the same rounds."""
    spec = FeatureSpec("d", tuple(Situation("device", f"d{i}") for i in range(1)))
    width = len(feature_names(spec))
    features, batch = batch_of(rows, width)
    ratios = []
    for _ in range(repeats):
        seconds = {}
        for loss in ("r3", None):
            settings = Settings(model="boosted", loss=loss)
            data = lightgbm().Dataset(features, batch.right, params=boosting.parameters(spec, settings))
            data.construct()
            seconds[loss] = _seconds(partial(boosting.grow, spec, data, batch, settings, 100))
        ratios.append(seconds["r3"] / seconds[None])
    return {"over_binary": median(ratios)}


def one_of(domains: int, rows: int) -> dict[str, float]:
    """One domain's training over that of a joint model on all domains' hypotheses: seconds, and hypotheses read."""
    spec = FeatureSpec("d", tuple(Situation("device", f"d{i}") for i in range(4)))
    readings, requests = len(spec.reading_names), len(spec.request_names)
    parts = []
    for seed in range(domains):
        of_readings, batch = batch_of(rows, readings, seed)
        of_requests = np.random.default_rng(seed).normal(size=(len(batch.starts), requests))
        evidence = Evidence(spec, range(len(batch.starts)), batch)  # type: ignore[arg-type]
        evidence.__dict__["factored"] = (of_requests, of_readings)
        parts.append(evidence)
    seconds = _seconds(partial(boosting.train_boosted, parts[0], _SETTINGS))
    offsets = np.cumsum([0, *(len(one.batch.right) for one in parts[:-1])])
    batch = Batch(
        np.concatenate([one.batch.starts + offset for one, offset in zip(parts, offsets, strict=True)]),
        *(np.concatenate([getattr(one.batch, name) for one in parts]) for name in Batch._fields[1:]),
    )
    joint = Evidence(spec, range(len(batch.starts)), batch)  # type: ignore[arg-type]
    joint.__dict__["factored"] = tuple(np.concatenate([one.factored[k] for one in parts]) for k in (0, 1))
    assert matrix(*joint.factored, batch.starts).shape[0] == domains * len(parts[0].batch.right)
    whole = _seconds(partial(boosting.train_boosted, joint, _SETTINGS))
    return {"time": seconds / whole, "data": len(parts[0].batch.right) / len(batch.right), "seconds": seconds}


def memory(sizes: Sequence[int], model: str) -> dict[str, Any]:
    """The peak of memory that cannot be dropped, of one domain's training at several sizes, and its slope."""
    peaks, seconds = [], []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="arbitrank-") as work:
            folder = Path(work)
            data, names = written(folder, 1, size)
            settings = Settings(model=model, calibrate=False)  # type: ignore[arg-type]
            ours = TrainingRun(
                store=open_store(folder / "store", environment={}),
                settings=settings,
                data=Dataset(str(data)),
                factory=FACTORY,
                root=folder / "scratch",
                logs=folder / "logs",
            )
            (outcome,) = train_domains(ours, names, local(1))
            assert outcome.peak, outcome
            peaks.append(outcome.peak / 2**20)
            seconds.append(outcome.seconds)
    slope = np.polyfit(np.log(sizes), np.log(peaks), 1)[0] if len(sizes) > 1 else float("nan")
    return {"sizes": list(sizes), "mb": peaks, "seconds": seconds, "slope": float(slope)}


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """All that was chosen, flat names with the figures that the issue asks for, and what they were made of."""
    found: dict[str, Any] = {}
    for name in chosen.only:
        found |= PARTS[name](chosen)
        if not chosen.json:
            print({key: found[key] for key in found if not isinstance(found[key], dict)}, flush=True)
    return found


def _sixteen(chosen: argparse.Namespace) -> dict[str, Any]:
    one = side_by_side(4 if chosen.quick else 16, chosen.rows, threads=not chosen.quick)
    return {**_speedups(one, 16), "sixteen": one}


def _sixty_four(chosen: argparse.Namespace) -> dict[str, Any]:
    one = side_by_side(8 if chosen.quick else 64, chosen.small, threads=not chosen.quick, change=True)
    changed = {key.replace("changed", "changed_of_64"): one[key] for key in one if key.startswith("one_changed")}
    return {**_speedups(one, 64), **changed, "sixty_four": one}


def _speedups(one: Mapping[str, float], domains: int) -> dict[str, float]:
    return {f"speedup_{domains}_{key}": value for key, value in one.items() if key.startswith("over_")}


def _loglinear(chosen: argparse.Namespace) -> dict[str, Any]:
    one = loglinear(chosen.fit, chosen.repeats)
    return {"loglinear_over_gradients": one["over_gradients"], "loglinear": one}


def _custom(chosen: argparse.Namespace) -> dict[str, Any]:
    return {"custom_over_binary": custom(max(chosen.rows, 20_000), chosen.repeats)["over_binary"]}


def _one_of_18(chosen: argparse.Namespace) -> dict[str, Any]:
    one = one_of(18, max(chosen.rows // 10, 1_000))
    return {"one_of_18_time": one["time"], "one_of_18_data": one["data"], "one_of_18": one}


def _memory(chosen: argparse.Namespace) -> dict[str, Any]:
    sizes = [int(size) for size in chosen.memory.split(",")]
    found = {model: memory(sizes, model) for model in ("loglinear", "boosted")}
    return {"memory_slope": max(one["slope"] for one in found.values()), "memory": found}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "16": _sixteen,
    "64": _sixty_four,
    "loglinear": _loglinear,
    "custom": _custom,
    "one": _one_of_18,
    "memory": _memory,
}


def print_table(found: Mapping[str, Any]) -> None:
    """The figures, one a line, and the memory at each size."""
    table(("figure", "value"), [[key, f"{value:.3f}"] for key, value in found.items() if isinstance(value, float)])
    rows = [
        [model, f"{size:,}", f"{mb:.0f}", f"{seconds:.1f}"]
        for model, one in found.get("memory", {}).items()
        for size, mb, seconds in zip(one["sizes"], one["mb"], one["seconds"], strict=True)
    ]
    if rows:
        table(("memory", "hypotheses", "peak MB", "seconds"), rows)


def main() -> None:
    """Measure and print."""
    chosen = options()
    show(NAME, chosen, figures(chosen), print_table)


if __name__ == "__main__":
    main()
