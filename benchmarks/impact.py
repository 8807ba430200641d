"""Time and memory of the impact report of a candidate.

100,000 requests, to each of which 18 domains bring five readings, are replayed with one domain's weights exchanged;
every score is computed again. The requests are sampled, and repeat after a while, which does not change the work.
Seconds and memory are those of the replay and the report with its plots, all processes together; the domains are built
and the file is written before. With --quick 3,000 requests are replayed, and the seconds are scaled up.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arbitrank.impact.curves import curves_of
from arbitrank.impact.page import write_impact
from arbitrank.impact.plan import DomainVersion, ReplayPlan
from arbitrank.impact.report import measure
from arbitrank.store.artifact import read_card, read_manifest
from benchmarks.common import show
from benchmarks.exchanged import World, world, write
from benchmarks.spent import Spent

NAME = "impact"
_REQUESTS = 100_000
_DOMAINS = 18
_POOL = 2_000  # different requests in the file


def plan_of(made: World, folder: Path) -> ReplayPlan:
    """A plan with all domains, and for the first one a candidate that was trained on half of the data."""
    parts = {
        name: DomainVersion(domain, made.artifacts[name], read_manifest(made.artifacts[name]).version)
        for name, domain in made.domains.items()
    }
    candidate = made.build("domain0", folder, len(made.training) // 2)
    return ReplayPlan(
        "domain0", parts, DomainVersion(made.domains["domain0"], candidate, read_manifest(candidate).version)
    )


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    n = min(3_000, chosen.requests) if chosen.quick else chosen.requests
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as temporary:
        folder = Path(temporary)
        made = world(folder, domains=_DOMAINS, train=600 if chosen.quick else 2_000, held=min(n, _POOL))
        plan = plan_of(made, folder / "candidate")
        write(folder / "log.jsonl", made.held, n=n)
        size = (folder / "log.jsonl").stat().st_size
        del made
        began = Spent.now()
        with peak() as memory:
            impact, found = measure(plan, folder / "log.jsonl", card=read_card(plan.candidate.folder), jobs=chosen.jobs)
            replayed = Spent.now().since(began)
            write_impact(impact, curves_of(impact, found), folder / "out")
        spent = Spent.now().since(began)
    return {
        "requests": n,
        "domains": _DOMAINS,
        "jobs": chosen.jobs,
        "file_mb": size / 1e6,
        "seconds": spent.seconds,
        "seconds_100k": spent.seconds * _REQUESTS / n,
        "processor_seconds": spent.processor,
        "measure_seconds": replayed.seconds,
        "peak_mb": memory[0] / 1e6,
        "flips": impact.flips,
        "labelled": impact.labelled,
    }


@contextmanager
def peak() -> Iterator[list[int]]:
    """The peak memory, in bytes, of this process and all its descendants together; shared pages count once for each."""
    highest, done = [_resident()], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            highest[0] = max(highest[0], _resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield highest
    finally:
        done.set()
        watcher.join()


def _resident() -> int:
    pages, waiting = 0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except (OSError, IndexError):  # it has just ended
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def print_table(found: Mapping[str, Any]) -> None:
    """Print the time and the memory."""
    print(
        f"{found['requests']} requests × {found['domains']} domains ({found['file_mb']:.0f} MB), {found['jobs']} jobs: "
        f"{found['seconds']:.1f} s ({found['processor_seconds']:.1f} of the processors), of them "
        f"{found['measure_seconds']:.1f} s until the figures stand; "
        f"{found['seconds_100k']:.0f} s for 100,000; {found['peak_mb']:.0f} MB at most"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3,000 requests, scaled up; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--requests", type=int, default=_REQUESTS, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    chosen = parser.parse_args()
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
