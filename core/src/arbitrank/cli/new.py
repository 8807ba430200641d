"""arbitrank new: make the distribution of a new domain."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, NoReturn

import click
from msgspec.structs import asdict

from arbitrank.cli import options
from arbitrank.configuration import FILE, stated_scales
from arbitrank.errors import InputError
from arbitrank.extras import required
from arbitrank.importers.corpora import FORMATS, format_of
from arbitrank.scaffold.names import DomainNames, names_of

if TYPE_CHECKING:
    from arbitrank.scaffold.distribution import Created


@click.command("new", epilog=f"Formats of --corpus: {', '.join(FORMATS)}.")
@click.argument("name")
@click.option(
    "--toolkit", "way", flag_value="toolkit", default=True, help="Patterns, lists and a catalogue to learn from."
)
@click.option(
    "--own-nlu", "way", flag_value="own-nlu", help="Requests bring the readings of your NLU; a re-ranker learns."
)
@click.option("--own-model", "way", flag_value="own-model", help="The contract by hand: your recogniser, your model.")
@click.option(
    "--from",
    "source",
    type=options.PATH,
    metavar="PATH",
    help="Learn from this corpus of yours; with --own-nlu, from hypotheses with their truth.",
)
@click.option("--corpus", metavar="FORMAT", help="With --from: the corpus is in this format of another system.")
@click.option(
    "--scale",
    "scales",
    metavar="NAME[.FIELD]=SCALE",
    multiple=True,
    help="With --own-nlu: the scale of your scores, as NAME=0..100. May be repeated.",
)
@click.option(
    "--remote", is_flag=True, help="It can be a service of its own too, which another arbitrank queries over HTTP."
)
@click.option("--into", type=options.PATH, metavar="DIR", help="The folder to make it in.  [default: here]")
@options.as_json
def new(
    name: str,
    way: str,
    source: Path | None,
    corpus: str | None,
    scales: Sequence[str],
    remote: bool,
    into: Path | None,
    as_json: bool,
) -> None:
    """Make the distribution arbitrank-NAME of a new domain NAME, which works as it is.

    It has a small corpus, weights, tests, a README and a changelog: replace the corpus and the texts by your own. With
    --from, intents, slots, patterns and lists are learned from your corpus, and what was left out is listed. With
    --remote it can be a service of its own too, and the lines that the arbitrank.toml of its callers needs are printed.
    Nothing is overwritten.

    Example: arbitrank new podcasts --from corpus.jsonl
    """
    options.needs("--from", source, corpus=corpus)
    options.needs("--own-nlu", way == "own-nlu" or None, scale=scales)
    if source is not None and way == "own-model":
        raise InputError("--from: nothing is learned for --own-model; expected --toolkit or --own-nlu")
    if remote and way == "own-nlu":
        raise InputError(
            "--remote: --own-nlu has no recogniser to serve, expected --toolkit or --own-model; an NLU that is a "
            f"service already is queried as it is, by url and format in [domains.{name}]"
        )
    if corpus is not None and way == "own-nlu":
        raise InputError("--corpus: --own-nlu learns from hypotheses; run first: arbitrank import VENDOR")
    stated = _scales(scales, name)
    names = names_of(name)
    with required("new"):
        from arbitrank.scaffold.distribution import Wanted, create, place_of
        from arbitrank.scaffold.service import configuration, start
    folder = place_of(names, into)
    signal.signal(signal.SIGTERM, _interrupted)
    made = create(Wanted(names, way, source, corpus and format_of(corpus), stated, remote), folder)
    install = f"pip install -e {shlex.quote(_shown(folder))} && arbitrank check {name}"
    commands = [install, _try(name, way, made.phrase, folder, names.package), *([start(names)] if remote else [])]
    lines = configuration(names) if remote else None
    _report(made, names, way == "toolkit" and source is None, commands, lines, as_json)


def _report(
    made: Created, names: DomainNames, drawn: bool, commands: Sequence[str], lines: str | None, as_json: bool
) -> None:
    if as_json:
        left = [{"kind": kind, "count": n, "examples": shown} for kind, (n, shown) in made.left_out.items()]
        report = {
            "domain": names.name,
            "distribution": names.distribution,
            "folder": str(made.folder),
            "files": list(made.files),
            "version": made.version,
            "negatives": [asdict(one) for one in made.negatives],
            "held_out": made.card.n,
            "ece": made.card.ece,
            "left_out": left,
            "notes": list(made.notes),
            "not_yet": dict(made.unfulfilled),
            "listed_in": list(made.listed),
            "licensed": made.licensed,
            "next": list(commands),
            "configuration": lines,
        }
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    for kind, (n, shown) in made.left_out.items():
        options.note(f"left out: {kind} ({n:,}): {'; '.join(shown)}{'; …' if n > len(shown) else ''}")
    for text in made.notes:
        options.note(text)
    for check, reason in made.unfulfilled.items():
        options.note(f"not yet as it should be, {check}: {reason}")
    held = "utterances of the same patterns: on mixed traffic expect worse" if drawn else "requests"
    data = f"{made.rows:,} examples{options.with_negatives(made.negatives)}"
    written = [path for path in made.files if "model" not in Path(path).parts]  # weights may be one file more or less
    click.echo(f"{_shown(made.folder)}: {len(written)} files, and the weights {made.version} of {data}")
    click.echo(f"ECE {100 * made.card.ece:.1f} % on {made.card.n} held-out {held}")
    if made.listed:
        click.echo(f"listed in {', '.join(made.listed)}")
    if not made.licensed:
        click.echo('no license yet: before you publish it, add LICENSE, and license = "…" in pyproject.toml')
    click.echo("\n".join(["next:", *(f"  {command}" for command in commands)]))
    if lines:
        click.echo(f"in {FILE} of the arbitrank that queries it:\n{indent(lines, '  ')}", nl=False)


def _try(name: str, way: str, phrase: str, folder: Path, package: str) -> str:
    """The command that has the new domain answer."""
    if way == "own-nlu":
        data = folder / "src" / package / "data" / "hypotheses.jsonl"
        return f"sed -n {_first_own(data, name)}p {shlex.quote(_shown(data))} | arbitrank rank"
    return f"arbitrank ask {shlex.quote(phrase)}"


def _first_own(data: Path, name: str) -> int:
    """The number of the first line whose truth is the domain's, 1 where there is none."""
    truths = (json.loads(line).get("truth") for line in data.read_text(encoding="utf-8").splitlines())
    own = (n for n, truth in enumerate(truths, 1) if isinstance(truth, dict) and truth.get("domain") == name)
    return next(own, 1)


def _shown(path: Path) -> str:
    """The path as a command can have it: one that pip does not take for a name."""
    text = str(path)
    return text if path.is_absolute() else os.path.join(".", text)


def _scales(texts: Sequence[str], name: str) -> dict[str, str]:
    """The scales that are stated for the new domain, by field. Raises `InputError` for those of another."""
    found = stated_scales(texts)
    if others := sorted(found.keys() - {name}):
        raise InputError(f"--scale: stated for {', '.join(others)}, expected {name}=SCALE or {name}.FIELD=SCALE")
    return found.get(name, {})


def _interrupted(number: int, frame: object) -> NoReturn:
    """End as by Ctrl-C, which cleans up."""
    raise KeyboardInterrupt
