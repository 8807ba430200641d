"""A training run: tasks of all domains are made, trained by a backend and published, each as it ends.

The calling process prepares the data and alone writes to the store; a signing key never leaves it. Published versions
stay if the run is interrupted: running again trains the rest.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arbitrank.configuration import StatedScales
from arbitrank.context_keys import NamedKeys, named_for
from arbitrank.domain import Settings
from arbitrank.errors import ArbitrankError, ArtifactError, InputError
from arbitrank.store.artifact import read_card, read_manifest, replaceable, unproven
from arbitrank.store.loading import with_stored
from arbitrank.store.signing import sign
from arbitrank.store.store import Store
from arbitrank.training.backends import TrainingBackend
from arbitrank.training.build import Split
from arbitrank.training.datasets import Dataset, is_partitioned, prepare, unread
from arbitrank.training.locations import files
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.pool import TrainingLimits
from arbitrank.training.read_report import COMMON, ReadReport
from arbitrank.training.task import ARTIFACT, TrainingTask
from arbitrank.training.workdir import working_folder
from arbitrank.training.worker import Tell

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class TrainingRun:
    """Settings of a run that all domains share.

    `data`: the examples for all; None has each use its own. `force`: train unchanged domains too. `warm`: start
    from the weights that serve. `context_keys`: keys to read beside those of the settings, by domain. Publishes to
    `store`, as `candidate` or with `promote` as `stable`; with `out`, the artifact of the only domain is put there
    instead. `logs`: folder of a log of each domain. `root`: folder of working files. `factory`: as in
    `TrainingTask`. `selftest`: the problem of a version that is in the store, before `promote` makes it stable; what is
    trained has been tested in training. `scales`: of the domains' scores, as the operator states them.
    `negatives`: add shared ones to every domain's data, or none; None as each states.
    """

    store: Store
    settings: Settings = field(default=Settings())
    data: Dataset | None = None
    split: Split = "words"
    force: bool = False
    warm: bool = False
    promote: bool = False
    key: Ed25519PrivateKey | None = None
    out: Path | None = None
    logs: Path | None = None
    root: Path | None = None
    limits: TrainingLimits = field(default=TrainingLimits())
    context_keys: NamedKeys = field(default_factory=dict)
    factory: str | None = None
    selftest: Callable[[Path, str, Mapping[str, str]], str | None] | None = None
    scales: StatedScales = field(default_factory=dict)
    negatives: bool | None = None


def train_domains(
    run: TrainingRun,
    domains: Sequence[str],
    backend: TrainingBackend,
    *,
    known: Sequence[str] = (),
    keys: Collection[str] | None = None,
    tell: Tell = lambda event: None,
    note: Callable[[str], None] = lambda text: None,
) -> Generator[TrainingOutcome]:
    """The outcome of every domain, as it ends. `known`: further domains that truths in the data may name.

    `keys`: the context keys that the installed domains read, None where that is unknown. `note` receives remarks on
    the data. Raises, before anything starts, `DataError` where the data cannot be read and `InputError` where one
    of the folders of `run` cannot be written to.
    """
    if run.out and not replaceable(run.out):
        raise InputError(f"{run.out}: holds something else, expected a new or empty folder or an artifact to replace")
    for option, wanted in (("--out", run.out and run.out.parent), ("--log-dir", run.logs)):
        if wanted:
            _check_folder(option, wanted)
    with working_folder(run.root) as folder:
        temporary = folder / "tmp"
        temporary.mkdir()
        tasks = {task.domain: task for task in _tasks(run, domains, folder, known, keys, note)}
        with closing(backend(list(tasks.values()), temporary=temporary, limits=run.limits, tell=tell)) as outcomes:
            for outcome in outcomes:
                task = tasks[outcome.domain]
                yield _published(run, task, outcome)
                shutil.rmtree(task.folder, ignore_errors=True)


def _check_folder(option: str, folder: Path) -> None:
    """Raise `InputError` where a folder neither exists nor can be made."""
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.exists(one))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        fault = "not writable" if there.is_dir() else "no folder"
        raise InputError(f"{option} {folder}: {there} is {fault}, expected a writable folder or a place for a new one")


def _tasks(
    run: TrainingRun,
    domains: Sequence[str],
    folder: Path,
    known: Sequence[str],
    keys: Collection[str] | None,
    note: Callable[[str], None],
) -> Iterator[TrainingTask]:
    folders = {name: folder / f"{number}-{name}" for number, name in enumerate(domains)}
    for one in folders.values():
        one.mkdir()
    named = {name: (*run.settings.context_keys, *named_for(name, run.context_keys)) for name in domains}
    data, sizes, silent = _data(
        run, folders, folder, known, note, lambda read: read.contexts.remarks(keys, _each(named))
    )
    scales = with_stored(run.scales, run.store)
    determining = [one.name for one in fields(Settings) if one.compare and one.name != "warm"]
    for name, own in folders.items():
        made, alone = ({}, {}) if run.force or run.out else _fingerprints(run.store, name)
        yield TrainingTask(
            domain=name,
            folder=str(own),
            factory=run.factory,
            data=data.get(name),
            settings={**{key: getattr(run.settings, key) for key in determining}, "context_keys": named[name]},
            split=run.split,
            base=_base(run.store, name, note),
            warm=run.warm,
            known=made,
            alone=alone,
            scales=dict(scales.get(name, {})),
            size=sizes.get(name, 0),
            silent=silent.get(name, 0),
            negatives=run.negatives,
            again=run.force or run.out is not None,
            log=str(run.logs / f"{name}.log") if run.logs else None,
        )


def _each(named: Mapping[str, Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(key for keys in named.values() for key in keys))


def _data(
    run: TrainingRun,
    folders: Mapping[str, Path],
    scratch: Path,
    known: Sequence[str],
    note: Callable[[str], None],
    remarks: Callable[[ReadReport], Sequence[str]],
) -> tuple[dict[str, str | Dataset], dict[str, int], dict[str, int]]:
    """The data of each domain, its size in bytes, and its silent requests where they are counted here."""
    if run.data is None:
        return {}, {}, {}
    names = list(folders)
    if is_partitioned(run.data.location):
        sizes, found = dict.fromkeys(names, 0), files(run.data.location)
        for text in unread(run.data.location, found, {*known, *names}):
            note(text)
        for one in found:
            for name in names if one.domain is None else [one.domain] if one.domain in sizes else []:
                sizes[name] += one.size
        return dict.fromkeys(names, run.data), sizes, {}
    common = scratch / "examples"
    paths = {name: own / "examples" for name, own in folders.items()}
    read = prepare(run.data, names, paths, known=known, common=common)
    for text in (*read.notes(), *remarks(read)):
        note(text)
    chosen = {name: common if read.examples[COMMON] else path for name, path in paths.items()}
    sizes = {name: path.stat().st_size for name, path in chosen.items()}
    return {name: str(path) for name, path in chosen.items()}, sizes, dict(read.silent)


def _base(store: Store, name: str, note: Callable[[str], None]) -> str | None:
    """The artifact that serves. A damaged one does not keep its domain from being trained."""
    try:
        base = store.stable(name)
    except ArtifactError as error:
        note(f"{error}; training goes on without it")
        return None
    return str(base) if base else None


def _fingerprints(store: Store, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """The stable and the candidate version, by the fingerprints that they were made of, and why some may not serve."""
    _, state = store.state(name)
    found, alone = {}, {}
    for version in filter(None, (state.stable, state.candidate)):
        with suppress(ArtifactError):  # damaged: the new version replaces it
            folder = store.fetch(name, version)
            manifest = read_manifest(folder)
            if manifest.made_of is not msgspec.UNSET:
                found[manifest.made_of] = version
                if reason := unproven(name, read_card(folder)):
                    alone[version] = reason
    return found, alone


def _published(run: TrainingRun, task: TrainingTask, outcome: TrainingOutcome) -> TrainingOutcome:
    """Publish or move the artifact of an outcome; the outcome after that."""
    artifact = Path(task.folder) / ARTIFACT
    try:
        promoted = run.promote and not outcome.unproven
        refused = f"{outcome.version} is a candidate, and --promote refuses it: {outcome.unproven}"
        if outcome.kind == "unchanged" and run.promote and outcome.version is not None:
            if reason := _problem(run, task, outcome.version) if promoted else refused:
                return msgspec.structs.replace(outcome, kind="refused", reason=reason)
            run.store.promote(task.domain, outcome.version)
        if outcome.kind != "built":
            return outcome
        if run.key:
            sign(artifact, run.key)
        if run.out is None:
            run.store.publish(artifact, promote=promoted)
            if run.promote and not promoted:
                return msgspec.structs.replace(outcome, kind="refused", reason=refused)
            return msgspec.structs.replace(outcome, kind="published")
        if run.out.exists():
            shutil.rmtree(run.out)
        run.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(artifact, run.out)
    except (ArbitrankError, OSError) as error:
        return msgspec.structs.replace(outcome, kind="failed", reason=f"not published: {error}")
    return outcome


def _problem(run: TrainingRun, task: TrainingTask, version: str) -> str | None:
    """The reason why a version of the store may not become stable, None where its self-test passes."""
    if run.selftest is None or run.factory is not None:
        return None
    with run.store.checked_out(task.domain, version) as folder:
        problem = run.selftest(folder, task.domain, task.scales)
    if problem is None:
        return None
    return f"{version}: its self-test refuses it: {problem}; run: arbitrank check {task.domain}"
