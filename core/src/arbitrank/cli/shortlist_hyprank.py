"""arbitrank shortlist hyprank: training of HypRank, on merged lists and on shortlists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

from arbitrank.answerlog.reader import read_log
from arbitrank.cli import options
from arbitrank.cli.catalogue_options import CatalogueFiles
from arbitrank.cli.classifier_options import readable
from arbitrank.cli.destination import Destination, destination_option
from arbitrank.cli.shortlist_training import Skills, data_option, linear_trainer, read_lines, skills_option, written
from arbitrank.errors import DataError, InputError
from arbitrank.importers.catalogues import listed_skills
from arbitrank.shortlist.artifact import CATALOGUE
from arbitrank.shortlist.build import catalogue as catalogue_of
from arbitrank.shortlist.gathering import GatheredSkills, ListedSkills, counted
from arbitrank.shortlist.hyprank import HypRank, save_hyprank
from arbitrank.shortlist.tool_words import ToolWords
from arbitrank.store.kinds import HYPRANK, SHORTLIST
from arbitrank.wire.catalogue_lines import CatalogueSkill
from arbitrank.wire.requests import Logged

if TYPE_CHECKING:
    from arbitrank.shortlist.tool_order_training import ToolList


@click.command("hyprank")
@click.argument("log", type=options.PATH, required=False)
@data_option
@skills_option
@click.option(
    "--catalogue",
    type=options.PATH,
    metavar="FILE",
    multiple=True,
    help="The tools of --data with their texts; by default those of the store's stable Shortlister.",
)
@click.option("--rounds", type=click.IntRange(1), default=120, help="Trees to grow.")
@options.seed
@destination_option
def hyprank(
    log: Path | None,
    data: tuple[str, ...],
    skills: Skills,
    catalogue: tuple[Path, ...],
    rounds: int,
    seed: int,
    destination: Destination,
) -> None:
    """Train HypRank on the labelled lists of a LOG's folder; publish it as the store's candidate `.hyprank`.

    It sorts merged lists of domains' readings, and shortlists of tools: those by the outcomes of their calls too. With
    --data, shortlists of labelled utterances are made by Shortlisters that were not trained on them.

    Every process that follows the store sorts by the stable one; ask, rank and serve take a folder by --hyprank.

    Example: arbitrank shortlist hyprank ./log --promote
    Example: arbitrank shortlist hyprank --data labelled.jsonl --catalogue skills.jsonl --promote
    """
    if log is None and not data:
        raise InputError("LOG and --data: neither given, expected a log's folder, or labelled utterances")
    destination.check(HYPRANK)
    lines = [] if log is None else list(readable(read_log(log)))
    model = _trained(lines, data, skills, CatalogueFiles(catalogue, False, []), rounds, seed, destination)
    version = written(lambda target: save_hyprank(model, target), destination)
    parts = []
    if model.sorts_readings or model.tools is None:
        dropped = model.lists - model.kept
        parts.append(f"{model.lists} lists, {dropped} of them dropped, as they hold no right answer")
    if (tools := model.tools) is not None:
        trees = "" if tools.text else "; too few to learn more than the outcomes"
        parts.append(f"{tools.lists} shortlists, outcomes of {counted(len(tools.tally.tools), 'tool')}{trees}")
    click.echo(f"{HYPRANK} {version}: {'; '.join(parts)}; {destination}")


def _trained(
    lines: Sequence[Logged],
    data: tuple[str, ...],
    skills: Skills,
    catalogue: CatalogueFiles,
    rounds: int,
    seed: int,
    destination: Destination,
) -> HypRank:
    """A HypRank of the lists that there are. Raises `DataError` where there are none to learn from."""
    from arbitrank.shortlist.crossed_lists import crossed_lists
    from arbitrank.shortlist.hyprank_training import train_hyprank
    from arbitrank.shortlist.log_labels import labelled_lists, tool_lists
    from arbitrank.shortlist.tool_order_training import train_tools

    of_tools = tool_lists(lines)
    listed = list(catalogue.skills()) or _stable_skills(destination)
    gathered = GatheredSkills()
    if data:
        labelled, _ = read_lines(data, skills)
        gathered, known = catalogue_of(labelled, {}, ListedSkills(listed))
        of_tools = [*crossed_lists(known.lines, gathered, linear_trainer(True, known.lines, seed)), *of_tools]
    elif listed:
        gathered, _ = catalogue_of((), {}, ListedSkills(listed))
    tools = None
    if of_tools:
        words = ToolWords.of(_of_lists(gathered, of_tools))
        tools = train_tools(of_tools, words, seed=seed, rounds=rounds)
    try:
        readings = train_hyprank(labelled_lists(lines), seed=seed, rounds=rounds)
    except DataError:
        if tools is None:
            raise
        readings = HypRank()
    return structs.replace(readings, tools=tools)


def _stable_skills(destination: Destination) -> list[tuple[str, CatalogueSkill]]:
    """The skills of the store's stable Shortlister with their texts; none where no version is stable."""
    stable = None if destination.out is not None else destination.store.stable(SHORTLIST)
    if stable is None or not (stable / CATALOGUE).is_file():
        return []
    return list(listed_skills(stable / CATALOGUE, []))


def _of_lists(gathered: GatheredSkills, lists: Sequence[ToolList]) -> Iterator[tuple[str, CatalogueSkill]]:
    """The skills that lists have, by their unique names: the words of others are never asked for."""
    listed = {one.skill for found in lists for one in found.candidates}
    return ((name, one) for name, one in zip(gathered.names, gathered.skills, strict=True) if name in listed)
