"""Table of the soak test's figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.common import table


def print_table(figures: Mapping[str, Any]) -> None:
    """Print the figures."""
    done = ", ".join(f"{kind} {n}" for kind, n in figures["done"].items())
    longest = max(seconds for _, seconds in figures["ends"])
    statuses = sorted({status for status, _ in figures["ends"]})
    print(f"{figures['seconds']:g} seconds of storm, {figures['rate']:g} honest calls a second")
    print(f"{done}; workers ended {figures['worker_ends']}; longest stop {longest:.1f} s, exit status {statuses}\n")
    rows = [(kind, str(figures[kind.replace(" ", "_")])) for kind in
            ("sent", "answered", "turned away", "failed", "lost", "sent again", "connected again")]  # fmt: skip
    rows.insert(5, ("on a worker that was killed or hung", str(figures["killed"])))
    table(("honest calls", ""), rows)
    for line in (*figures["wrong"], *figures["broken"]):
        print(f"  {line}")
    table(("ms", "p50", "p99"), [(phase, *(f"{ms:.2f}" for ms in pair)) for phase, pair in figures["ms"].items()])
    print(f"p99 in the storm over p99 in quiet: {figures['p99_ratio']:.2f}\n")
    table(("the two domains that fail", "calls"), [(k, str(n)) for k, n in figures["plugins"].items()])
    table(("the others", "times"), [(k, str(n)) for k, n in figures["storm"].items()])
    memory = [(kind, *(f"{mb:.1f}" for mb in sizes)) for kind, sizes in figures["memory_mb"].items()]
    table(("MB, second half of the storm", "first", "middle", "last"), memory)
    print(f"slope of the oldest worker: {figures['slope_mb_per_hour']:+.1f} MB an hour")
