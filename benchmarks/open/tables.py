"""The table of the open benchmark: our systems, those that were entered, and published figures beside them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from arbitrank.evaluate.metrics import band_mark
from benchmarks.common import between, table
from benchmarks.open.answers import OURS
from benchmarks.open.published import PUBLISHED, SOURCES

HEAD = (
    "corpus, system",
    "domain right",
    "intent right",
    "IRER",
    "in scope",
    "out of scope",
    "NLL",
    "ECE",
    "in band",
)
_RATES = ("domain", "intent", "irer", "in_scope", "out_of_scope")


def print_tables(found: Mapping[str, Any]) -> None:
    """Print one table of all figures, one of the differences from ours, and the sources of published figures."""
    print("per cent, NLL in nats; 95 % intervals in brackets; published figures in quotation marks")
    rows: list[Sequence[str]] = []
    numbers: dict[str, int] = {}
    for name, one in found.items():
        rows.append([f"{name}: {one['n']} requests", *[""] * (len(HEAD) - 1)])
        rows += [_row(system, figures) for system, figures in one["systems"].items()]
        for other in PUBLISHED.get(name, ()):
            number = numbers.setdefault(other.source, len(numbers) + 1)
            cells = [f"{other.figures[key]:.1f}" if key in other.figures else "" for key in _RATES]
            rows.append([f"  “{other.system}” [{number}]", *cells, "", "", ""])
    table(HEAD, rows)
    rows = []
    for name, one in found.items():
        rows.append([name, *[""] * 4])
        rows += [_difference(system, figures) for system, figures in one["systems"].items() if figures["against"]]
    table((f"difference from {OURS}", "domain right", "intent right", "IRER", "NLL"), rows)
    for name, one in found.items():
        print(f"{name}: {one['about']}{_unowned(one)}")
    print()
    for source, number in numbers.items():
        print(textwrap.fill(f"[{number}] {SOURCES[source]}", 118, subsequent_indent="    "))


def _unowned(one: Mapping[str, Any]) -> str:
    share = one["without_owner"]
    return f"; {100 * share:.1f} % of the requests without an owner" if share else ""


def _row(system: str, figures: Mapping[str, Any]) -> list[str]:
    shown = system if not figures["missing"] else f"{system} ({figures['missing']} missing)"
    cells = [f"  {shown}"]
    for measure in ("domain", "intent"):
        cells.append(_with_interval(figures[measure]) if measure in figures else "")
    cells.append(_with_interval(_wrong(figures["reading"])) if "reading" in figures else "")
    cells += [f"{100 * figures[key]:.1f}" if key in figures else "" for key in ("in_scope", "out_of_scope")]
    if "ece" not in figures:
        return [*cells, "", "", ""]
    return [
        *cells,
        f"{figures['nll'][0]:.3f}",
        f"{100 * figures['ece']:.1f}",
        band_mark(figures["ece"], figures["ece_band"]),
    ]


def _difference(system: str, figures: Mapping[str, Any]) -> list[str]:
    against = figures["against"]
    cells = [f"  {system}"]
    for measure in ("domain", "intent"):
        cells.append(between(*against[measure], digits=1) if measure in against else "")
    reading = against.get("reading")
    cells.append("" if reading is None else between(0.0 - reading[0], 0.0 - reading[2], 0.0 - reading[1], digits=1))
    cells.append(between(*against["nll"], scale=1.0, digits=3) if "nll" in against else "")
    return cells


def _wrong(right: Sequence[float]) -> tuple[float, float, float]:
    """The share that is wrong, with its interval, from the share that is right."""
    mean, low, high = right
    return 1.0 - mean, 1.0 - high, 1.0 - low


def _with_interval(one: Sequence[float]) -> str:
    mean, low, high = (100 * value for value in one)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
