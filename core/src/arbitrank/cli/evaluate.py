"""arbitrank evaluate: measure all systems on a corpus."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from arbitrank.arbitration.decide import ACTIONS
from arbitrank.cli import decision_options, options
from arbitrank.cli.answer_tables import escape
from arbitrank.cli.progress import shown
from arbitrank.configuration import OperatorStatements, first_stated
from arbitrank.wire.offsets import Offsets

_MANY = 0.05  # of all requests: in scope, but decided none


@click.command("evaluate")
@click.argument("path", type=options.PATH)
@click.option("--out", type=options.PATH, help="Write metrics.json, predictions.jsonl, plots and report.html here.")
@click.option("--plugins", is_flag=True, help="Train and measure the installed plugins, beside R0.")
@options.context_keys
@decision_options.stated
@decision_options.operator
@options.offsets
@options.seed
@click.option("--jobs", type=click.IntRange(1), default=2, help="Domains to build at once.")
@options.as_json
def evaluate(
    path: Path,
    out: Path | None,
    plugins: bool,
    context_keys: tuple[str, ...],
    decisions: dict[str, Any],
    operator: OperatorStatements,
    offsets: Offsets,
    seed: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Compare R0 to R3, the factored, the boosted and a joint re-ranker on a corpus, or on hypotheses with truths.

    PATH is a folder with train and dev or test splits (.jsonl or .jsonl.gz), from which every domain is built
    separately; or a file of hypotheses, on which re-rankers are cross-fitted. Installed domains are not used, except
    with --plugins, which needs one for each domain of the corpus. Where LightGBM cannot be imported, the systems that
    need it are left out and named. The same seed gives the same figures for any number of jobs.

    Every system decides as a service with its settings would: accept, clarify, none, or the fallback domain. Unless
    stated, --none is chosen on data where these have out-of-scope requests, and --normalise where they have none.
    """
    from arbitrank.evaluate.experiment import evaluate

    if out:  # before minutes of work, in case a package is missing
        from arbitrank.evaluate.report import write_report
    with shown(path.name) as progress:
        metrics, results, corpus = evaluate(
            path,
            seed=seed,
            jobs=jobs,
            plugins=plugins,
            context_keys=operator.file.named_keys(context_keys),
            decisions=first_stated(decisions, operator.decisions),
            scales=operator.scales,
            offsets=offsets,
            progress=progress,
        )
    if out:
        write_report(metrics, results, corpus.held, "plugins" if plugins else "factored", out)
    if as_json:
        click.echo(msgspec.json.encode(metrics))
        return
    _show(metrics)
    click.echo(f"written: {out}/report.html" if out else "--out DIR writes metrics, predictions, plots and a page")


def _show(metrics: Mapping[str, Any]) -> None:
    """Print one line a system: rates in per cent with their 95 % intervals, and calibration with its band."""
    from arbitrank.evaluate.metrics import band_mark
    from arbitrank.evaluate.results import cost

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    for note in metrics["notes"]:
        console.print(f"[dim]{escape(note)}[/dim]")
    console.print(
        f"{escape(metrics['corpus'])}: {metrics['n']} requests of {metrics['split']}, {len(metrics['domains'])} domains"
    )
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("system")
    for header in ("domain accuracy", "IRER", "SemER", "NLL", "ECE", "in band", "accept", "clarify", "none"):
        table.add_column(header, justify="right")
    for system, m in metrics["systems"].items():
        rates = (
            f"{100 * m[name]:.1f} [{100 * m['ci'][name][0]:.1f}, {100 * m['ci'][name][1]:.1f}]"
            for name in ("domain_accuracy", "irer")
        )
        table.add_row(
            system,
            *map(escape, rates),
            f"{100 * m['semer']:.1f}",
            f"{m['nll']:.3f}",
            f"{100 * m['ece']:.1f}",
            band_mark(m["ece"], m["ece_band"]),
            *(f"{100 * m['decisions'][action]:.1f}" for action in ACTIONS),
        )
    console.print(table)
    for system, m in metrics["systems"].items():
        lost = m["decisions"]["none_in_scope"]
        if system in ("factored", "plugins") and lost > _MANY:
            console.print(
                f"{system}: {100 * lost:.1f} % of the requests are in scope, and decided none; try a higher --none, or "
                "--fallback DOMAIN where a domain can answer anything",
                soft_wrap=True,
            )
    console.print(f"[dim]{cost(metrics)}[/dim]", soft_wrap=True)
