"""Cost of swaps for the requests that are answered meanwhile.

One thread sends requests to the installed domains as fast as it can, in words that they recognise, while the process
follows a store with its default settings. Blocks with and without swaps alternate in one run. In a block with swaps
another process promotes a version of one domain once per polling interval, always one that is not in memory, so that
each is verified, self-tested in the child process, loaded and swapped in. Latencies are pooled over the blocks of each
kind. `failed` counts the requests that raised, in which a domain failed, or that were answered by a version that had
not been stable within the polling interval before; `stale` are the latter.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arbitrank.domain import Domain
from arbitrank.live.live import POLL, Live
from arbitrank.registry import discover, loaded
from arbitrank.store.artifact import MANIFEST, read_manifest, seal
from arbitrank.store.store import open_store
from arbitrank.values import Request
from benchmarks.common import show, table

NAME = "swap"
_VERSIONS = 3  # one more than a process keeps: stable and previous
_CONTEXTS: tuple[dict[str, Any], ...] = ({}, {"device": "tv", "has_screen": True}, {"device": "speaker"})


@dataclass
class Block:
    """Measurements of one block: seconds of each request, number of failed requests and of swaps."""

    latencies: list[float] = field(default_factory=list)
    failed: int = 0
    swaps: int = 0


def requests(domains: Mapping[str, Domain]) -> list[Request]:
    """Requests in the words of the domains' skills, in several situations."""
    phrases = [phrase for one in domains.values() for skill in one.skills for phrase in skill.phrases]
    words = phrases or ["play the first one", "read it to me", "what is new"]
    return [Request(utterance=phrase, context=context) for phrase in words for context in _CONTEXTS]


def versions(domain: Domain, folder: Path) -> list[Path]:
    """The weights that the domain ships, several times over as versions of their own."""
    assert domain.shipped
    found = []
    for seed in range(_VERSIONS):
        copy = folder / str(seed)
        shutil.copytree(domain.shipped, copy)
        manifest = msgspec.structs.replace(read_manifest(copy), seed=1_000 + seed)
        (copy / MANIFEST).unlink()
        seal(copy, manifest)
        found.append(copy)
    return found


def promote(store: str, domain: str, names: Sequence[str], every: float, orders: Connection) -> None:
    """Main function of the promoting process: promote the versions in turn while ordered to; send when each became
    stable."""
    opened, turn = open_store(store, environment={}), 0
    on: bool | None = False
    while on is not None:
        if on:
            began = time.monotonic()
            opened.promote(domain, names[turn % len(names)])
            orders.send((began, time.monotonic(), names[turn % len(names)]))
            turn += 1
        if orders.poll(every if on else None):
            on = orders.recv()


def load(
    live: Live, queries: Sequence[Request], domain: str, seconds: float, first: int, least: int = 0
) -> tuple[Block, list[Any]]:
    """Send requests for some seconds, and until there were so many swaps at `least`.

    Returns the measurements, and the spells in which one version answered: from when until when, and its name.
    """
    block, spells = Block(), []
    before, end, i = live.status().swaps, time.monotonic() + seconds, first
    while (began := time.monotonic()) < end or (least and live.status().swaps - before < least):
        try:
            answer = live.answer(queries[i % len(queries)])
            done = time.monotonic()
            block.failed += any(report.status == "failed" for report in answer.domains.values())
            if not spells or spells[-1][2] != answer.domains[domain].version:
                spells.append((began, done, answer.domains[domain].version))
            spells[-1] = (spells[-1][0], done, spells[-1][2])
        except Exception:
            done = time.monotonic()
            block.failed += 1
        block.latencies.append(done - began)
        i += 1
    block.swaps = live.status().swaps - before
    return block, spells


def stale(spells: Sequence[Any], stable: Sequence[Any], poll: float) -> int:
    """The number of spells that reach beyond a polling interval after their version was stable."""
    ends = [done for _, done, _ in stable[1:]] + [float("inf")]
    return sum(
        not any(
            version == name and began <= until and until - poll <= end
            for (began, _, name), end in zip(stable, ends, strict=True)
        )
        for _, until, version in spells
    )


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    domains = loaded(discover())
    name = min(domains)
    blocks, seconds = chosen.blocks, chosen.seconds
    seen: dict[bool, list[Block]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as temporary:
        folder = Path(temporary)
        made = versions(domains[name], folder / "versions")
        store = open_store(folder / "store", environment={})
        names = [store.publish(one, promote=True).version for one in made]
        queries = requests(domains)
        stable: list[Any] = [(0.0, 0.0, names[-1])]
        spells: list[Any] = []
        live = Live(domains, open_store(folder / "store", environment={}), poll=chosen.poll)
        with live, promoter(str(folder / "store"), name, names, chosen.poll / chosen.per_poll) as orders:
            load(live, queries, name, 1.0, 0)
            for number in range(blocks):
                swapping = number % 4 in (1, 2)
                orders.send(swapping)
                first, least = sum(len(one.latencies) for one in seen[False]), chosen.least if swapping else 0
                block, own = load(live, queries, name, seconds, first, least)
                orders.send(False)
                if swapping:
                    load(live, queries, name, 2 * chosen.poll, 0)  # so that the last promoted version is loaded
                while orders.poll():
                    stable.append(orders.recv())
                seen[swapping].append(block)
                spells += own
        late = stale(spells, stable, chosen.poll)
    without, swapped = (np.array([x for b in seen[kind] for x in b.latencies]) for kind in (False, True))
    quantile = {q: (np.quantile(without, q), np.quantile(swapped, q)) for q in (0.5, 0.9, 0.99, 0.999)}
    return {
        "domains": len(domains),
        "poll_s": chosen.poll,
        "requests": [len(without), len(swapped)],
        "swaps": sum(block.swaps for block in seen[True]),
        "swaps_per_s": sum(block.swaps for block in seen[True]) / (seconds * len(seen[True])),
        **{f"p{100 * q:g}_ms": [1e3 * float(one) for one in pair] for q, pair in quantile.items()},
        "max_ms": [1e3 * float(without.max()), 1e3 * float(swapped.max())],
        "p50_ratio": float(quantile[0.5][1] / quantile[0.5][0]),
        "p99_ratio": float(quantile[0.99][1] / quantile[0.99][0]),
        "failed": sum(block.failed for kind in seen.values() for block in kind) + late,
        "stale": late,
    }


@contextmanager
def promoter(store: str, domain: str, names: Sequence[str], every: float) -> Iterator[Connection]:
    """The promoting process, as a connection that takes orders and has the times of the promotions."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=promote, args=(store, domain, names, every, theirs), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        ours.send(None)
        process.join(10)


def print_table(figures: Mapping[str, Any]) -> None:
    rows = [
        (f"{label}, ms", *(f"{value:.2f}" for value in figures[f"{key}_ms"]))
        for label, key in (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p99.9", "p99.9"), ("longest", "max"))
    ]
    table(("", "without swaps", "with swaps"), [("requests", *map(str, figures["requests"])), *rows])
    print(f"{figures['domains']} domains, {figures['swaps']} swaps, {figures['swaps_per_s']:.1f} a second")
    print(f"p99 with swaps over p99 without: {figures['p99_ratio']:.2f}; failed requests: {figures['failed']}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter blocks; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--blocks", type=int, default=24, help="half of them with swaps (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each block (%(default)s)")
    parser.add_argument("--poll", type=float, default=POLL, help="seconds (%(default)s)")
    parser.add_argument("--per-poll", type=float, default=1.0, help="promotions (%(default)s)")
    parser.add_argument("--least", type=int, default=0, help="swaps per block with swaps (%(default)s)")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.blocks, chosen.seconds = 8, 2.0
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
