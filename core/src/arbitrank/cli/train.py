"""arbitrank train: train domains and publish their weights."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import click

from arbitrank.arbitration.hosted_domain import ServiceDomain
from arbitrank.cli import computing, decision_options, options
from arbitrank.cli.destination import Destination, destination_option
from arbitrank.cli.progress import Board, board
from arbitrank.configuration import OperatorStatements
from arbitrank.context_keys import keys_read
from arbitrank.domain import Settings
from arbitrank.errors import InputError
from arbitrank.evaluate.metrics import band_text
from arbitrank.learn.lightgbm import lightgbm, missing
from arbitrank.registry import Found, Loaded, discover, domain_named, loaded
from arbitrank.scales import unused
from arbitrank.selftest import selftest
from arbitrank.training.api import log_folder
from arbitrank.training.backends import TrainingBackend, dask, local
from arbitrank.training.datasets import Dataset
from arbitrank.training.locations import since
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.pool import TrainingLimits
from arbitrank.training.run import TrainingRun, train_domains
from arbitrank.wire.offsets import Offsets


def _data(data: str | None, begins: str | None, offsets: Offsets, outcomes: bool) -> Dataset | None:
    options.needs("--data", data, since=begins or None, outcomes=outcomes or None)
    return Dataset(data, since(begins) if begins else None, offsets, outcomes) if data else None


def _backend(backend: str, scheduler: str | None, partitioned: bool, jobs: int) -> TrainingBackend:
    if backend == "local":
        options.needs("--backend dask", False, scheduler=scheduler or None, partitioned=partitioned)
        return local(jobs)
    return dask(computing.checked_scheduler(scheduler), partitioned=partitioned)


_training_data = options.gathered(
    "data",
    _data,
    click.option(
        "--data",
        metavar="PATH|URL",
        help="A corpus or hypotheses (JSON Lines or Parquet; a file, or a folder by domain=…/day=…), or a log's "
        "folder; default: each domain's own data.",
    ),
    click.option("--since", "begins", metavar="DATE|Nd", help="Only requests from then on: a date, a time, or 30d."),
    options.offsets,
    click.option(
        "--outcomes",
        is_flag=True,
        help="Learn from accepted, rejected and rephrased answers of a log too, as weighted examples.",
    ),
)
_learning = options.gathered(
    "settings",
    Settings,
    click.option(
        "--model",
        type=click.Choice(["auto", "factored", "loglinear", "boosted", "corrected"]),
        default="auto",
        help="auto: factored, unless held-out data are enough to be sure that trees are better; loglinear: R1, R2 or "
        "R3, by its --loss.",
    ),
    click.option(
        "--loss",
        type=click.Choice(["r1", "r2", "r3"]),
        help="Of a log-linear (default r3: R3) or boosted model (default r2, the cross-entropy).",
    ),
    click.option(
        "--form",
        type=click.Choice(["sigmoid", "softmax", "null"]),
        default="null",
        help="Of a log-linear model; R1 to R3 of `evaluate` are sigmoids.",
    ),
    click.option(
        "--kept",
        type=options.Share(0, 1, min_open=True),
        default=1.0,
        help="The share of other domains' traffic in the data, where it was sampled.",
    ),
    options.context_keys,
    options.seed,
)
_running = options.gathered(
    "limits",
    TrainingLimits,
    click.option(
        "--limit-seconds", "seconds", type=options.Share(0, min_open=True), help="End a domain's training after this."
    ),
    click.option(
        "--limit-memory",
        "memory",
        metavar="MB",
        type=click.IntRange(1),
        callback=lambda context, parameter, megabytes: megabytes and megabytes << 20,
        help="End a domain's training above this.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0),
        default=1,
        help="Restart a domain so often whose process was ended from outside.",
    ),
)
_computing = options.gathered(
    "backend",
    _backend,
    options.jobs,
    computing.backend,
    computing.scheduler,
    click.option(
        "--partitioned",
        is_flag=True,
        help="With --backend dask: each domain over the whole cluster; for data larger than a machine.",
    ),
)


_negatives = click.option(
    "--negatives/--no-negatives",
    default=None,
    show_default=False,
    help="Add shared negatives, or none.  [default: where a domain has no requests of others, or as it states]",
)


@click.command("train")
@click.argument("names", metavar="[DOMAIN …]", nargs=-1)
@click.option("--all", "all_domains", is_flag=True, help="All installed domains, as when none is named.")
@_training_data
@click.option(
    "--split-by",
    "split",
    type=click.Choice(["words", "time"]),
    default="words",
    help="The held-out requests: one in ten by a hash of the words, or the latest tenth.",
)
@_negatives
@_learning
@_computing
@_running
@click.option("--force", is_flag=True, help="Train also where data, code and settings are unchanged.")
@click.option("--warm", is_flag=True, help="Start from the weights that serve.")
@click.option("--log-dir", "logs", type=options.PATH, help="The folder of each domain's log; default: STORE.logs.")
@click.option("--scratch", "root", type=options.PATH, help="The folder of working files.")
@click.option("--json", "as_json", is_flag=True, help="Print events and outcomes as JSON Lines.")
@decision_options.operator
@destination_option
def train(
    names: tuple[str, ...],
    all_domains: bool,
    backend: TrainingBackend,
    logs: Path | None,
    as_json: bool,
    destination: Destination,
    operator: OperatorStatements,
    **settings: Any,
) -> None:
    """Train each DOMAIN (all installed ones by default) and publish its weights as `candidate`.

    Each is trained in a process of its own, isolated from the others' failures. A domain whose data, code and settings
    are unchanged is skipped; one whose new weights are likely worse than R0 (no weights) on held-out requests is
    refused. The same data, code and seed give the same version. The exit status is 1 where a domain was refused, 2
    where one could not be trained.

    Example: arbitrank train podcasts --data corpus.jsonl --promote
    """
    if settings["settings"].model in ("boosted", "corrected"):
        lightgbm()  # its absence is reported before the training rather than after it
    if settings["settings"].model == "auto" and (reason := missing()):
        options.note(f"every re-ranker is factored, as trees cannot be tried: {reason}")
    found = discover()
    ready = loaded(found)
    chosen = _chosen(names, found, all_domains=all_domains)
    for text in (*unused(operator.scales, ready), *_remarks(found, chosen)):
        options.note(text)
    if destination.out and len(chosen) != 1:
        raise InputError(f"--out: {len(chosen)} domains to train, expected one: arbitrank train DOMAIN --out …")
    destination.check(chosen[0] if len(chosen) == 1 else "DOMAIN")
    run = TrainingRun(
        **destination._asdict(),
        logs=logs or log_folder(destination.store),
        context_keys=operator.file.named_keys(),
        scales=operator.scales,
        selftest=_selftest,
        **settings,
    )
    signal.signal(signal.SIGTERM, _interrupted)
    outcomes = []
    with board(len(chosen), json=as_json) as shown:
        known, keys = [entry.name for entry in found], keys_read(loaded(found).values())
        training = train_domains(run, chosen, backend, known=known, keys=keys, tell=shown.event, note=shown.note)
        with closing(training) as ended:
            for outcome in ended:
                outcomes.append(outcome)
                shown.outcome(outcome)
                _report(outcome, destination, shown, as_json)
    _finish(outcomes)


def _chosen(names: Sequence[str], found: Sequence[Found], *, all_domains: bool) -> list[str]:
    """The domains to train: those named, else all whose weights are not those of a service. Raises `InputError`."""
    ready = loaded(found)
    elsewhere = {name: one.address for name, one in ready.items() if isinstance(one, ServiceDomain)}
    if all_domains or not names:
        chosen = [name for name in ready if name not in elsewhere]
        if elsewhere and not chosen:
            raise InputError(f"no domain to train: the weights of {', '.join(elsewhere)} are those of services")
        return chosen
    for name in dict.fromkeys(names):
        domain_named(name, ready, found)
        if name in elsewhere:
            raise InputError(f"domain {name}: its weights are at {elsewhere[name]}; train them there")
    return [*dict.fromkeys(names)]


def _remarks(found: Sequence[Found], chosen: Sequence[str]) -> Iterator[str]:
    """Remarks of discovery on the domains that are to be trained."""
    for one in found:
        if one.name in chosen:
            texts = one.notes if isinstance(one, Loaded) else (one.reason,)
            yield from (f"domain {one.source}: {text}" for text in texts)


def _selftest(folder: Path, name: str, scales: Mapping[str, str]) -> str | None:
    return selftest(folder, name, scales=scales)


def _report(outcome: TrainingOutcome, destination: Destination, shown: Board, as_json: bool) -> None:
    if not as_json:
        for text in outcome.notes:
            shown.note(text)
        if not outcome.good:
            log = f"; its log: {outcome.log}" if outcome.log else ""
            subject = f"domain {outcome.domain}: "
            shown.note(f"{subject}{(outcome.reason or outcome.kind).removeprefix(subject)}{log}")
        elif outcome.kind == "unchanged":
            text = "unchanged: the version of these data, code and settings is in the store; --force trains it anyway"
            click.echo(f"{outcome.domain} {outcome.version}: {text}")
        else:
            click.echo(
                f"{outcome.domain} {outcome.version}: {_examples(outcome)}, {_kind(outcome)}; on {outcome.held} "
                f"held-out requests: NLL {outcome.nll:.3f} (R0 {outcome.baseline:.3f}), "
                f"{band_text(outcome.ece, outcome.ece_band)}; {destination}"
            )


def _examples(outcome: TrainingOutcome) -> str:
    return f"{outcome.rows} examples{options.with_negatives(outcome.negatives)}"


def _kind(outcome: TrainingOutcome) -> str:
    """The kind of the trained re-ranker, and why it was chosen."""
    kind, _, loss = outcome.model.partition(" ")
    name = f"{(loss or 'r3').upper()} (loglinear)" if kind == "loglinear" else outcome.model  # as `evaluate` names it
    return f"{name} ({outcome.choice.sentence})" if outcome.choice else name


def _finish(outcomes: Sequence[TrainingOutcome]) -> None:
    failed = [one.domain for one in outcomes if one.kind in ("failed", "killed")]
    if failed:
        raise InputError(f"not trained: {', '.join(failed)}; the reasons are above")
    if not all(one.good for one in outcomes):
        click.get_current_context().exit(1)


def _interrupted(number: int, frame: object) -> NoReturn:
    """End as by Ctrl-C, which cleans up."""
    raise KeyboardInterrupt
