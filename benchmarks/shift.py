"""Calibration and errors of the main systems under shifts of the held-out traffic, by the code of `evaluate --shift`.

Recognised corpora are kept between runs, as for the other benchmarks. Each system decides as it was tuned before the
shift, and with what is then re-estimated without labels of the shifted traffic.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from rich.console import Console

from arbitrank.cli.progress import shown
from arbitrank.cli.shift_tables import show_shift
from arbitrank.evaluate.answers import system_readings
from arbitrank.evaluate.changed_requests import measured_under_shift
from arbitrank.evaluate.domain_runs import run
from arbitrank.evaluate.experiment import MAIN, untuned_and_tuned
from arbitrank.evaluate.shifts import changes
from arbitrank.evaluate.systems import SYSTEMS
from benchmarks.common import Bench, benches, options

NAME = "shift"
CORPORA = ("clinc150", "snips")
_WIDTH = 160  # of a line, whatever the terminal's width is


def measured(bench: Bench, seed: int = 0, jobs: int = 1) -> list[dict[str, Any]]:
    """The figures of one corpus, a row for each shift."""
    corpus, changed = bench.corpus, changes(bench.corpus)
    with shown(corpus.name) as progress:
        systems = [name for name in MAIN if name in SYSTEMS]  # the joint model is trained on what these read
        runs = run(corpus, bench.paths, seed=seed, jobs=jobs, progress=progress, changed=changed, systems=systems)
        readings = system_readings(corpus, runs, seed=seed)
        deciding, _ = untuned_and_tuned(corpus, readings, seed=seed, jobs=jobs, progress=progress)
    return measured_under_shift(corpus, runs, readings, deciding, changed, MAIN, seed=seed)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, CORPORA)
    found = {bench.corpus.name: measured(bench, chosen.seed, chosen.jobs) for bench in benches(chosen)}
    if chosen.json:
        print(json.dumps({"name": NAME, "figures": msgspec.to_builtins(found)}))
        return
    console = Console(highlight=False, width=_WIDTH)
    for name, rows in found.items():
        console.print(name)
        show_shift(rows, console)


if __name__ == "__main__":
    main()
