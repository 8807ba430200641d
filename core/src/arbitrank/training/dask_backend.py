"""Tasks on a Dask cluster: a domain's data go there, an artifact comes back.

A task runs in a process of its own there as here, so that it gives the same version, has the same limits, and cannot
take a worker of the cluster down. Workers need arbitrank and the plugins, but no shared folder and no access to the
store. Messages are MessagePack inside Dask's frames; Dask trusts whoever reaches its scheduler.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.extras import required
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.pool import TrainingLimits, run_all
from arbitrank.training.task import ARTIFACT, DATA, TrainingTask
from arbitrank.training.workdir import working_folder
from arbitrank.training.worker import Event, Tell

_TOPIC = "arbitrank-training"
_BASE = "base"
_LOG = "log"
_LARGE = 1 << 31  # bytes of a task above which Dask warns


class Parcel(msgspec.Struct, frozen=True):
    """A task with the files it needs, or an outcome with its files, by their paths inside the task's folder."""

    about: TrainingTask | TrainingOutcome
    files: dict[str, bytes]
    limits: TrainingLimits = TrainingLimits()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Parcel).decode


def train_on_cluster(
    tasks: Sequence[TrainingTask],
    *,
    temporary: Path,
    limits: TrainingLimits,
    tell: Tell,
    scheduler: str,
    patience: float,
) -> Generator[TrainingOutcome]:
    """The outcome of every task as it ends, each trained by one worker of the cluster."""
    with client_of(scheduler, patience) as client:
        from distributed import as_completed

        client.subscribe_topic(_TOPIC, lambda event: tell(msgspec.convert(dict(event[1]), Event)))

        largest = sorted(tasks, key=lambda task: (-task.size, task.domain))
        # A future each, so that losing one costs no other; the scheduler keeps its data and starts it again elsewhere.
        futures = {client.submit(train_here, _packed(task, limits), pure=False): task for task in largest}
        try:
            for future in as_completed(list(futures)):
                yield _outcome(futures[future], future)
        finally:
            client.unsubscribe_topic(_TOPIC)
            client.cancel(list(futures), force=True)


@contextmanager
def client_of(scheduler: str, patience: float) -> Iterator[Any]:
    """A client of a running cluster. Raises `InputError` where Dask is absent or the cluster does not answer."""
    with required("--backend dask"):
        import dask as dask_
        from distributed import Client
    named = {"scheduler_file": scheduler} if scheduler.endswith(".json") else {"address": scheduler}
    with dask_.config.set({"distributed.admin.large-graph-warning-threshold": _LARGE}):
        try:
            client = Client(**named, timeout=patience)
        except (OSError, TimeoutError, ValueError) as error:
            why = f"no answer: {error}; expected a running Dask scheduler"
            raise InputError(f"--scheduler {scheduler}: {why}") from error
        with client, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield client


def train_here(parcel: bytes) -> bytes:
    """Train in a child process of a cluster's worker; the outcome and its files."""
    from distributed import get_worker

    # Dask's workers are daemons, which may have no children in Python; these children end with their parent.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    worker = get_worker()
    key = worker.get_current_task()

    def cancelled() -> bool:
        """True once the task was cancelled or its client is gone."""
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    def tell(event: Event) -> None:
        worker.log_event(_TOPIC, msgspec.to_builtins(event))

    given = _decode(parcel)
    assert isinstance(given.about, TrainingTask)
    with working_folder() as folder:
        own = folder / "task"
        unpack(given.files, own)
        (folder / "tmp").mkdir()
        task = msgspec.structs.replace(
            given.about,
            folder=str(own),
            data=str(own / DATA) if DATA in given.files else given.about.data,
            base=str(own / _BASE) if given.about.base else None,
            log=str(folder / _LOG),
        )
        gone = TrainingOutcome(domain=task.domain, kind="killed", reason="its client was gone")
        alone = run_all([task], jobs=1, temporary=folder / "tmp", limits=given.limits, tell=tell, stopped=cancelled)
        with closing(alone) as outcomes:
            outcome = next(outcomes, gone)
        files = pack(own / ARTIFACT, ARTIFACT) if outcome.kind == "built" else {}
        log = folder / _LOG
        return _encode(Parcel(outcome, {**files, **({_LOG: log.read_bytes()} if log.is_file() else {})}))


def _packed(task: TrainingTask, limits: TrainingLimits) -> bytes:
    files = {}
    if isinstance(task.data, str):
        data = Path(task.data)
        files = {DATA: data.read_bytes(), f"{DATA}.places.npy": data.with_name(f"{data.name}.places.npy").read_bytes()}
    if task.base:
        files |= pack(Path(task.base), _BASE)
    return _encode(Parcel(task, files, limits))


def _outcome(task: TrainingTask, future: Any) -> TrainingOutcome:
    """The outcome of a task, its artifact and log written to their places."""
    if future.status != "finished":
        error = future.exception() if future.status == "error" else "it was cancelled"
        reason = f"lost by the cluster: {type(error).__name__}: {error}"
        return TrainingOutcome(domain=task.domain, kind="killed", reason=reason)
    parcel = _decode(future.result())
    assert isinstance(parcel.about, TrainingOutcome)
    unpack({path: content for path, content in parcel.files.items() if path != _LOG}, Path(task.folder))
    if task.log and _LOG in parcel.files:
        Path(task.log).parent.mkdir(parents=True, exist_ok=True)
        Path(task.log).write_bytes(parcel.files[_LOG])
    return msgspec.structs.replace(parcel.about, log=task.log)


def pack(folder: Path, name: str) -> dict[str, bytes]:
    """The files of a folder, by their relative paths below `name`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files under a folder. Raises `ValueError` where one would lie outside it."""
    for path, content in files.items():
        target = (folder / path).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise ValueError(f"{path}: outside the folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
