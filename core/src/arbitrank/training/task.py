"""One domain's training as a value: what to do, how far it is, and what became of it.

A `Task` says all that a process needs, on this machine or another; `run` does it and gives an `Outcome`, whatever
happens. Nothing is published here: the artifact is left in the task's folder for whoever started it.
"""

from __future__ import annotations

import hashlib
import importlib
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from arbitrank.domain import Domain, Figures, Progress, Settings, Spread
from arbitrank.errors import ArbitrankError, DataError, InputError, describe
from arbitrank.registry import Loaded, discover
from arbitrank.store.artifact import digest, read_manifest
from arbitrank.training.build import Built, Split, build
from arbitrank.training.datasets import Reading, prepare
from arbitrank.training.example_file import ExampleFile, data_digest, write_examples
from arbitrank.values import Example

ARTIFACT = "artifact"
"""The folder, inside a task's own, that the artifact is left in."""

DATA = "examples"
"""The file, inside a task's folder, of examples that the task made or read by itself."""

_LIBRARIES = ("arbitrank", "numpy", "scipy", "scikit-learn", "python-crfsuite", "lightgbm", "msgspec")
_SOURCES = ("arbitrank.learn", "arbitrank.nlu")  # of a checkout the version alone does not tell


class Task(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What to train, and how.

    `factory`, `module:name`, gives the domain when called with its name; None finds it among the installed plugins.
    `data` is a file that `Writer` wrote, or what the process reads by itself; None is the domain's own data. `settings`
    are those of `Settings` that decide what comes out. `base` is the artifact that serves. `known` maps what artifacts
    of the store were made of to their versions: what is to be made of the same is `unchanged`. `folder` is the
    task's own, and `log` the file to write to.
    """

    domain: str
    folder: str
    factory: str | None = None
    data: str | Reading | None = None
    settings: dict[str, Any] = {}
    split: Split = "words"
    base: str | None = None
    warm: bool = False
    known: dict[str, str] = {}
    size: int = 0
    log: str | None = None


Kind = Literal["built", "published", "unchanged", "refused", "failed", "killed"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What became of a task.

    built: the artifact is there, not yet published; published; unchanged: the store has what would come out; refused:
    by the self-check, its weights being worse than R0; failed: an error, which `reason` tells; killed: the process was
    ended, by a limit or from outside. `nll`, `baseline` (R0's), `ece` and `ece_floor` are of `held` requests kept back.
    `seconds` are of the last attempt, `peak` is the most memory that was seen, in bytes.
    """

    domain: str
    kind: Kind
    reason: str | None = None
    version: str | None = None
    rows: int = 0
    model: str = ""
    held: int = 0
    nll: float = 0.0
    baseline: float = 0.0
    ece: float = 0.0
    ece_floor: float = 0.0
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    attempts: int = 1
    peak: int | None = None
    log: str | None = None

    @property
    def good(self) -> bool:
        """Whether the store has what the data give."""
        return self.kind in ("built", "published", "unchanged")


def run(task: Task, *, progress: Progress, figures: Figures, spread: Spread | None = None) -> Outcome:
    """Train the domain of the task. Never raises but for what ends the process."""
    began = time.monotonic()
    try:
        outcome = _run(task, progress, figures, spread)
    except ArbitrankError as error:
        outcome = Outcome(domain=task.domain, kind="failed", reason=str(error))
    except MemoryError:
        outcome = Outcome(domain=task.domain, kind="failed", reason="out of memory; see --limit-memory")
    # `examples`, `train` and `load` are the plugin's code; what they raise ends the training of that one domain.
    except Exception as error:
        traceback.print_exc()  # into the task's log
        outcome = Outcome(domain=task.domain, kind="failed", reason=f"its training failed: {describe(error)}")
    return msgspec.structs.replace(outcome, seconds=time.monotonic() - began)


def _run(task: Task, progress: Progress, figures: Figures, spread: Spread | None) -> Outcome:
    found = found_domain(task)
    package = (found.source.distribution, found.source.version) if isinstance(found, Loaded) else ("", "")
    domain = found.domain if isinstance(found, Loaded) else found
    progress("data", 0, 1)
    examples, notes = _examples(task, domain)
    figures({"rows": len(examples)})
    progress("data", 1, 1)
    settings = Settings(**task.settings, progress=progress, figures=figures, spread=spread)
    made_of = fingerprint(task, domain, package, examples)
    if made_of in task.known:
        return Outcome(
            domain=task.domain, kind="unchanged", version=task.known[made_of], rows=len(examples), notes=notes
        )
    base = Path(task.base) if task.base else domain.shipped
    if task.warm:
        settings = replace(settings, warm=_warmth(base))
    folder = Path(task.folder) / ARTIFACT
    built = build(domain, package, examples, folder, settings, base=base, split=task.split, made_of=made_of)
    return outcome_of(task, built, notes)


def outcome_of(task: Task, built: Built, notes: tuple[str, ...]) -> Outcome:
    """What became of a task whose artifact is built: its self-check decides."""
    card, manifest = built.card, built.manifest
    found = built.measured
    reason = None
    if not card.n:
        reason = (
            "its self-check refuses the weights: of the requests kept back it has a reading of none, so nothing says "
            "that they are better than R0; give it more data"
        )
    elif found.worse:
        reason = (
            f"its self-check refuses the weights: on {card.n} requests kept back their NLL is {found.nll:.4f}, and R0, "
            f"no weights at all, has {found.baseline:.4f}; give it more data, or other"
        )
    return Outcome(
        domain=task.domain,
        kind="refused" if reason else "built",
        reason=reason,
        version=manifest.version,
        rows=manifest.rows,
        model=f"{manifest.model} {manifest.loss}".strip(),
        held=card.n,
        nll=card.nll,
        baseline=found.baseline,
        ece=card.ece,
        ece_floor=card.ece_floor,
        notes=notes,
    )


def found_domain(task: Task) -> Loaded | Domain:
    """The domain of a task. Raises `InputError` where it is not installed here."""
    if task.factory is not None:
        module, _, name = task.factory.partition(":")
        return cast(Domain, getattr(importlib.import_module(module), name)(task.domain))
    found = _installed().get(task.domain)
    if found is None:
        raise InputError(
            f"domain {task.domain!r} is not loaded where it is to be trained; run there: arbitrank domains"
        )
    return found


@cache
def _installed() -> dict[str, Loaded]:
    return {one.name: one for one in discover() if isinstance(one, Loaded)}


def _examples(task: Task, domain: Domain) -> tuple[Sequence[Example], tuple[str, ...]]:
    """The examples, on disk, and what there is to say of how they were read."""
    path = Path(task.folder) / DATA
    if isinstance(task.data, str):
        return ExampleFile(Path(task.data)), ()
    if task.data is None:
        return write_examples(path, list(domain.examples())), ()
    read = prepare(task.data, [task.domain], {task.domain: path})
    return ExampleFile(path), read.notes(task.domain)


def fingerprint(task: Task, domain: Domain, package: tuple[str, str], examples: Sequence[Example]) -> str:
    """The digest of what decides the outcome: data, code, settings, and the recogniser that is kept, if one is."""
    given = next(iter(examples), None)
    base = Path(task.base) if task.base else domain.shipped
    kept: Mapping[str, str] = {}
    if given is not None and given.request.hypotheses is not None and base is not None:
        kept = {path: sha for path, sha in read_manifest(base).files.items() if path.startswith("recogniser/")}
    parts = [task.domain, data_digest(examples), task.settings, task.split, task.warm, package, _code(domain), kept]
    return digest(msgspec.json.encode(parts, order="deterministic"))


def _warmth(base: Path | None) -> Path:
    if base is None:
        raise DataError("--warm: nothing serves that training could begin from; run without it")
    return base


def _code(domain: Domain) -> dict[str, str]:
    modules = (
        [type(domain).__module__.partition(".")[0]] if not type(domain).__module__.startswith("arbitrank.") else []
    )
    return {**{name: _version(name) for name in _LIBRARIES}, **{name: _sources(name) for name in (*_SOURCES, *modules)}}


@cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


@cache
def _sources(package: str) -> str:
    """The digest of a package's Python files, or of a module's own."""
    found = hashlib.sha256()
    module = importlib.import_module(package)
    folders = sorted(map(Path, getattr(module, "__path__", ())))
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    for path in files or [Path(module.__file__ or "")]:
        if path.is_file():
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()
