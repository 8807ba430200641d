"""Options of the learned classifier and its techniques, gathered to a function that makes its trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from arbitrank.answerlog.reader import read_log
from arbitrank.cli import options
from arbitrank.errors import InputError, describe
from arbitrank.shortlist.build import SkillUtterance
from arbitrank.wire.json_lines import BadLine

if TYPE_CHECKING:
    from arbitrank.shortlist.classifier_training import Corrections

T = TypeVar("T")


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


classifier_options = options.gathered(
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
    found = corrections(readable(read_log(log)), {line.skill for line in lines})
    click.echo(
        f"{log}: {len(found.refusals)} corrections; left out are {found.unknown} without words or of skills "
        f"that no line of --data has, and {found.contradictory} that cancel out",
        err=True,
    )
    return found


def readable(lines: Iterable[T | BadLine]) -> Iterator[T]:
    """The lines that can be read; others are reported on standard error."""
    for line in lines:
        if isinstance(line, BadLine):
            options.note(line)
        else:
            yield line
