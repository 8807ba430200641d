"""Tables of the experiment on a terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from arbitrank.arbitration.decide import ACTIONS
from arbitrank.cli.answer_tables import escape
from arbitrank.cli.shift_tables import show_shift
from arbitrank.cli.terminal import print_table, terminal
from arbitrank.evaluate.intervals import Estimate
from arbitrank.evaluate.metrics import band_mark
from arbitrank.evaluate.results import cost
from arbitrank.evaluate.systems import NAMES
from arbitrank.evaluate.tuning import SystemTuning, tuned, tuning_rows, unchanged

_MANY = 0.05  # of all requests: in scope, but decided none
_WIDTH = 120  # of what is not a terminal


def show_evaluation(metrics: Mapping[str, Any], out: Path | None = None) -> None:
    """Print a line for each system, how it was tuned, and the main ones with other shares of out-of-scope requests.

    `out` is the folder in which the rest stands.
    """
    console = terminal(_WIDTH)
    for note in metrics["notes"]:
        console.print(f"[dim]{escape(note)}[/dim]")
    console.print(
        f"{escape(metrics['corpus'])}: {metrics['n']} requests of {metrics['split']}, "
        f"{len(metrics['domains'])} domain{'s' * (len(metrics['domains']) != 1)}"
    )
    print_table(console, _systems(metrics["systems"], unchanged(metrics["tuning"])))
    if "R1" in metrics["systems"]:
        console.print(f"[dim]{NAMES}[/dim]")
    for line in _tuning(metrics["tuning"]):
        console.print(f"[dim]{escape(line)}[/dim]")
    if metrics["out_of_scope_shares"]:
        console.print("with other shares of requests out of scope:")
        print_table(console, _shares(metrics["out_of_scope_shares"], metrics["tuning"]))
    if metrics.get("shift"):
        show_shift(metrics["shift"], console)
    for text in _lost(metrics["systems"]):
        console.print(text)
    console.print(f"[dim]{cost(metrics)}[/dim]")
    rest = f"written: {out}/report.html" if out else "--out DIR writes metrics, predictions, plots and a page"
    console.print(escape(rest))


def _systems(systems: Mapping[str, Any], same: Collection[str]) -> Table:
    """Rates in per cent with their 95 % intervals, calibration with its band, and the shares of the decisions."""
    table = _table("system", "domain accuracy", "IRER", "SemER", "NLL", "ECE", "in band", "accept", "clarify", "none")
    for system, m in systems.items():
        if system not in same:
            table.add_row(
                system,
                *_rates(m),
                f"{100 * m['semer']:.1f}",
                *_calibration(m),
                *(f"{100 * m['decisions'][action]:.1f}" for action in ACTIONS),
            )
    return table


def _tuning(tuning: Mapping[str, SystemTuning]) -> Iterator[str]:
    """Lines on the requests that were tuned on, the chosen settings of each system, and the systems without any."""
    before, same = "", unchanged(tuning)
    for row in tuning_rows(tuning):
        one = tuning[row.system]
        if one.refusal is None or (one.choices and row.system not in same):
            if row.on != before:
                yield f"tuned on {row.on}"
            before = row.on
            yield f"  {row.system}: {row.chosen}"
    kept = [name for name, one in tuning.items() if one.choices and name in same]
    if kept:
        yield f"  no setting is surely better than those untuned: {', '.join(kept)}"
    for reason in dict.fromkeys(one.refusal for one in tuning.values() if not one.choices):
        names = (name for name, one in tuning.items() if one.refusal == reason)
        yield f"  {', '.join(names)}: as untuned: {reason}"


def _shares(shares: Mapping[str, Any], tuning: Mapping[str, SystemTuning]) -> Table:
    """R0 and the tuned systems by share; those that were also tuned on traffic are in `metrics.json` alone."""
    headers = ("accuracy", "IRER", "NLL", "ECE", "in band", "IRER - R0", "NLL - R0")
    table, shown = _table("share", "", *headers), ("R0", *(tuned(one.system) for one in tuning.values()))
    for share, systems in shares.items():
        for system, m in systems.items():
            if system in shown:
                rates, d = (f"{100 * m[name]:.1f}" for name in ("domain_accuracy", "irer")), m["against"].get("R0")
                lesser = d and (_difference(d["irer"]), _nats(d["nll"]))
                row = (f"{100 * float(share):g} %", system, *rates, *_calibration(m))
                table.add_row(*row, *map(escape, lesser or ("", "")))
    return table


def _table(*headers: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for k, header in enumerate(headers):
        table.add_column(header, justify="left" if k == 0 or not header else "right", no_wrap=True)
    return table


def _rates(m: Mapping[str, Any]) -> Iterator[str]:
    for name in ("domain_accuracy", "irer"):
        low, high = m["ci"][name]
        yield escape(f"{100 * m[name]:.1f} [{100 * low:.1f}, {100 * high:.1f}]")


def _calibration(m: Mapping[str, Any]) -> Iterator[str]:
    yield f"{m['nll']:.3f}"
    yield f"{100 * m['ece']:.1f}"
    yield band_mark(m["ece"], m["ece_band"])


def _difference(one: Estimate) -> str:
    return f"{100 * one.mean:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"


def _nats(one: Estimate) -> str:
    return f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _lost(systems: Mapping[str, Any]) -> Iterator[str]:
    """A remark on each default system that decides none on many requests in scope."""
    for name in ("factored", "plugins"):
        for system in (name, tuned(name)):
            lost = systems[system]["decisions"]["none_in_scope"] if system in systems else 0.0
            if lost > _MANY:
                yield (
                    f"{system}: {100 * lost:.1f} % of the requests are in scope, and decided none; try a higher "
                    "--none, or --fallback DOMAIN where a domain can answer anything"
                )
