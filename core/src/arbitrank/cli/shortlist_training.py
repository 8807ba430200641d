"""arbitrank shortlist train and hyprank: training of the Shortlister and of HypRank."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from arbitrank.answerlog.reader import read_log, read_truths
from arbitrank.cli import options
from arbitrank.cli.catalogue_options import CatalogueFiles, VersionBefore, catalogue_option
from arbitrank.cli.destination import Destination, destination_option
from arbitrank.errors import InputError, describe
from arbitrank.evaluate.metrics import band_text
from arbitrank.registry import discover, loaded
from arbitrank.shortlist.build import ShortlistQuality, SkillUtterance, build, skill_utterance, write
from arbitrank.shortlist.hyprank import save_hyprank
from arbitrank.shortlist.labels import LabelledLines
from arbitrank.store.artifact import Manifest
from arbitrank.store.kinds import HYPRANK, SHORTLIST
from arbitrank.store.signing import sign
from arbitrank.wire.json_lines import BadLine

if TYPE_CHECKING:
    from arbitrank.shortlist.classifier_training import Corrections

T = TypeVar("T")
Skills = Literal["skill", "intent", "domain"]

_ENOUGH = 100  # utterances below which a calibration error has no meaning

_data = click.option(
    "--data", metavar="PATH", multiple=True, help="A corpus or hypotheses file, or a log's folder. May be repeated."
)
skills_option = click.option(
    "--skills",
    type=click.Choice(["skill", "intent", "domain"]),
    default="skill",
    help="A line's skill: its `skill` (its domain where it has none), its intent, or its domain.",
)
domains_option = click.option(
    "--domains/--no-domains", default=True, help="Include the skills of the installed domains."
)


def _recipe(
    learned: bool,
    epochs: int,
    pseudo_labels: float | None,
    top: int,
    in_a_row: int,
    together: float,
    distil: float | None,
    unlabelled: Path | None,
    feedback: Path | None,
) -> Callable[[Sequence[SkillUtterance], int], Any]:
    """A function that makes the classifier's trainer from the lines and the seed; it returns None without --learned."""
    options.needs(
        "--learned", learned, pseudo_labels=pseudo_labels, distil=distil, unlabelled=unlabelled, feedback=feedback
    )

    def made(lines: Sequence[SkillUtterance], seed: int) -> Any:
        if not learned:
            return None
        from arbitrank.shortlist.classifier_training import train_classifier
        from arbitrank.shortlist.epochs import Distillation, PseudoLabels, TrainingPlan

        plan = TrainingPlan(
            epochs=epochs,
            pseudo=PseudoLabels(top, in_a_row, pseudo_labels, share=together) if pseudo_labels else None,
            distil=Distillation(distil) if distil else None,
            seed=seed,
        )
        refused = _corrections(feedback, lines)
        return partial(train_classifier, plan=plan, unlabelled=_unlabelled(unlabelled), corrections=refused)

    return made


_classifier = options.gathered(
    "recipe",
    _recipe,
    click.option("--learned", is_flag=True, help="Train the classifier too, which scores what the index retrieves."),
    click.option("--epochs", type=click.IntRange(1), default=8, help="Of --learned."),
    click.option(
        "--pseudo-labels",
        type=options.Share(0, 1, min_open=True),
        metavar="RATIO",
        help="Of --learned: a skill that scores above RATIO times the given one in successive epochs is a label too.",
    ),
    click.option("--top", type=click.IntRange(1), default=2, help="Pseudo-labels of an utterance."),
    click.option("--in-a-row", type=click.IntRange(1), default=4, help="Epochs for a pseudo-label."),
    click.option(
        "--together",
        type=options.Share(0, 1),
        default=0.0,
        metavar="SHARE",
        help="Only for pairs of skills that occur so in this share of the utterances.",
    ),
    click.option(
        "--distil",
        type=options.Share(0, 1, max_open=True),
        metavar="SHARE",
        help="Of --learned: the weight of the last epoch's outputs.",
    ),
    click.option(
        "--unlabelled",
        type=options.PATH,
        metavar="FILE",
        help="Of --learned: utterances that it labels itself, one a line.",
    ),
    click.option(
        "--feedback",
        type=options.PATH,
        metavar="LOG",
        help="Of --learned: a log's folder, whose rejected answers are negative examples.",
    ),
)


@click.command("train")
@_data
@skills_option
@catalogue_option
@domains_option
@_classifier
@options.seed
@destination_option
def train(
    data: tuple[str, ...],
    skills: Skills,
    catalogue: CatalogueFiles,
    domains: bool,
    recipe: Callable[[Sequence[SkillUtterance], int], Any],
    seed: int,
    destination: Destination,
) -> None:
    """Train the Shortlister on utterances and their skills, and publish it as the store's candidate `.shortlist`.

    Skills of a catalogue and of the installed domains without utterances are known by their texts.

    Example: arbitrank shortlist train --data labelled.jsonl --promote
    Example: arbitrank shortlist train --catalogue skills.jsonl --no-domains --promote
    """
    destination.check(SHORTLIST)
    lines = read_lines(data, skills)
    classifier = recipe(lines, seed)
    found = loaded(discover()) if domains else {}
    before = VersionBefore.of(destination)
    listed = catalogue.listed(before, destination)
    built = build(lines, found, classifier=classifier, listed=listed, check=partial(catalogue.check, before=before))
    catalogue.report(built.skills)
    if built.labelled.ambiguous:
        options.note(ambiguous_text(built.labelled))
    model = "index and learned" if classifier else "index"
    version = _written(lambda target: write(built, target, seed=seed, model=model), destination)
    index = built.shortlister.index
    click.echo(
        f"{SHORTLIST} {version}: {built.utterances} utterances, {len(index)} skills, "
        f"{index.nbytes / 1e6:.1f} MB; {quality_text(built.quality)}; {destination}"
    )


@click.command("hyprank")
@click.argument("log", type=options.PATH)
@click.option("--rounds", type=click.IntRange(1), default=120, help="Trees to grow.")
@options.seed
@destination_option
def hyprank(log: Path, rounds: int, seed: int, destination: Destination) -> None:
    """Train HypRank on the labelled merged lists of a LOG's folder; publish it as the store's candidate `.hyprank`.

    Every process that follows the store sorts by the stable one; ask, rank and serve take a folder by --hyprank.

    Example: arbitrank shortlist hyprank ./log --promote
    """
    from arbitrank.shortlist.hyprank_training import train_hyprank
    from arbitrank.shortlist.log_labels import labelled_lists

    destination.check(HYPRANK)
    model = train_hyprank(labelled_lists(_readable(read_log(log))), seed=seed, rounds=rounds)
    version = _written(lambda target: save_hyprank(model, target), destination)
    dropped = model.lists - model.kept
    lists = f"{model.lists} lists, {dropped} of them dropped, as they hold no right answer"
    click.echo(f"{HYPRANK} {version}: {lists}; {destination}")


def _written(write: Callable[[Path], Manifest], destination: Destination) -> str:
    """Write an artifact to its destination; its version."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        target = destination.out or Path(folder) / "artifact"
        manifest = write(target)
        if destination.key:
            sign(target, destination.key)
        if not destination.out:
            destination.store.publish(target, promote=destination.promote)
    return manifest.version


def _unlabelled(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        return tuple(line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise InputError(f"--unlabelled {path}: {describe(error)}; expected a text file, an utterance a line") from None


def _corrections(log: Path | None, lines: Sequence[SkillUtterance]) -> Corrections:
    from arbitrank.shortlist.classifier_training import Corrections
    from arbitrank.shortlist.log_labels import corrections

    if log is None:
        return Corrections()
    found = corrections(_readable(read_log(log)), {line.skill for line in lines})
    click.echo(
        f"{log}: {len(found.refusals)} corrections; left out are {found.unknown} without words or of skills "
        f"that no line of --data has, and {found.contradictory} that cancel out",
        err=True,
    )
    return found


def _readable(lines: Iterable[T | BadLine]) -> Iterator[T]:
    for line in lines:
        if isinstance(line, BadLine):
            options.note(line)
        else:
            yield line


def read_lines(paths: Sequence[str], skills: Skills) -> list[SkillUtterance]:
    """The utterances with a skill in files or logs; others are counted on standard error. Raises `InputError`."""
    lines: list[SkillUtterance] = []
    without = 0
    for path in paths:
        for line in _readable(read_truths(path)):
            if (utterance := skill_utterance(line, skills)) is not None:
                lines.append(utterance)
            else:
                without += 1
    if without:
        options.note(f"{without} lines without words, or whose {skills} is no name, are left out")
    if paths and not lines:
        raise InputError(f"{', '.join(paths)}: no utterance with its {skills} that can be read; see docs/shortlist.md")
    return lines


def ambiguous_text(labelled: LabelledLines) -> str:
    """The remark on lines whose skill several owners have."""
    return (
        f"{labelled.ambiguous} lines are left out, as several owners have their skill, as {labelled.example!r}; "
        "expected its domain, or OWNER/NAME"
    )


def quality_text(found: ShortlistQuality) -> str:
    """Recall, misses and calibration in one line."""
    if not found.n:
        return "no held-out utterance to measure it on"
    shares = ", ".join(f"@{k} {100 * share:.1f} %" for k, share in found.recall.items())
    ece = f"of the best, {band_text(found.card.ece, found.card.ece_band)}"
    return (
        f"on {found.n}: recall {shares}; no known word in {100 * found.missed:.1f} %; "
        f"{ece if found.n >= _ENOUGH else 'too few to measure its calibration'}"
    )
