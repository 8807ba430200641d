"""A new domain's distribution: made beside its place with its data and weights, and moved there as a whole."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arbitrank.domain import Settings
from arbitrank.errors import InputError, os_errors
from arbitrank.evaluate.metrics import Calibration
from arbitrank.scaffold.files import filled
from arbitrank.scaffold.from_corpus import corpus_files, hypotheses_files
from arbitrank.scaffold.names import DomainNames
from arbitrank.scaffold.service import with_service
from arbitrank.scaffold.sources import read_source
from arbitrank.scaffold.weights import imported, train_shipped, unfulfilled
from arbitrank.scaffold.workspace import is_workspace, list_plugin, with_license, workspace_of
from arbitrank.store.artifact import NegativesUsed

__all__ = ["Created", "Wanted", "create", "place_of"]

_NOT_YET = "NOT_YET: dict[str, str] = {}"


@dataclass(frozen=True)
class Wanted:
    """A new distribution as it is asked for: its names and its way, and the source of its data, if any.

    `format` is that of a source which is not ours; `scales` are of the scores of an NLU of one's own. With `service`,
    it can be a service of its own.
    """

    names: DomainNames
    way: str = "toolkit"
    source: Path | None = None
    format: str | None = None
    scales: Mapping[str, str] | None = None
    service: bool = False


@dataclass(frozen=True)
class Created:
    """A new distribution: its folder, its files, the version and the card of its weights, a request to try.

    `left_out` and `notes` tell about the source; `unfulfilled` are checks that do not pass yet, with the reason.
    `listed` are the files of the workspace that name it from now on. `licensed` where it has a license.
    `negatives` are the shared ones that were used.
    """

    folder: Path
    files: Sequence[str]
    version: str
    card: Calibration
    rows: int
    phrase: str
    left_out: Mapping[str, tuple[int, list[str]]]
    notes: Sequence[str]
    unfulfilled: Mapping[str, str]
    listed: Sequence[str] = ()
    licensed: bool = False
    negatives: Sequence[NegativesUsed] = ()


@dataclass(frozen=True)
class _Content:
    files: dict[str, str]
    phrase: str
    left_out: Mapping[str, tuple[int, list[str]]]
    notes: Sequence[str]


def place_of(names: DomainNames, into: Path | None) -> Path:
    """The folder of a new distribution: `plugins/NAME` in a workspace's root, else `arbitrank-NAME`.

    Raises `InputError` where something is there already, or the folder for it is missing.
    """
    parent = Path() if into is None else into
    if into is None and is_workspace(parent):
        parent = parent / "plugins"
    if not parent.is_dir():
        raise InputError(f"--into: {parent} is no folder; make it first: mkdir -p {parent}")
    folder = parent / (names.name if parent.resolve().name == "plugins" else names.distribution)
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{folder} is there already, and nothing is overwritten; remove it, or use --into DIR")
    return folder


def create(wanted: Wanted, folder: Path, settings: Settings = Settings()) -> Created:
    """Make the distribution and train its weights; nothing is left where that fails or is interrupted.

    Raises `InputError` for a source that cannot be read, `DataError` where it does not suffice to learn from.
    """
    names, content, root = wanted.names, _content(wanted), workspace_of(folder)
    if wanted.service:
        with_service(content.files, names, content.phrase)
    if root is not None:
        with_license(content.files, root)
    with (
        os_errors(InputError, f"{folder}: cannot be created", "; use --into DIR"),
        tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside,
    ):
        work = Path(beside) / folder.name
        for place, text in content.files.items():
            (work / place).parent.mkdir(parents=True, exist_ok=True)
            (work / place).write_text(text, encoding="utf-8", newline="")
        with imported(names, work) as domain:
            built, notes = train_shipped(domain, names, settings)
            # What the templates themselves bring fulfils all; other data may not.
            found = unfulfilled(domain) if wanted.source else {}
        found = {name: reason.replace(str(work), str(folder)) for name, reason in found.items()}
        if found:
            test = work / "tests" / f"test_{names.module}.py"
            lines = "".join(f"    {json.dumps(k)}: {json.dumps(_first_line(v))},\n" for k, v in found.items())
            text = test.read_text(encoding="utf-8").replace(_NOT_YET, f"{_NOT_YET[:-1]}\n{lines}}}")
            test.write_text(text, encoding="utf-8", newline="")
        files = sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file())
        if folder.exists():
            raise InputError(f"{folder} has come to be in the meantime, and nothing is overwritten; use --into DIR")
        work.rename(folder)
    listed = [] if root is None else list_plugin(root, names)
    return Created(
        folder,
        files,
        built.manifest.version,
        built.measured.card,
        built.manifest.rows,
        content.phrase,
        content.left_out,
        [*content.notes, *notes],
        found,
        listed,
        "LICENSE" in content.files,
        tuple(built.manifest.negatives or ()),
    )


def _content(wanted: Wanted) -> _Content:
    """The files of the way, without weights."""
    names, way, path = wanted.names, wanted.way, str(wanted.source)
    source = None if wanted.source is None else read_source(wanted.source, wanted.format, names.name)
    if way == "own-nlu":
        files, phrases = hypotheses_files(names, wanted.scales or {}, source, path)
        return _Content(files, phrases[0], source.left_out if source else {}, source.notes if source else ())
    if source is not None:
        files, data = corpus_files(names, source, path)
        left = {**source.left_out, **data.left_out}
        return _Content(files, data.phrases[0] if data.phrases else names.title, left, [*source.notes, *data.notes])
    phrase = "play tetris" if way == "toolkit" else "set a timer for ten minutes"
    return _Content(filled(way, names, {"way": way}), phrase, {}, ())


def _first_line(text: str) -> str:
    return " ".join(text.split())[:160]
