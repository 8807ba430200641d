"""Does an evaluation from text end with very many utterances, and with very many domains?

    python -m benchmarks.large                                    # 200,000 utterances of six domains
    python -m benchmarks.large --utterances 5500 --domains 300    # few utterances of very many domains

The utterances are invented: each domain has intents of its own, whose frames have words of the domain and of all, and
slots whose values several domains share. `arbitrank evaluate` measures them in a process of its own, with every
recogniser and every system trained; a tenth are held out. Seconds are those of the clock and of the processors, child
processes included; memory is the sum of the peaks of all processes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.common import show, table

NAME = "large"
_INTENTS, _FRAMES, _VALUES, _SLOTS = 4, 5, 300, 2
_SYLLABLES = ("ba", "do", "ki", "lu", "me", "no", "pa", "ri", "sa", "te", "vo", "zu")


def words(rng: np.random.Generator, n: int, syllables: int) -> list[str]:
    """Different invented words."""
    found: dict[str, None] = {}
    while len(found) < n:
        found["".join(rng.choice(_SYLLABLES, syllables))] = None
    return list(found)


def utterances(n: int, domains: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Labelled utterances of a corpus, in random order."""
    rng = np.random.default_rng(seed)
    common = words(rng, 60, 2)
    values = [" ".join(words(rng, k % 3 + 1, 3)) for k in range(_VALUES)]
    frames, lists = [], []
    for _ in range(domains):
        own = words(rng, 12, 4)
        frames.append(
            [
                [
                    (list(rng.choice(common, 3)), list(rng.choice(own, 2)), int(rng.integers(0, 3)))
                    for _ in range(_FRAMES)
                ]
                for _ in range(_INTENTS)
            ]
        )
        lists.append([rng.choice(_VALUES, 40, replace=False) for _ in range(_SLOTS)])
    owners = rng.choice(domains, n, p=rng.dirichlet(np.full(domains, 5.0)))
    for i, d in enumerate(owners.tolist()):
        intent = int(rng.integers(_INTENTS))
        before, own, slots = frames[d][intent][int(rng.integers(_FRAMES))]
        # One frame in four has words of all domains alone, so that what it is about has to tell.
        parts = [*before, *(own if rng.random() < 0.75 else rng.choice(common, 2))]
        rng.shuffle(parts)
        text, found = " ".join(parts), []
        for k in range(min(slots, _SLOTS)):
            value = values[int(rng.choice(lists[d][k]))]
            found.append(
                {"name": f"slot{k}", "value": value, "start": len(text) + 1, "end": len(text) + 1 + len(value)}
            )
            text += f" {value} {common[k]}"
        yield {"id": str(i), "text": text, "domain": f"domain{d}", "intent": f"intent{intent}", "slots": found}


def write(folder: Path, n: int, domains: int, seed: int = 0) -> None:
    """A corpus folder with nine tenths of the utterances to learn from."""
    with (folder / "train.jsonl").open("wb") as train, (folder / "dev.jsonl").open("wb") as dev:
        for i, row in enumerate(utterances(n, domains, seed)):
            (dev if i % 10 == 9 else train).write(msgspec.json.encode(row) + b"\n")


def measured(n: int, domains: int, jobs: int) -> dict[str, Any]:
    """The figures."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as work:
        corpus, out = Path(work) / "corpus", Path(work) / "out"
        corpus.mkdir()
        write(corpus, n, domains)
        command = [sys.executable, "-m", "arbitrank", "evaluate", str(corpus), "--out", str(out), "--jobs", str(jobs)]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        assert process.returncode == 0, command
        metrics = msgspec.json.decode((out / "metrics.json").read_bytes())
    return {
        "utterances": n,
        "domains": domains,
        "jobs": jobs,
        "seconds": seconds,
        "processor": used.ru_utime + used.ru_stime,
        "peak_mb": metrics["peak_memory_bytes"] / 1e6,
        "stages": {name: value for name, value in metrics["seconds"].items() if isinstance(value, float)},
        "systems": {
            name: {key: one[key] for key in ("domain_accuracy", "irer")} for name, one in metrics["systems"].items()
        },
    }


def print_table(found: Mapping[str, Any]) -> None:
    """Print time, memory, and what the systems reach."""
    print(
        f"{found['utterances']:,} utterances of {found['domains']} domains, {found['jobs']} jobs: "
        f"{found['seconds'] / 60:.1f} min, {found['processor'] / 60:.1f} min of the processors, "
        f"{found['peak_mb']:,.0f} MB at most"
    )
    print(", ".join(f"{name} {seconds:.0f} s" for name, seconds in found["stages"].items()))
    rows = [(name, *(f"{100 * one[key]:.1f}" for key in one)) for name, one in found["systems"].items()]
    table(("per cent", "domain accuracy", "IRER"), rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="600 utterances; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--utterances", type=int, default=200_000, help="(%(default)s)")
    parser.add_argument("--domains", type=int, default=6, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    chosen = parser.parse_args(argv)
    n = min(600, chosen.utterances) if chosen.quick else chosen.utterances
    show(NAME, chosen, measured(n, chosen.domains, chosen.jobs), print_table)


if __name__ == "__main__":
    main()
