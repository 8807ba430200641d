"""Cost of an answer, from a request to the ranked list, relative to the bare arithmetic in numpy and LightGBM.

Generated domains with the toolkit's re-rankers, 20 features a reading, answer requests that bring 5 hypotheses of each.
The floor of factored domains is numpy's product of existing feature matrices with the weights, a sigmoid and a sort, of
the same size; that of boosted ones (100 trees of 31 leaves) LightGBM's own C functions over existing rows, the faster
of its two. All run interleaved over rotating inputs in one process; the ratios of medians count. Further: from bytes to
bytes, the installed domains from text, and the cost of more domains.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import subprocess
import sys
import tempfile
import textwrap
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.domain import Model
from arbitrank.learn import files
from arbitrank.learn.boosted import Boosted, feature_names
from arbitrank.learn.feature_spec import FeatureSpec, Situation
from arbitrank.learn.features import CORE_KEYS
from arbitrank.learn.lightgbm import lightgbm
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.learn.rerankers import Factored, Weights
from arbitrank.registry import discover, loaded
from arbitrank.store.loading import load_domains
from arbitrank.store.store import open_store
from arbitrank.values import Hypothesis, Request, Slot
from arbitrank.wire.requests import decode_request
from benchmarks.common import show, table

NAME = "predict"
READINGS, INTENTS, TREES, LEAVES = 5, 3, 100, 31
EXTRAS = ("known", "popular", "recent", "shared")
_SITUATIONS = (Situation("device", "tv"), Situation("device", "speaker"), Situation("has_screen"))
_CONTEXTS: tuple[dict[str, Any], ...] = (
    {},
    {"device": "tv", "has_screen": True},
    {"device": "speaker", "has_screen": False, "preference.domain1": 0.8, "preference.domain0": 0.3},
    {"device": "phone", "preference.domain0.intent1": 0.9, "preference.domain0.intent0": 0.2},
)
assert {s.key for s in _SITUATIONS} <= set(CORE_KEYS)


def spec(domain: str) -> FeatureSpec:
    """20 features a reading: 12 of every reading, 4 of the user's preferences, 4 of the domain's own."""
    made = FeatureSpec(domain, _SITUATIONS, preferences=True, extras=EXTRAS)
    assert len(made.reading_names) == 20
    return made


def factored(domain: str, rng: np.random.Generator) -> Factored:
    def weights(names: Sequence[str]) -> Weights:
        return Weights(tuple(names), tuple(rng.normal(0.0, 0.3, len(names)).tolist()), (0.0,) * len(names))

    own = spec(domain)
    return Factored(own, weights(own.request_names), weights(own.reading_names))


@cache
def trees(seed: int) -> str:
    """Trees of the stated size over random features."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(6_000, len(feature_names(spec("any")))))
    label = rows[:, 0] + rows[:, 1] * rows[:, 20] + rng.normal(size=len(rows)) > 0
    settings = {"objective": "binary", "num_leaves": LEAVES, "num_threads": 1, "verbose": -1, "seed": seed}
    text: str = lightgbm().train(settings, lightgbm().Dataset(rows, label), TREES).model_to_string()
    return text


def arbitrator(models: Mapping[str, Any]) -> Arbitrator:
    served: dict[str, Model] = {name: ReferenceModel(ReferenceDomain(name), None, one) for name, one in models.items()}
    return Arbitrator({name: Serving(model, "v1", "package") for name, model in served.items()})


def requests(domains: Sequence[str], n: int, seed: int = 0) -> list[Request]:
    """Requests with 5 hypotheses of each domain: 3 intents, each with one or two readings of its slots."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        hypotheses = []
        for domain in domains:
            mine = float(rng.beta(1, 3))
            intents, second = -np.sort(-rng.dirichlet(np.ones(INTENTS))), float(rng.uniform(0.5, 1.0))
            pairs = [(k, v) for k in range(INTENTS) for v in range(2)]
            pairs.sort(key=lambda pair: -intents[pair[0]] * (second, 1.0 - second)[pair[1]])
            hypotheses += [
                Hypothesis(
                    domain,
                    f"intent{k}",
                    domain_confidence=mine,
                    intent_confidence=float(intents[k]),
                    slots=(Slot("title", ("mary poppins", "poppins")[v]),),
                    slots_confidence=(second, 1.0 - second)[v],
                    features={name: float(rng.integers(0, 2)) for name in EXTRAS},
                )
                for k, v in pairs[:READINGS]
            ]
        context = _CONTEXTS[i % len(_CONTEXTS)]
        made.append(Request(id=str(i), utterance="play mary poppins", context=context, hypotheses=tuple(hypotheses)))
    return made


def floor(domains: int, seed: int = 0) -> Callable[[int], Any]:
    """numpy's product, sigmoid and sort over existing matrices, one of each of some requests."""
    rng = np.random.default_rng(seed)
    shape = (domains * READINGS, 20)
    weights = rng.normal(size=shape)
    matrices = [rng.normal(size=shape) for _ in range(16)]

    def one(i: int) -> Any:
        p = 1.0 / (1.0 + np.exp(-np.einsum("nk,nk->n", matrices[i % 16], weights)))
        return np.argsort(-p)

    return one


def bare(models: Sequence[Boosted], rows: Sequence[np.ndarray], *, single: bool) -> Callable[[int], Any]:
    """LightGBM's C function for each model: for a matrix, or row by row with its prepared configuration."""
    library = lightgbm().basic._LIB
    width, out, length = rows[0].shape[1], np.empty(READINGS), ctypes.c_int64()
    out_at, length_at, step = out.ctypes.data, ctypes.addressof(length), 8 * width
    places = [one.ctypes.data for one in rows]
    pointer, number = ctypes.c_void_p, ctypes.c_int
    if single:
        call = ctypes.CFUNCTYPE(number, *[pointer] * 4)(("LGBM_BoosterPredictForMatSingleRowFast", library))
        prepared = []
        for model in models:
            config = ctypes.c_void_p()
            library.LGBM_BoosterPredictForMatSingleRowFastInit(
                model.booster._handle, 1, 0, -1, 1, width, b"num_threads=1", ctypes.byref(config)
            )
            prepared.append(config.value)

        def by_row(i: int) -> Any:
            for d, config in enumerate(prepared):
                at = places[(i + d) % len(places)]
                for k in range(READINGS):
                    call(config, at + k * step, length_at, out_at + 8 * k)
            return out, length

        return by_row
    integers = [number, ctypes.c_int32, ctypes.c_int32, *[number] * 4]
    kinds = [pointer, pointer, *integers, ctypes.c_char_p, pointer, pointer]
    predict = ctypes.CFUNCTYPE(number, *kinds)(("LGBM_BoosterPredictForMat", library))
    handles = [model.booster._handle.value for model in models]

    def at_once(i: int) -> Any:
        for d, handle in enumerate(handles):
            at = places[(i + d) % len(places)]
            predict(handle, at, 1, READINGS, width, 1, 1, 0, -1, b"num_threads=1", length_at, out_at)
        return out, length

    return at_once


def medians(contestants: Mapping[str, Callable[[int], Any]], seconds: float) -> dict[str, float]:
    """Microseconds of a call of each: the median of interleaved batches of about half a millisecond.

    The thread's own time counts, which leaves out other load of the machine.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    sizes = {}
    for name, contestant in contestants.items():
        began = time.thread_time()
        for i in range(20):
            contestant(i)
        sizes[name] = max(1, round(20 * 5e-4 / (time.thread_time() - began)))
    gc.collect()
    end, first = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        for name, contestant in contestants.items():
            began = time.thread_time()
            for i in range(first, first + sizes[name]):
                contestant(i)
            times[name].append((time.thread_time() - began) / sizes[name])
        first += 17
    return {name: 1e6 * float(np.median(some)) for name, some in times.items()}


def answering(domains: int, kind: str = "factored", n: int = 64) -> tuple[Arbitrator, list[Request]]:
    rng = np.random.default_rng(domains)
    names = [f"domain{d}" for d in range(domains)]
    models: dict[str, Any] = {name: factored(name, rng) for name in names}
    if kind == "boosted":
        models = {name: Boosted(spec(name), None, trees(d)) for d, name in enumerate(names)}
    return arbitrator(models), requests(names, n)


def from_text(seconds: float) -> dict[str, Any]:
    """Time of an answer of the installed domains from text, and its shares by stage."""
    domains = loaded(discover())
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        served = Arbitrator(load_domains(domains, open_store(folder, environment={})))
    examples = [e.request.utterance or "" for one in domains.values() for e in one.examples()]
    words = [examples[i] for i in np.random.default_rng(0).permutation(len(examples))]
    batch = [Request(utterance=text, context=_CONTEXTS[i % 2]) for i, text in enumerate(words)]
    times, whole, stages = [], 0.0, {"recognise": 0.0, "rerank": 0.0, "merge": 0.0}
    for request in batch[:200]:
        served.answer(request)
    end, i = time.perf_counter() + seconds, 200
    while time.perf_counter() < end:
        began, clock = time.thread_time(), time.perf_counter()
        answer = served.answer(batch[i % len(batch)])
        times.append(time.thread_time() - began)
        whole += 1e3 * (time.perf_counter() - clock)
        for stage in stages:
            stages[stage] += answer.ms[stage]
        i += 1
    return {
        "domains": len(domains),
        "requests": len(times),
        "p50_us": 1e6 * float(np.quantile(times, 0.5)),
        "p99_us": 1e6 * float(np.quantile(times, 0.99)),
        "shares": {stage: ms / whole for stage, ms in stages.items()},
    }


def growing(seconds: float) -> list[dict[str, float]]:
    """Time and memory by the number of domains: each request brings hypotheses of all, or of three."""
    rows = []
    for domains in (3, 30, 300, 3_000):
        tracemalloc.start()
        one, _ = answering(domains, n=0)
        one.prepare()
        held = tracemalloc.get_traced_memory()[0] / domains
        tracemalloc.stop()
        batch = requests(list(one.domains), max(2, min(64, 1_200 // domains)))
        few = requests(list(one.domains)[:3], 16)
        one.answer(few[0])
        cost = medians(
            {
                # `answer` checks a caller's request, and refuses as many hypotheses as thousands of domains have.
                "all": lambda i, o=one, a=batch: o.arbitrate(a[i % len(a)]),
                "three": lambda i, o=one, a=few: o.arbitrate(a[i % 16]),
            },
            seconds,
        )
        rows.append(
            {
                "domains": domains,
                "all_us": cost["all"],
                "three_us": cost["three"],
                "kb": held / 1e3,
            }
        )
    return rows


_COLD = """
    import sys, time
    began = time.perf_counter()
    from pathlib import Path
    from arbitrank.arbitration.arbitrator import Arbitrator, Serving
    from arbitrank.store.loading import load_model
    from arbitrank.learn.reference import ReferenceDomain
    from arbitrank.wire.requests import decode_request
    folders = sorted(Path(sys.argv[1]).iterdir())[: int(sys.argv[2])]
    served = {one.name: Serving(load_model(ReferenceDomain(one.name), one), "v1", "package") for one in folders}
    Arbitrator(served).answer(decode_request(Path(sys.argv[3]).read_bytes()))
    print(time.perf_counter() - began)
"""


def cold(runs: int) -> dict[str, float]:
    """Seconds from the first import to the first answer, in a process of its own, with generated domains on disk."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        rng = np.random.default_rng(0)
        for d in range(100):
            files.save(factored(f"domain{d}", rng), Path(folder, "domains", f"domain{d}", "reranker"))
        ask = Path(folder, "request.json")
        ask.write_bytes(msgspec.json.encode(requests(["domain0"], 1)[0]))
        found: dict[int, list[float]] = {3: [], 100: []}
        for _ in range(runs):
            for domains, times in found.items():
                call = [sys.executable, "-c", textwrap.dedent(_COLD), f"{folder}/domains", str(domains), str(ask)]
                times.append(float(subprocess.run(call, check=True, capture_output=True, text=True).stdout))
    return {f"cold_start_{domains}_s": float(np.median(times)) for domains, times in found.items()}


def measured(seconds: float, *, quick: bool) -> dict[str, Any]:
    """The figures."""
    figures: dict[str, Any] = {}
    # In service requests come fresh from a decoder: so few of the large ones rotate that they stay in the cache.
    for domains, n in ((3, 64), (300, 4)):
        one, batch = answering(domains, n=n)
        raw = [msgspec.json.encode(request) for request in batch]
        cost = medians(
            {
                "floor": floor(domains),
                "answer": lambda i, o=one, a=batch: o.answer(a[i % len(a)]),
                "bytes": lambda i, o=one, r=raw: msgspec.json.encode(o.answer(decode_request(r[i % len(r)]))),
            },
            seconds,
        )
        figures[f"floor_{domains}_us"] = cost["floor"]
        figures[f"arbitrate_{domains}_us"] = cost["answer"]
        figures[f"bytes_to_bytes_{domains}_us"] = cost["bytes"]
        figures[f"arbitrate_{domains}_over_floor"] = cost["answer"] / cost["floor"]
    one, batch = answering(3, "boosted")
    models = [serving.model.reranker for serving in one.domains.values()]  # type: ignore[union-attr]
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(READINGS, len(feature_names(spec("any"))))) for _ in range(64)]
    cost = medians(
        {
            "matrix": bare(models, rows, single=False),
            "rows": bare(models, rows, single=True),
            "answer": lambda i: one.answer(batch[i % len(batch)]),
        },
        seconds,
    )
    figures["c_api_matrix_us"], figures["c_api_rows_us"], figures["boosted_3_us"] = cost.values()
    figures["boosted_3_over_c_api"] = cost["answer"] / min(cost["matrix"], cost["rows"])
    figures["text"] = from_text(seconds)
    figures["growth"] = growing(seconds / 4)
    return figures | cold(2 if quick else 5)


def print_table(figures: Mapping[str, Any]) -> None:
    def us(key: str) -> str:
        return f"{figures[key]:.1f}"

    table(
        ("request to answer, µs", "floor", "answer", "ratio", "target", "bytes to bytes"),
        [
            *(
                (
                    f"{n} factored domains × 5",
                    *(us(f"{key}_{n}_us") for key in ("floor", "arbitrate")),
                    f"{figures[f'arbitrate_{n}_over_floor']:.1f}",
                    f"≤ {target}",
                    us(f"bytes_to_bytes_{n}_us"),
                )
                for n, target in ((3, 10), (300, 40))
            ),
            (
                "3 boosted domains × 5",
                f"{min(figures['c_api_matrix_us'], figures['c_api_rows_us']):.1f}",
                us("boosted_3_us"),
                f"{figures['boosted_3_over_c_api']:.2f}",
                "< 2",
                "",
            ),
        ],
    )
    print(f"LightGBM's C functions: {us('c_api_matrix_us')} µs by matrix, {us('c_api_rows_us')} µs row by row\n")
    text = figures["text"]
    shares = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in text["shares"].items())
    print(f"from text, {text['domains']} installed domains: p50 {text['p50_us']:.0f} µs, p99 {text['p99_us']:.0f} µs")
    print(f"of which {shares}\n")
    table(
        ("domains", "hypotheses of all, µs", "of three, µs", "KB a domain"),
        [(str(r["domains"]), *(f"{r[k]:.1f}" for k in ("all_us", "three_us", "kb"))) for r in figures["growth"]],
    )
    starts = ", ".join(f"{figures[f'cold_start_{n}_s']:.2f} s with {n} domains" for n in (3, 100))
    print(f"cold start, from the first import to the first answer: {starts}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    show(NAME, chosen, measured(2.0 if chosen.quick else 8.0, quick=chosen.quick), print_table)


if __name__ == "__main__":
    main()
