"""arbitrank shortlist: evaluate and query the Shortlister; training is in `shortlist_training`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from arbitrank.cli import options, shortlist_options
from arbitrank.cli.help_pages import Verbs
from arbitrank.cli.shortlist_catalogue import add, remove, skills
from arbitrank.cli.shortlist_hyprank import hyprank
from arbitrank.cli.shortlist_training import (
    Skills,
    domains_option,
    left_out_texts,
    quality_text,
    read_lines,
    skills_option,
    train,
)
from arbitrank.errors import InputError
from arbitrank.normal_text import printable
from arbitrank.registry import discover, loaded
from arbitrank.shortlist.artifact import load_shortlister
from arbitrank.shortlist.build import data_digest, quality
from arbitrank.shortlist.changes import with_log
from arbitrank.shortlist.gathering import counted
from arbitrank.shortlist.labels import SkillLabels, labelled_lines
from arbitrank.shortlist.overlaps import overlapping_skills
from arbitrank.shortlist.shortlister import Shortlister, Shortlisting, ShortlistSettings
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.local_copies import verified_copy
from arbitrank.store.store import Store
from arbitrank.store.versions import wrong_name
from arbitrank.values import Request

if TYPE_CHECKING:
    from arbitrank.shortlist.hyprank import HypRank

_PAIRS = 10  # overlapping skills that are printed


@click.group("shortlist", cls=Verbs)
def shortlist() -> None:
    """Select, from very many skills, the few worth querying.

    Example: arbitrank shortlist query "play mary poppins"
    """


shortlist.add_command(train)
shortlist.add_command(hyprank)
for _verb in (add, remove, skills):
    shortlist.add_command(_verb)


class _Loaded(NamedTuple):
    """A verified Shortlister, with the catalogue log where it is the store's, and the digest of its training data."""

    shortlister: Shortlister
    trained_on: str
    store: Store
    of_store: bool

    def hyprank(self, folder: Path | None) -> HypRank | None:
        """The HypRank in a folder, else the stable one of the store that the Shortlister is of."""
        if folder is not None or not self.of_store:
            return options.hyprank(folder, self.store)
        return options.stable_hyprank(self.store)


def _load(store: Store, version: str | None, folder: Path | None) -> _Loaded:
    of_store = folder is None
    if folder is None:
        state = store.state(SHORTLIST)[1]
        version = version or state.stable
        if version is None:
            run = f"promote {SHORTLIST}" if state.candidate else "shortlist train --data … --promote"
            raise InputError(f"no shortlister is stable in {store}; run: arbitrank {run} --store {store}")
        folder = store.fetch(SHORTLIST, version)
    elif version is not None:
        raise InputError("--folder and --version: both given, expected one")
    copied = verified_copy(folder, store.keys)
    if problem := wrong_name(copied.manifest, SHORTLIST):
        raise InputError(f"{folder}: {problem}")
    shortlister = load_shortlister(copied.folder, copied.manifest.version)
    shortlister = with_log(shortlister, store.catalogue_log()) if of_store else shortlister
    return _Loaded(shortlister, copied.manifest.data_digest, store, of_store)


_shortlister = options.gathered(
    "load",
    lambda store, version, folder: partial(_load, store, version, folder),
    click.option("--version", metavar="VERSION", help="By default the stable one."),
    click.option("--folder", type=options.PATH, help="An artifact's folder, instead of the store's."),
    options.store,
)


@shortlist.command("evaluate")
@click.argument("path")
@skills_option
@_shortlister
@options.as_json
def evaluate(path: str, skills: Skills, load: Callable[[], _Loaded], as_json: bool) -> None:
    """Measure a Shortlister on the labelled utterances in PATH: recall, misses, calibration, overlapping skills.

    Give utterances that it was not trained on: on its own it is nearly always right. Those that fit no skill are left
    out.

    Two skills overlap where one scores at least half as high as the other, for a fifth of the other's utterances.

    Example: arbitrank shortlist evaluate labelled.jsonl
    """
    lines, unowned = read_lines((path,), skills)
    shortlister, trained_on, *_ = load()
    labelled = labelled_lines(lines, SkillLabels.of(shortlister.catalogue))
    for text in left_out_texts(labelled):
        options.note(text)
    if unowned:
        options.note(f"{counted(len(unowned), 'utterance')} that fit no skill, left out")
    if data_digest(labelled.lines) == trained_on:
        options.note("it was trained on these utterances, so the figures say nothing of new ones: give others")
    found = quality(shortlister, labelled.lines)
    pairs = overlapping_skills(shortlister, labelled.lines)
    if as_json:
        recall = {f"recall@{k}": share for k, share in found.recall.items()}
        card = msgspec.to_builtins(found.card)
        figures = {"n": found.n, **recall, "missed": found.missed, "calibration": card}
        click.echo(msgspec.json.encode({**figures, "overlapping": pairs}))
        return
    click.echo(quality_text(found))
    for pair in pairs[:_PAIRS]:
        click.echo(
            f"{printable(pair.other)} would do for {pair.requests} of {pair.of} requests of {printable(pair.skill)}, "
            f"and comes first in {pair.first}: {printable(pair.example)}"
        )
    if len(pairs) > _PAIRS:
        click.echo(f"{len(pairs) - _PAIRS} more pairs of skills overlap; --json lists all")


@shortlist.command("query")
@click.argument("text")
@click.option("--enabled", metavar="SKILL", multiple=True, help="The account has it enabled. May be repeated.")
@shortlist_options.shortlist_k
@shortlist_options.shortlist_floor
@shortlist_options.shortlist_mass
@shortlist_options.shortlist_outside
@domains_option
@_shortlister
@options.hyprank_folder
@options.as_json
def query(
    text: str,
    enabled: tuple[str, ...],
    k: int,
    floor: float,
    mass: float,
    outside: float | None,
    domains: bool,
    load: Callable[[], _Loaded],
    hyprank: Path | None,
    as_json: bool,
) -> None:
    """Print the skills most worth querying with TEXT, each with P(it is acceptable), as a HypRank sorts them.

    Where it was trained without utterances, or with too few, these figures are no calibrated probabilities: they order
    the skills. A remark says so.

    Example: arbitrank shortlist query "play mary poppins" --shortlist-k 5
    """
    known = load()
    shortlister, order = known.shortlister, known.hyprank(hyprank)
    if not shortlister.calibration.fitted:
        options.note("it was trained without enough utterances to calibrate it: the figures are no probabilities")
    if domains:
        shortlister = shortlister.serving(loaded(discover()))
    request = Request(utterance=text, account={"enabled": list(enabled)})
    found, none = Shortlisting(shortlister, ShortlistSettings(k, floor, mass=mass, outside=outside))(request)
    if order is not None:
        found = order.sort_tools(request, found)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for one in found:
        owner = f" ({printable(one.domain)})" if one.domain != one.skill else ""
        click.echo(f"{100 * one.score:5.1f} %  {printable(one.skill)}{owner}")
    if not found:
        click.echo("no skill: none of the words is known, every score is below the floor, or likely no skill fits")
    if none is not msgspec.UNSET and none < 1.0:
        click.echo(f"{100 * none:5.1f} %  that no skill fits")
