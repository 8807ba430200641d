"""arbitrank shortlist train: training of the Shortlister."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from arbitrank.answerlog.reader import read_truths
from arbitrank.cli import options
from arbitrank.cli.catalogue_options import CatalogueFiles, VersionBefore, catalogue_option
from arbitrank.cli.classifier_options import classifier_options, readable
from arbitrank.cli.destination import Destination, destination_option
from arbitrank.errors import InputError
from arbitrank.evaluate.metrics import band_text
from arbitrank.extras import missing_package
from arbitrank.registry import discover, loaded
from arbitrank.shortlist.build import LinearTrainer, ShortlistQuality, SkillUtterance, build, skill_utterance, write
from arbitrank.shortlist.encoders import PACKAGED, stated_encoder
from arbitrank.shortlist.labels import LabelledLines
from arbitrank.store.artifact import Manifest
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.signing import sign

Skills = Literal["skill", "intent", "domain"]

_ENOUGH = 100  # utterances below which a calibration error has no meaning

data_option = click.option(
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


@click.command("train")
@data_option
@skills_option
@catalogue_option
@domains_option
@click.option(
    "--linear/--no-linear",
    default=True,
    help="Train the linear kernel, where utterances times skills are at most 8 million.",
)
@click.option(
    "--embed",
    is_flag=False,
    flag_value=PACKAGED,
    metavar="[ENCODER]",
    help="Rank skills without utterances by the vectors of an encoder, too: that of the extra embed, an entry point of "
    "arbitrank.encoders, or MODULE:FUNCTION, a function from a list of texts to vectors.",
)
@classifier_options
@options.seed
@destination_option
def train(
    data: tuple[str, ...],
    skills: Skills,
    catalogue: CatalogueFiles,
    domains: bool,
    linear: bool,
    embed: str | None,
    recipe: Callable[[Sequence[SkillUtterance], int], Any],
    seed: int,
    destination: Destination,
) -> None:
    """Train the Shortlister on utterances and their skills, and publish it as the store's candidate `.shortlist`.

    Skills of a catalogue and of the installed domains without utterances are known by their texts.

    Example: arbitrank shortlist train --data labelled.jsonl --promote
    Example: arbitrank shortlist train --catalogue skills.jsonl --no-domains --promote
    Example: arbitrank shortlist train --catalogue skills.jsonl --embed --promote
    """
    destination.check(SHORTLIST)
    encoder = stated_encoder(embed) if embed else None
    lines, unowned = read_lines(data, skills)
    classifier = recipe(lines, seed)
    found = loaded(discover()) if domains else {}
    before = VersionBefore.of(destination)
    listed = catalogue.listed(before, destination)
    built = build(
        lines,
        found,
        classifier=classifier,
        listed=listed,
        check=partial(catalogue.check, before=before),
        unowned=unowned,
        linear=linear_trainer(linear, lines, seed),
        encoder=encoder,
    )
    catalogue.report(built.skills)
    for text in left_out_texts(built.labelled):
        options.note(text)
    shortlister = built.shortlister
    cold = shortlister.cold
    kernels = {
        "index": True,
        "linear": shortlister.linear is not None,
        "learned": shortlister.classifier is not None,
        "descriptions": cold is not None and cold.knows,
        "vectors": cold is not None and cold.embedding is not None,
    }
    model = " and ".join(name for name, present in kernels.items() if present)
    version = written(lambda target: write(built, target, seed=seed, model=model), destination)
    size = sum(one.nbytes for one in (shortlister.index, shortlister.linear, cold) if one is not None)
    click.echo(
        f"{SHORTLIST} {version}: {built.utterances} utterances, {len(shortlister.index)} skills, "
        f"{model}, {size / 1e6:.1f} MB; {quality_text(built.quality)}; {destination}"
    )


def linear_trainer(wanted: bool, lines: Sequence[SkillUtterance], seed: int) -> LinearTrainer | None:
    """The trainer of the linear kernel; None where it is not wanted, or the data are too many or too few for it."""
    if not wanted or not lines:  # scikit-learn takes memory that a catalogue of a million skills needs
        return None
    try:
        from arbitrank.shortlist.linear_training import can_train, train_linear
    except ImportError as error:
        options.note(f"the index alone is trained: {missing_package(error, 'the linear kernel') or error}")
        return None
    return partial(train_linear, seed=seed) if can_train(len(lines), len({line.skill for line in lines})) else None


def written(write: Callable[[Path], Manifest], destination: Destination) -> str:
    """Write an artifact to its destination; its version."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        target = destination.out or Path(folder) / "artifact"
        manifest = write(target)
        if destination.key:
            sign(target, destination.key)
        if not destination.out:
            destination.store.publish(target, promote=destination.promote)
    return manifest.version


class LabelledData(NamedTuple):
    """Utterances with a skill, and utterances that are out of scope."""

    lines: list[SkillUtterance]
    unowned: list[str]


def read_lines(paths: Sequence[str], skills: Skills) -> LabelledData:
    """The utterances in files or logs; those of neither kind are counted on standard error. Raises `InputError`."""
    lines: list[SkillUtterance] = []
    unowned: list[str] = []
    without = 0
    for path in paths:
        for line in readable(read_truths(path)):
            if (utterance := skill_utterance(line, skills)) is not None:
                lines.append(utterance)
            elif line.request.utterance and not line.truth.owners:
                unowned.append(line.request.utterance)
            else:
                without += 1
    if without:
        options.note(f"{without} lines without words, or whose {skills} is no name, are left out")
    if paths and not lines:
        raise InputError(f"{', '.join(paths)}: no utterance with its {skills} that can be read; see docs/shortlist.md")
    return LabelledData(lines, unowned)


def left_out_texts(labelled: LabelledLines) -> Iterator[str]:
    """The remarks on lines whose skill several owners have, or was removed."""
    if labelled.ambiguous:
        yield (
            f"{labelled.ambiguous} lines are left out, as several owners have their skill, as {labelled.example!r}; "
            "expected its domain, or OWNER/NAME"
        )
    if labelled.removed:
        yield f"{labelled.removed} lines of removed skills are left out"


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
