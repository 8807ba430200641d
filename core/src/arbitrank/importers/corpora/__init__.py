"""Importers of corpora: utterances and templates in other formats as a corpus, patterns and lists.

    import_corpus("rasa", Path("data/nlu.yml"), CorpusOptions(domain="tea")) -> Gathered

A format is a module with `read(files, options)`, which yields items (`items`); `gathered` makes lines of a corpus,
patterns and lists of them, and `writing` writes those into a folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from arbitrank.errors import InputError
from arbitrank.importers.corpora.files import SourceFile, locale_in, same_locale, source_files
from arbitrank.importers.corpora.gathered import Gathered, gathered
from arbitrank.importers.corpora.items import CorpusOptions, LeftOut

__all__ = ["FORMATS", "CorpusFormat", "CorpusOptions", "Gathered", "format_of", "import_corpus", "named_format"]


class CorpusFormat(NamedTuple):
    """A format of corpora: the module that reads it, a description, and other names that it goes by."""

    module: str
    description: str
    aliases: tuple[str, ...] = ()


FORMATS: dict[str, CorpusFormat] = {
    "rasa": CorpusFormat("rasa", "Rasa nlu.yml, nlu.md or nlu.json", ("rasa-yaml", "rasa-yml", "rasa-md", "rasa-json")),
    "alexa": CorpusFormat("alexa", "Alexa interaction model", ("ask", "interaction-model")),
    "dialogflow": CorpusFormat("dialogflow", "Dialogflow ES agent: folder or zip", ("dialogflow-es", "df", "es")),
    "clu": CorpusFormat("clu", "Azure CLU project", ("azure-clu", "clu-conversation")),
    "luis": CorpusFormat("luis", "LUIS app", ("luis-v3", "luis-v7")),
    "wit": CorpusFormat("wit", "Wit.ai app: folder, zip or file", ("wit-ai", "wit.ai")),
    "ovos": CorpusFormat("ovos", "OVOS, Mycroft: .intent, .entity, .voc", ("mycroft", "padatious", "neon")),
    "home-assistant": CorpusFormat("home_assistant", "Home Assistant sentences", ("ha", "hassil", "homeassistant")),
    "lex": CorpusFormat("lex", "Amazon Lex V1 or V2 export: folder, zip or file", ("lex-v2", "lex-v1", "amazon-lex")),
    "snips": CorpusFormat("snips", "Snips NLU dataset, YAML or JSON", ("snips-nlu",)),
    "massive": CorpusFormat("massive", "MASSIVE, JSON Lines", ("amazon-massive",)),
    "bio": CorpusFormat("bio", "tokens with BIO tags, CoNLL", ("conll", "iob", "bioes", "bilou")),
    "atis": CorpusFormat("atis", "ATIS: seq.in, seq.out, label; .iob; table", ("multiatis",)),
    "sgd": CorpusFormat("sgd", "Schema-Guided Dialogue", ("schema-guided-dialogue", "dstc8")),
    "csv": CorpusFormat("table", "CSV or TSV with named columns", ("tsv", "table")),
}
"""The formats by name."""


def named_format(name: str, formats: Mapping[str, CorpusFormat], option: str, kind: str) -> str:
    """The canonical name of a format. Raises `InputError` that suggests the one meant, of a `kind` for an `option`."""
    plain = name.strip().lower().replace("_", "-").replace(" ", "-")
    names = {alias: key for key, one in formats.items() for alias in (key, *one.aliases)}
    if plain in names:
        return names[plain]
    near = get_close_matches(plain, names, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"{option}: {name!r} is no format of {kind}, expected one of {', '.join(formats)}{meant}")


def format_of(name: str) -> str:
    """The canonical name of a format of corpora. Raises `InputError` that suggests the one meant."""
    return named_format(name, FORMATS, "--corpus", "corpora")


def import_corpus(format: str, path: Path, options: CorpusOptions) -> Gathered:
    """The corpus at a path, a file, a folder or a zip archive, in one of `FORMATS`.

    Raises `DataError` where it is not as the format has it, `InputError` for a wrong option.
    """
    module = import_module(f"{__name__}.{FORMATS[format_of(format)].module}")
    files: list[SourceFile] = []
    others: list[SourceFile] = []
    for file in source_files(path):
        locale = None if options.locale is None else locale_in(file.path.with_suffix(""))
        (files if locale is None or same_locale(locale, options.locale) else others).append(file)
    if not files:
        raise InputError(f"--locale {options.locale}: all files of {path} name other locales, as {others[0].label}")
    items = (LeftOut("file of another locale", file.label) for file in others)
    return gathered(chain(module.read(files, options), items), options, str(path))
