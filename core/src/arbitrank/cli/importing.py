"""arbitrank import: payloads of other systems in, requests with hypotheses out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from arbitrank.cli import options
from arbitrank.cli.importing_corpora import CorpusImport, corpus_options
from arbitrank.errors import InputError
from arbitrank.importers.corpora import FORMATS as CORPORA
from arbitrank.importers.documents import documents
from arbitrank.importers.formats import FORMATS, format_named, imported
from arbitrank.importers.options import ImportOptions, read_map
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.notices import Notices


@click.command("import", epilog=f"Formats: {', '.join(FORMATS)}; of --corpus: {', '.join(CORPORA)}.")
@click.argument("format", metavar="VENDOR|PATH")
@click.argument("file", default="-")
@click.option(
    "--domain", metavar="NAME", help="The domain of readings whose payload names none.  [default: the format's name]"
)
@click.option("--map", "mapping", type=options.PATH, metavar="FILE", help="A TOML file with names of yours for theirs.")
@click.option("--utterance", metavar="TEXT", help="The utterance of payloads without one.")
@corpus_options
def import_(
    format: str, file: str, domain: str | None, mapping: Path | None, utterance: str | None, corpus: CorpusImport
) -> None:
    """Make requests of the payloads of another system in FILE (- for standard input), and print them.

    FILE is JSON Lines, a document over several lines, or a list of payloads. One that cannot be read is reported on
    standard error, the others are imported, and the exit status is 2.

    With --corpus, import the file, folder or zip archive at PATH: utterances as a corpus, templates as patterns.toml
    and lists.toml. What cannot be taken over is listed on standard error.
    """
    if corpus.format is not None:
        for option, value in {"--map": mapping, "--utterance": utterance, file: None if file == "-" else file}.items():
            if value is not None:
                raise InputError(f"{option}: not with --corpus, expected: arbitrank import --corpus FORMAT PATH")
        corpus.run(Path(format), domain)
        return
    name, one = format_named(format)
    stated = ImportOptions(domain, utterance)
    if mapping is not None:
        stated = read_map(mapping, stated)
    bad, notices = 0, Notices(options.note)
    for document in documents(file, listed=one.listed):
        try:
            if isinstance(document, BadLine):
                raise InputError(document.reason)
            request = imported(document.value, name, replace(stated, notice=notices.at(document.where)))
        except InputError as error:
            bad += 1
            options.note(f"{document.where}: {error}")
            continue
        sys.stdout.buffer.write(msgspec.json.encode(request) + b"\n")
    sys.stdout.flush()
    if bad:
        name = "standard input" if file == "-" else file
        raise InputError(f"{bad} payload{'s' if bad > 1 else ''} of {name} could not be read, the others were imported")
