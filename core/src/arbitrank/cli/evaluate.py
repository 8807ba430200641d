"""arbitrank evaluate: measure all systems on a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import decision_options, options
from arbitrank.cli.progress import shown
from arbitrank.configuration import OperatorStatements, first_stated
from arbitrank.store.loading import settled
from arbitrank.store.store import Store
from arbitrank.wire.offsets import Offsets


@click.command("evaluate")
@click.argument("path", type=options.PATH)
@click.option("--out", type=options.PATH, help="Write metrics.json, predictions.jsonl, plots and report.html here.")
@click.option("--plugins", is_flag=True, help="Train and measure the installed plugins, beside R0.")
@click.option("--shift", is_flag=True, help="Measure the main systems under shifts of the held-out requests, too.")
@options.context_keys
@decision_options.stated
@decision_options.operator
@options.offsets
@options.seed
@options.store
@click.option("--jobs", type=click.IntRange(1), default=2, help="Domains to build at once.")
@options.as_json
def evaluate(
    path: Path,
    out: Path | None,
    plugins: bool,
    shift: bool,
    context_keys: tuple[str, ...],
    decisions: dict[str, Any],
    operator: OperatorStatements,
    offsets: Offsets,
    seed: int,
    store: Store,
    jobs: int,
    as_json: bool,
) -> None:
    """Compare R0 to R3, the factored, the boosted and a joint re-ranker on a corpus, or on hypotheses with truths.

    PATH is a folder with train and dev or test splits (.jsonl or .jsonl.gz), from which every domain is built
    separately; or a file of hypotheses, on which re-rankers are cross-fitted. --plugins uses installed domains instead,
    one for each domain of the corpus. Systems that need LightGBM are left out, and named, where it cannot be imported.
    The same seed gives the same figures for any number of jobs.

    Every system decides as a service with its settings would, with the default settings, and tuned: what is not stated
    is chosen as by arbitrank tune, on readings of its own of requests that the report is not on (dev where there is a
    test split, else training requests, out of fold). Plugins that are not tuned decide by the store's stable settings.

    With --shift, R0 and the tuned systems are measured with other shares of out-of-scope requests, domains and values
    of the context, with new and missing values, and with one domain's scores bent: as tuned before, and re-estimated,
    the share from the shifted requests without their truths, the bent domain's calibration from its own.

    Example: arbitrank evaluate corpus --out report
    """
    from arbitrank.cli.evaluation_tables import show_evaluation
    from arbitrank.evaluate.experiment import evaluate
    from arbitrank.evaluate.tuning import tuned

    if out:  # before minutes of work, in case a package is missing
        from arbitrank.evaluate.report import write_report
    stated = first_stated(decisions, operator.decisions)
    own = DecisionSettings(**stated, scales=operator.scales, stated=tuple(sorted(stated)))
    in_force = settled(own, store, options.note) if plugins else None
    with shown(path.name) as progress:
        metrics, results, corpus = evaluate(
            path,
            seed=seed,
            jobs=jobs,
            plugins=plugins,
            context_keys=operator.file.named_keys(context_keys),
            decisions=stated,
            scales=in_force.scales if in_force else operator.scales,
            offsets=offsets,
            in_force=in_force,
            shift=shift,
            progress=progress,
        )
    if out:
        write_report(metrics, results, corpus.held, tuned("plugins" if plugins else "factored"), out)
    if as_json:
        click.echo(msgspec.json.encode(metrics))
    else:
        show_evaluation(metrics, out)
