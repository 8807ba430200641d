"""arbitrank evaluate: measure all systems on a corpus."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from arbitrank.cli import options
from arbitrank.cli.progress import shown


@click.command("evaluate")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write metrics.json, predictions.jsonl, plots and report.html here."
)
@click.option("--plugins", is_flag=True, help="Train and ask the installed plugins, R0 beside them.")
@options.seed
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Domains to build at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as one JSON object.")
def command(path: Path, out: Path | None, plugins: bool, seed: int, jobs: int, as_json: bool) -> None:
    """Compare R0 to R3, the factored, the boosted and a joint re-ranker on a corpus, or on hypotheses with truths.

    PATH is a folder with train and dev or test splits (.jsonl or .jsonl.gz), of which every domain is built anew, each
    apart; or a file of hypotheses, on which re-rankers are cross-fitted. Installed domains play no part, unless with
    --plugins, which needs one for each domain of the corpus. Where LightGBM cannot be imported, what needs it is left
    out and named. The same seed gives the same figures whatever the number of jobs.
    """
    from arbitrank.evaluate.experiment import evaluate

    with shown(path.name) as progress:
        metrics, outcomes, corpus = evaluate(path, seed=seed, jobs=jobs, plugins=plugins, progress=progress)
    if out:
        from arbitrank.evaluate.report import write_report

        write_report(metrics, outcomes, corpus.held, "plugins" if plugins else "factored", out)
    if as_json:
        click.echo(msgspec.json.encode(metrics))
        return
    from arbitrank.cli.tables import show_metrics

    show_metrics(metrics)
    click.echo(f"written: {out}/report.html" if out else "--out DIR writes metrics, predictions, plots and a page")
