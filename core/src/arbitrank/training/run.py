"""A run: every domain's task is made, trained by a backend, and what comes of it published, one domain at a time.

The process that calls this prepares the data, and alone writes to the store; a key to sign with never leaves it. What
was published stays, whatever becomes of the run: to run again trains what is left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from arbitrank.domain import Settings
from arbitrank.errors import ArbitrankError, ArtifactError, InputError
from arbitrank.store.artifact import read_manifest, replaceable
from arbitrank.store.signing import sign
from arbitrank.store.store import Store
from arbitrank.training.build import Split
from arbitrank.training.datasets import COMMON, Reading, is_partitioned, prepare, unread
from arbitrank.training.locations import files
from arbitrank.training.pool import Limits, run_all
from arbitrank.training.task import ARTIFACT, Outcome, Task
from arbitrank.training.workdir import scratch
from arbitrank.training.worker import Event

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Tell = Callable[[Event], None]
_DEFAULTS, _UNLIMITED = Settings(), Limits()


class Backend(Protocol):
    """Where tasks are run. Gives every task's outcome as it ends; an artifact is then in the task's folder here."""

    def __call__(self, tasks: Sequence[Task], *, temporary: Path, limits: Limits, tell: Tell) -> Generator[Outcome]:
        """Train; to close the generator is to end what is under way."""


@dataclass(frozen=True)
class Run:
    """What is to be done with every domain alike.

    `data` are the examples for all, None has each use its own. `force` trains where nothing changed; `warm` begins from
    the weights that serve. Published is to `store`, as `candidate` or with `promote` as `stable`; with `out`, the
    artifact of the only domain is put there instead. `logs` is the folder for a log of each domain, `root` the one for
    what is written on the way. `factory` is that of `Task`.
    """

    store: Store
    settings: Settings = _DEFAULTS
    data: Reading | None = None
    split: Split = "words"
    force: bool = False
    warm: bool = False
    promote: bool = False
    key: Ed25519PrivateKey | None = None
    out: Path | None = None
    logs: Path | None = None
    root: Path | None = None
    limits: Limits = _UNLIMITED
    factory: str | None = None


def local(jobs: int) -> Backend:
    """The backend of this machine: `jobs` processes that compute at a time."""
    return partial(run_all, jobs=jobs)


def retrain(
    run: Run,
    domains: Sequence[str],
    backend: Backend,
    *,
    known: Sequence[str] = (),
    tell: Tell = lambda event: None,
    note: Callable[[str], None] = lambda text: None,
) -> Generator[Outcome]:
    """The outcome of every domain, as it ends. `known` are further domains that truths in the data may name.

    `note` is told what people should know of the data. Raises `DataError` where the data cannot be read, `InputError`
    where nothing can be written to one of the folders that `run` names; nothing has begun then.
    """
    if run.out and not replaceable(run.out):
        raise InputError(f"{run.out}: holds something else, promised a new or empty folder or an artifact to replace")
    for option, wanted in (("--out", run.out and run.out.parent), ("--log-dir", run.logs)):
        if wanted:
            _check_folder(option, wanted)
    with scratch(run.root) as folder:
        temporary = folder / "tmp"
        temporary.mkdir()
        tasks = {task.domain: task for task in _tasks(run, domains, folder, known, note)}
        with closing(backend(list(tasks.values()), temporary=temporary, limits=run.limits, tell=tell)) as outcomes:
            for outcome in outcomes:
                task = tasks[outcome.domain]
                yield _kept(run, task, outcome)
                shutil.rmtree(task.folder, ignore_errors=True)


def _check_folder(option: str, folder: Path) -> None:
    """Raise `InputError` where a folder is neither there nor can be made."""
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.exists(one))
    if not there.is_dir():
        raise InputError(f"{option} {folder}: {there} is no folder; promised one, or where one can be made")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{option} {folder}: {there} is not to be written to; promised a folder that is")


def _tasks(
    run: Run, domains: Sequence[str], folder: Path, known: Sequence[str], note: Callable[[str], None]
) -> Iterator[Task]:
    folders = {name: folder / f"{number}-{name}" for number, name in enumerate(domains)}
    for one in folders.values():
        one.mkdir()
    data, sizes = _data(run, folders, folder, known, note)
    for name, own in folders.items():
        yield Task(
            domain=name,
            folder=str(own),
            factory=run.factory,
            data=data.get(name),
            settings=_deciding(run.settings),
            split=run.split,
            base=_base(run.store, name, note),
            warm=run.warm,
            known={} if run.force or run.out else _made(run.store, name),
            size=sizes.get(name, 0),
            log=str(run.logs / f"{name}.log") if run.logs else None,
        )


def _data(
    run: Run, folders: Mapping[str, Path], scratch: Path, known: Sequence[str], note: Callable[[str], None]
) -> tuple[dict[str, str | Reading], dict[str, int]]:
    """Where each domain's examples are, and how much of them there is."""
    if run.data is None:
        return {}, {}
    names = list(folders)
    if is_partitioned(run.data.location):
        sizes, found = dict.fromkeys(names, 0), files(run.data.location)
        for text in unread(run.data.location, found, (*known, *names)):
            note(text)
        for one in found:
            for name in names if one.domain is None else [one.domain] if one.domain in sizes else []:
                sizes[name] += one.size
        return dict.fromkeys(names, run.data), sizes
    common = scratch / "examples"
    paths = {name: own / "examples" for name, own in folders.items()}
    read = prepare(run.data, names, paths, known=known, common=common)
    for text in read.notes():
        note(text)
    chosen = {name: common if read.examples[COMMON] else path for name, path in paths.items()}
    return {name: str(path) for name, path in chosen.items()}, {n: p.stat().st_size for n, p in chosen.items()}


def _deciding(settings: Settings) -> dict[str, Any]:
    """The settings that decide what comes out."""
    others = ("warm", "jobs", "progress", "figures", "spread")
    return {name: getattr(settings, name) for name in Settings.__dataclass_fields__ if name not in others}


def _base(store: Store, name: str, note: Callable[[str], None]) -> str | None:
    """The artifact that serves. One that is damaged must not keep its domain from being trained anew."""
    try:
        base = store.stable(name)
    except ArtifactError as error:
        note(f"{error}; training goes on without it")
        return None
    return str(base) if base else None


def _made(store: Store, name: str) -> dict[str, str]:
    """What the versions that wait or serve were made of."""
    _, state = store.state(name)
    found = {}
    for version in filter(None, (state.stable, state.candidate)):
        try:
            manifest = read_manifest(store.fetch(name, version))
        except ArtifactError:  # it is damaged, and what is trained anew takes its place
            continue
        if manifest.made_of is not msgspec.UNSET:
            found[manifest.made_of] = version
    return found


def _kept(run: Run, task: Task, outcome: Outcome) -> Outcome:
    """The outcome once its artifact is where it belongs."""
    artifact = Path(task.folder) / ARTIFACT
    try:
        if outcome.kind == "unchanged" and run.promote and outcome.version is not None:
            run.store.promote(task.domain, outcome.version)
        if outcome.kind != "built":
            return outcome
        if run.key:
            sign(artifact, run.key)
        if run.out is None:
            run.store.publish(artifact, promote=run.promote)
            return msgspec.structs.replace(outcome, kind="published")
        if run.out.exists():
            shutil.rmtree(run.out)
        run.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(artifact, run.out)
    except (ArbitrankError, OSError) as error:
        return msgspec.structs.replace(outcome, kind="failed", reason=f"not published: {error}")
    return outcome
