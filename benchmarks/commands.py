"""What do commands cost from their process's start to its end, beside the import of NumPy and an older version?

    python -m benchmarks.commands --python ../before/.venv/bin/python

Processor time of whole processes, in turns; the ratios are medians of pairs. `ask` and `domains` run with the installed
domains, on an empty store. Both versions should have compiled files, as an installation has: `python -m compileall`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.common import show, table

NAME = "commands"
COMMANDS = {
    "--version": ("-m", "arbitrank", "--version"),
    "--help": ("-m", "arbitrank", "--help"),
    "domains": ("-m", "arbitrank", "domains"),
    'ask "play dune"': ("-m", "arbitrank", "ask", "play dune"),
}
_NUMPY = ("-c", "import numpy")


def spent(python: str, words: Sequence[str], store: str) -> float:
    """Processor seconds of a process from its start to its end."""
    env = {**os.environ, "ARBITRANK_STORE": store, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen([python, *words], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in (0, 1), words
    return used.ru_utime + used.ru_stime


def measured(runs: int, before: str | None) -> dict[str, dict[str, float]]:
    """The medians of each command: seconds, over the import of NumPy, and over the other version's."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as store:
        for name, words in COMMANDS.items():
            sides = [(sys.executable, words), (sys.executable, _NUMPY), *([(before, words)] if before else [])]
            for side in sides:
                spent(*side, store)
            rows = [[spent(*side, store) for side in sides] for _ in range(runs)]
            found[name] = {
                "seconds": median(row[0] for row in rows),
                "over_numpy": median(row[0] / row[1] for row in rows),
                **({"over_before": median(row[0] / row[2] for row in rows)} if before else {}),
            }
    return found


def print_table(found: Mapping[str, Mapping[str, float]]) -> None:
    """Print the figures."""
    titles = {"seconds": "processor, s", "over_numpy": "import numpy", "over_before": "before"}
    keys = next(iter(found.values())).keys()
    rows = [(name, f"{one['seconds']:.3f}", *(f"{one[key]:.2f}" for key in [*keys][1:])) for name, one in found.items()]
    table(("command", *(titles[key] if key == "seconds" else f"over {titles[key]}" for key in keys)), rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--runs", type=int, default=21, help="(%(default)s)")
    parser.add_argument("--python", help="the interpreter of an environment with the older version")
    chosen = parser.parse_args(argv)
    figures: dict[str, Any] = measured(1 if chosen.quick else chosen.runs, chosen.python)
    show(NAME, chosen, figures, print_table)


if __name__ == "__main__":
    main()
