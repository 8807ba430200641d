"""Domain whose code runs in an environment of its own: its facts as recorded, its model in that environment's workers.

Nothing of the plugin is imported here. A release's workers are started when a model is loaded, and end when neither a
model nor a domain of the release is referred to any more.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arbitrank.arbitration.dispatch import HostedModel
from arbitrank.arbitration.hosted_domain import HostedDomain, SelfTest
from arbitrank.domain import Settings, Skill
from arbitrank.environments.folders import Lease, Release, lease
from arbitrank.errors import DataError, InputError, PluginError
from arbitrank.isolation.box import box_of
from arbitrank.isolation.groups import Isolation
from arbitrank.isolation.messages import DomainStated, ExamplesWritten, Hello, Train, Trained, WriteExamples, encode
from arbitrank.isolation.worker_pair import WorkerPair
from arbitrank.isolation.worker_process import WorkerEnded, WorkerProcess
from arbitrank.isolation.worker_tasks import read_examples, settings_map, write_examples
from arbitrank.packages import CORE
from arbitrank.training_environment import TrainingEnvironment, check_code
from arbitrank.values import Example

__all__ = ["ReleaseDomain", "ReleaseHost", "greeted"]

_EXAMPLES = 600.0  # seconds in which a domain has to write its examples
_TRAINING = 7 * 86_400.0  # seconds that a training may take
_UNLIMITED = 1 << 60  # bytes of address space of a training


_UNHURRIED = Isolation({}, deadline_ms=5_000.0)
"""Limits where nobody waits for a service's answer: a measurement on a busy machine has the same figures."""


class ReleaseHost:
    """The workers of one release in this process, started when the first model is loaded into them.

    `settings` are their limits, which may be set until then.
    """

    def __init__(self, release: Release, settings: Isolation = _UNHURRIED) -> None:
        self.release, self.settings = release, settings
        self._lock = threading.Lock()
        self._pair: WorkerPair | None = None
        self._lease: Lease | None = None

    def load(
        self, domain: str, folder: Path, scales: Mapping[str, str], test: SelfTest | None = None, standby: bool = True
    ) -> HostedModel:
        """A domain's model in the workers. Raises `PluginError` where it cannot be loaded there, or fails the test."""
        model = self.pair().load(domain, folder, scales, test, standby)
        model.keeper = self  # the workers live as long as one of their models
        return model

    def pair(self) -> WorkerPair:
        """The pair of workers. Raises `InputError` where the release is gone."""
        with self._lock:
            if self._pair is None:
                self._lease = lease(self.release)
                name, limits = str(self.release), self.settings
                domains = {one.name for one in self.release.recorded().hello.domains}
                self._pair = WorkerPair(
                    name,
                    limits.deadline_ms / 1e3,
                    limits.memory_mb << 20,
                    limits.loading_s,
                    self.release.interpreter,
                    box_of(domains, [self.release.folder]),
                )
                weakref.finalize(self, _end, self._pair, self._lease)
            return self._pair

    @property
    def measures(self) -> dict[str, str | None]:
        """Measures of the workers' box, each with the reason why it is missing, if so; none without a box."""
        return {} if self._pair is None else dict(self._pair.measures)

    @property
    def started(self) -> bool:
        """True once a model was loaded."""
        return self._pair is not None


def _end(pair: WorkerPair, held: Lease) -> None:
    # In a thread: what refers to a host last may be a request's thread, which must not wait for processes to end.
    def close() -> None:
        pair.close()
        held.close()

    threading.Thread(target=close, name=f"arbitrank end of {pair.name}", daemon=True).start()


class ReleaseDomain(HostedDomain):
    """A domain of a release; everything that it does happens in the release's environment."""

    def __init__(self, facts: DomainStated, host: ReleaseHost) -> None:
        self.facts, self.host = facts, host
        self.name = facts.name
        self.title = facts.title
        self.intent_titles: Mapping[str, str] = facts.intent_titles
        self.feature_titles: Mapping[str, str] = facts.feature_titles
        self.scales: Mapping[str, str] = facts.scales
        self.context_keys: Collection[str] | None = facts.context_keys
        self.fallback = facts.fallback
        self.topics = facts.topics
        self.shared_negatives = facts.shared_negatives
        self.loadable_by = facts.loadable_by

    @property
    def release(self) -> Release:
        """The release whose code this is."""
        return self.host.release

    @property
    def versions(self) -> str:
        """The release, and the versions of core, Python and the required libraries that it runs with, for display."""
        hello = self.release.recorded().hello
        libraries = "".join(f", {name} {version}" for name, version in sorted(hello.libraries.items()) if name != CORE)
        return f"{self.release.name}: core {hello.core}, Python {hello.python}{libraries}"

    @property
    def skills(self) -> Sequence[Skill]:
        """The domain's skills, as recorded."""
        return tuple(one.skill for one in self.facts.skills)

    @property
    def shipped(self) -> Path | None:
        """The folder of the weights that the release ships."""
        return None if self.facts.shipped is None else self.release.folder / self.facts.shipped

    @property
    def release_name(self) -> str:  # type: ignore[override]
        """The name of the release whose code this is."""
        return self.release.name

    @property
    def environment(self) -> TrainingEnvironment:
        """The package of the release, and what it runs with. Raises `InputError` where its record is gone."""
        recorded = self.release.recorded()
        hello = recorded.hello
        return TrainingEnvironment.of(
            recorded.package, recorded.version, self.loadable_by, hello.core, hello.python, dict(hello.libraries)
        )

    def hosted(
        self, folder: Path, scales: Mapping[str, str], test: SelfTest | None = None, *, standby: bool = True
    ) -> HostedModel:
        """The model of an artifact, in the release's workers.

        Raises `OtherCode` where the artifact is for other versions of the package.
        """
        check_code(folder, self.release.package, self.facts.package_version or self.release.version)
        return self.host.load(self.name, folder, scales, test, standby)

    def examples(self) -> Iterable[Example]:
        """The domain's own data. Raises `PluginError` or `DataError` where there are none."""
        with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
            path = Path(folder) / "examples.jsonl"
            with self._working() as worker:
                worker.send(encode(WriteExamples(self.name, str(path))))
                written = worker.reply(_EXAMPLES, ExamplesWritten, "done with its examples")
            _raise_problem(written)
            return read_examples(path)

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        """The figures of a training in the release's environment, in a process of its own. Raises as `examples`."""
        with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
            data = Path(folder) / "examples.jsonl"
            write_examples(data, examples)
            with self._working() as worker:
                worker.send(encode(Train(self.name, str(data), str(out), settings_map(settings))))
                trained = worker.reply(_TRAINING, Trained, "done with training", settings.progress)
        if trained.extra is not None:
            raise InputError(
                f"domain {self.name}: its environment lacks packages for that ({trained.problem}); run: "
                + self.release.reinstalling(f"arbitrank[{trained.extra}]")
            )
        _raise_problem(trained)
        return trained.figures

    @contextmanager
    def _working(self) -> Iterator[WorkerProcess]:
        """A worker of its own for one long task. Raises `PluginError` where it ends before the task does."""
        held = lease(self.release)
        worker = WorkerProcess(_UNLIMITED, self.release.interpreter)
        try:
            worker.wait_until_ready()
            yield worker
        except WorkerEnded as error:
            raise PluginError(f"domain {self.name} ({self.release}): its process {error}") from error
        finally:
            worker.close()
            held.close()


def _raise_problem(reply: ExamplesWritten | Trained) -> None:
    if reply.problem is not None:
        raise (DataError if reply.data else PluginError)(reply.problem)


def greeted(release: Release, memory: int) -> Hello:
    """The greeting of a release's worker. Raises `PluginError` where it does not start, or speaks another protocol."""
    worker = WorkerProcess(memory, release.interpreter)
    try:
        worker.wait_until_ready()
    except WorkerEnded as error:
        raise PluginError(f"{release.package}: its process {error}") from error
    finally:
        worker.close()
    assert worker.hello is not None
    return worker.hello
