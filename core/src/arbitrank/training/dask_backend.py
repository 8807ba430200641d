"""The same tasks on a Dask cluster: what a domain is to learn from goes there, an artifact comes back.

A task runs in a process of its own there as here, so that it gives the same version, has the same limits, and takes no
worker of the cluster with it. Workers need arbitrank and the plugins, but no folder in common and no access to the
store. What is exchanged is MessagePack; the frames around it are Dask's, which trusts whoever reaches its scheduler.

Tasks are handed to Dask one by one, as joblib's backend for it does, but their outcomes are told apart: joblib gives up
all tasks where one is lost.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.errors import InputError
from arbitrank.training.pool import Limits, Stopped, run_all
from arbitrank.training.run import Backend, Tell
from arbitrank.training.task import ARTIFACT, DATA, Outcome, Task
from arbitrank.training.workdir import scratch
from arbitrank.training.worker import Event

_TOPIC = "arbitrank-training"
_BASE = "base"
_LOG = "log"
_LARGE = 1 << 31  # bytes of a task from which on Dask is to warn that it passes through the scheduler


class Parcel(msgspec.Struct, frozen=True):
    """A task and the files that it needs, or its outcome and the files that came of it; by paths inside its folder."""

    about: Task | Outcome
    files: dict[str, bytes]
    limits: Limits = Limits()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Parcel).decode


def dask(scheduler: str, *, patience: float = 30.0, partitioned: bool = False) -> Backend:
    """The backend of the cluster at an address, or in the file that names one; `patience`: seconds it has to answer.

    With `partitioned` each domain is trained over all of the cluster, one after another.
    """
    if partitioned:
        from arbitrank.training.distributed import train_all

        return partial(train_all, scheduler=scheduler, patience=patience)
    return partial(_run_all, scheduler=scheduler, patience=patience)


def _run_all(
    tasks: Sequence[Task], *, temporary: Path, limits: Limits, tell: Tell, scheduler: str, patience: float
) -> Generator[Outcome]:
    with client_of(scheduler, patience) as client, _telling(client, tell):
        from distributed import as_completed

        largest = sorted(tasks, key=lambda task: (-task.size, task.domain))
        # The scheduler keeps what a task needs, so that one whose worker is gone begins anew on another.
        futures = {client.submit(train_here, _packed(task, limits), pure=False): task for task in largest}
        try:
            for future in as_completed(list(futures)):
                yield _outcome(futures[future], future)
        finally:
            client.cancel(list(futures), force=True)


@contextmanager
def client_of(scheduler: str, patience: float) -> Iterator[Any]:
    """A client of a running cluster. Raises `InputError` where Dask is absent or the cluster does not answer."""
    try:
        import dask as dask_
        from distributed import Client
    except ImportError as error:
        raise InputError("--backend dask: needs the package distributed; run: pip install 'arbitrank[dask]'") from error
    named = {"scheduler_file": scheduler} if scheduler.endswith(".json") else {"address": scheduler}
    with dask_.config.set({"distributed.admin.large-graph-warning-threshold": _LARGE}):
        try:
            client = Client(**named, timeout=patience)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"--scheduler {scheduler}: no answer: {error}; promised a running Dask scheduler"
            ) from error
        with client, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield client


def train_here(parcel: bytes) -> bytes:
    """On a worker of the cluster: train in a process of its own, and give what came of it."""
    from distributed import get_worker

    # Dask's workers are daemons, which Python lets have no children; those here end with their parent by themselves.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    worker = get_worker()
    key = worker.get_current_task()

    def cancelled() -> bool:
        """Whether nobody waits for it any more: it was interrupted, or its client is gone."""
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    def tell(event: Event) -> None:
        worker.log_event(_TOPIC, msgspec.to_builtins(event))

    given = _decode(parcel)
    assert isinstance(given.about, Task)
    with scratch() as folder:
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
        outcome = Outcome(domain=task.domain, kind="killed", reason="nobody waited for it any more")
        with suppress(Stopped):
            alone = run_all([task], jobs=1, temporary=folder / "tmp", limits=given.limits, tell=tell, stopped=cancelled)
            with closing(alone) as outcomes:
                outcome = next(outcomes)
        files = pack(own / ARTIFACT, ARTIFACT) if outcome.kind == "built" else {}
        log = folder / _LOG
        return _encode(Parcel(outcome, {**files, **({_LOG: log.read_bytes()} if log.is_file() else {})}))


def _packed(task: Task, limits: Limits) -> bytes:
    files = {}
    if isinstance(task.data, str):
        data = Path(task.data)
        files = {DATA: data.read_bytes(), f"{DATA}.places.npy": data.with_name(f"{data.name}.places.npy").read_bytes()}
    if task.base:
        files |= pack(Path(task.base), _BASE)
    return _encode(Parcel(task, files, limits))


def _outcome(task: Task, future: Any) -> Outcome:
    """What became of a task, its artifact and its log being put where they belong."""
    if future.status != "finished":
        error = future.exception() if future.status == "error" else "it was cancelled"
        reason = f"lost by the cluster: {type(error).__name__}: {error}"
        return Outcome(domain=task.domain, kind="killed", reason=reason)
    parcel = _decode(future.result())
    assert isinstance(parcel.about, Outcome)
    unpack({path: content for path, content in parcel.files.items() if path != _LOG}, Path(task.folder))
    if task.log and _LOG in parcel.files:
        Path(task.log).parent.mkdir(parents=True, exist_ok=True)
        Path(task.log).write_bytes(parcel.files[_LOG])
    return msgspec.structs.replace(parcel.about, log=task.log)


@contextmanager
def _telling(client: Any, tell: Tell) -> Iterator[None]:
    """Hear what the tasks say of themselves."""

    def heard(event: tuple[Any, Mapping[str, Any]]) -> None:
        tell(msgspec.convert(dict(event[1]), Event))

    client.subscribe_topic(_TOPIC, heard)
    try:
        yield
    finally:
        client.unsubscribe_topic(_TOPIC)


def pack(folder: Path, name: str) -> dict[str, bytes]:
    """The files of a folder, by their paths in it under another name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files under a folder. Raises `ValueError` where one would lie outside it."""
    for path, content in files.items():
        target = (folder / path).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise ValueError(f"{path}: climbs out of the folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
