"""arbitrank import: payloads of other systems in, requests with hypotheses out."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from arbitrank.cli import options
from arbitrank.cli.importing_corpora import CorpusImport, corpus_options
from arbitrank.errors import InputError
from arbitrank.importers.catalogues import FORMATS as CATALOGUES
from arbitrank.importers.corpora import FORMATS as CORPORA
from arbitrank.importers.formats import FORMATS
from arbitrank.importers.payloads import PayloadFormat
from arbitrank.wire.notices import Notices


@click.command(
    "import",
    epilog=f"Formats: {', '.join(FORMATS)}; of --corpus: {', '.join(CORPORA)}; of --catalogue: "
    f"{', '.join(CATALOGUES)}.",
)
@click.argument("vendor", metavar="VENDOR|PATH")
@click.argument("file", default="-")
@click.option(
    "--domain", metavar="NAME", help="The domain of readings whose payload names none.  [default: the format's name]"
)
@click.option("--map", "mapping", type=options.PATH, metavar="FILE", help="Names of yours for theirs, in TOML.")
@click.option("--utterance", metavar="TEXT", help="The utterance of payloads without one.")
@corpus_options
def import_(
    vendor: str, file: str, domain: str | None, mapping: Path | None, utterance: str | None, corpus: CorpusImport
) -> None:
    """Make requests of the payloads of another system in FILE (- for standard input), and print them.

    FILE is JSON Lines, one document over several lines, or a list of payloads. One that cannot be read is reported on
    standard error, the others are imported, and the exit status is 2.

    With --corpus, import the file, folder or zip archive at PATH: utterances as a corpus, templates as patterns.toml
    and lists.toml. What cannot be taken over is listed on standard error.

    With --catalogue, import the skills in the file or folder at PATH, tools of agents and operations of APIs, as lines
    of a catalogue, which `arbitrank shortlist train --catalogue` reads.

    Example: arbitrank import rasa parsed.json --domain podcasts
    Example: arbitrank import --corpus rasa data/nlu.yml --domain podcasts --out corpus
    Example: arbitrank import --catalogue mcp tools.json --out skills
    """
    if corpus.format is not None or corpus.catalogue is not None:
        for option, value in {"--map": mapping, "--utterance": utterance, file: None if file == "-" else file}.items():
            if value is not None:
                verb = "--corpus" if corpus.format is not None else "--catalogue"
                raise InputError(f"{option}: not with {verb}, expected: arbitrank import {verb} FORMAT PATH")
        corpus.run(Path(vendor), domain)
        return
    payloads, notices = PayloadFormat.stated(vendor, domain, mapping, utterance), Notices(options.note)
    bad = good = 0
    for where, request, labels in payloads.read_file(file, notices):
        if isinstance(request, InputError):
            bad += 1
            options.note(f"{where}: {request}")
        else:
            good += 1
            sys.stdout.buffer.write(msgspec.json.encode({**msgspec.to_builtins(request), **labels}) + b"\n")
    sys.stdout.flush()
    if bad:
        name, rest = "standard input" if file == "-" else file, ", the others were imported" if good else ""
        raise InputError(f"{bad} payload{'s' if bad > 1 else ''} of {name} could not be read{rest}")
