"""Subject of checks: a domain with what is known of its package, and what its own code gives, each computed once."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from arbitrank.domain import Domain, Model, Settings
from arbitrank.errors import PluginError
from arbitrank.guard import Fault, guarded
from arbitrank.packages import Package
from arbitrank.plugin_hooks import stated
from arbitrank.registry import Found, Loaded
from arbitrank.store.artifact import read_manifest
from arbitrank.store.loading import load_model
from arbitrank.store.private_copies import new_folder
from arbitrank.training.plugin_calls import loaded, own_examples, trained
from arbitrank.training.shared_negatives import AddedNegatives, added_negatives
from arbitrank.values import Example

Barred = Literal["examples", "training", "answers"]
"""A part of a domain's code that did not end in time, so that it is not called again."""

SAMPLE = 240
"""Examples of the data set on which training is tried."""


class StableWeights(msgspec.Struct, frozen=True):
    """The weights of a domain that are stable in a store: their folder, verified, their version, and the store."""

    folder: str
    version: str
    store: str

    def __str__(self) -> str:
        return f"{self.version}, stable in {self.store}"


@dataclass(eq=False)
class Subject:
    """A domain to check. `found` and `package` are of the entry point that it came from, None for a domain in Python.

    `several`: its entry point has more domains. `trains`: its model may be trained on a sample of its examples where it
    ships none. `pace`: seconds that its model takes to answer, where that was measured. `barred` is not called any
    more. `stable` weights are those that it answers with, in place of the shipped ones.
    """

    domain: Domain
    found: Found | None = None
    package: Package | None = None
    several: bool = False
    trains: bool = False
    pace: float | None = None
    barred: frozenset[Barred] = frozenset()
    stable: StableWeights | None = None

    @classmethod
    def of(cls, domain: Domain) -> Subject:
        """The subject of a domain, the same one for equal domains: of one class, name and shipped folder."""
        return _subject(type(domain), f"{domain.name} {domain.shipped}", _Same(domain))

    @property
    def name(self) -> str:
        """The domain's name."""
        return self.domain.name

    @cached_property
    def shipped(self) -> Path | None:
        """The folder of the shipped weights; None where there is none, or it is stated wrongly."""
        found = guarded(stated, self.domain, "shipped")
        return found if isinstance(found, Path) and found.is_dir() else None

    @property
    def weights(self) -> Path | None:
        """The folder of the weights that it answers with: stable ones, else those that it ships; None without any."""
        return self.shipped if self.stable is None else Path(self.stable.folder)

    @property
    def training(self) -> str:
        """The command that trains these weights again."""
        if self.stable is not None:
            return f"run: arbitrank train {self.name} --promote --store {self.stable.store}"
        return self.training_shipped

    @property
    def training_shipped(self) -> str:
        """The command that trains the shipped weights again, in the source of a package that was built."""
        site = (
            next((one for one in self.shipped.parents if any(one.glob("*.dist-info"))), None) if self.shipped else None
        )
        if site is None or self.shipped is None:
            return f"run: arbitrank train {self.name} --out {self.shipped}"
        folder = self.shipped.relative_to(site).as_posix()
        return f"in the package's source, run: arbitrank train {self.name} --out FOLDER, its {folder}; build it again"

    @property
    def checked(self) -> str:
        """The weights that are checked, named by their version and where they are from."""
        if self.stable is not None:
            return str(self.stable)
        if self.shipped is None:
            return "none stable, none shipped: trained on a sample"
        manifest = guarded(read_manifest, self.shipped)
        return f"{'unreadable' if isinstance(manifest, Fault) else manifest.version}, shipped"

    @cached_property
    def phrases(self) -> list[str]:
        """The sample phrases of its skills; none where they are stated wrongly."""
        found = guarded(lambda: [str(phrase) for skill in stated(self.domain, "skills") for phrase in skill.phrases])
        return [] if isinstance(found, Fault) else found

    @property
    def where(self) -> str:
        """The module of the domain's class."""
        return type(self.domain).__module__

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Remarks of discovery."""
        return self.found.notes if isinstance(self.found, Loaded) else ()

    @cached_property
    def _examples(self) -> list[Example] | Fault:
        return guarded(lambda: own_examples(self.domain)[0])

    @property
    def examples(self) -> list[Example]:
        """The domain's own examples. Raises as `own_examples` does, each time what it raised at first."""
        if "examples" in self.barred:
            raise PluginError("examples() did not end before")
        return _value(self._examples)

    @cached_property
    def negatives(self) -> AddedNegatives:
        """The shared negatives that training adds to the examples. Raises as `own_examples` does."""
        return added_negatives(self.domain, self.examples)

    @property
    def training_examples(self) -> list[Example]:
        """The examples as training gets them. Raises as `own_examples` does."""
        return [*self.examples, *self.negatives.examples]

    @cached_property
    def sample(self) -> list[Example]:
        """Some of the examples of training, in turns of each owner and intent, in their order."""
        groups: defaultdict[Any, deque[int]] = defaultdict(deque)
        examples = self.training_examples
        for i, example in enumerate(examples):
            groups[example.truth.domain, example.truth.intent].append(i)
        chosen: list[int] = []
        while groups and len(chosen) < SAMPLE:
            for key in list(groups):
                chosen.append(groups[key].popleft())
                if not groups[key]:
                    del groups[key]
        return [examples[i] for i in sorted(chosen[:SAMPLE])]

    def trained(self, examples: Sequence[Example], seed: int = 0) -> tuple[Path, Any]:
        """A folder with what `train` writes for some examples, and its figures. Raises as `trained` does."""
        out = new_folder()
        seen = [example.seen_by(self.name) for example in examples]
        with one_thread():
            return out, trained(self.domain, seen, out, Settings(seed=seed))

    @cached_property
    def _artifact(self) -> tuple[Path, Any] | Fault:
        return guarded(lambda: self.trained(self.sample))

    @property
    def artifact(self) -> tuple[Path, Any]:
        """The folder that `train` writes for the sample, and its figures. Raises what training raised at first."""
        if "training" in self.barred:
            raise PluginError("train() or load() did not end before")
        return _value(self._artifact)

    @cached_property
    def folder(self) -> Path | None:
        """The folder to load: of its weights, else of those of the sample; None where there is neither."""
        if self.weights is not None:
            return self.weights
        found = guarded(lambda: self.artifact[0]) if self.trains else None
        return None if isinstance(found, Fault) else found

    @cached_property
    def model(self) -> Model | None:
        """The model of `folder`; None where there is none, which the checks of training and of shipped weights find."""
        if "answers" in self.barred:
            return None
        found = guarded(lambda: None if self.folder is None else self.load(self.folder))
        return None if isinstance(found, Fault) else found

    def load(self, folder: Path) -> Model:
        """A model loaded from a folder, which reads the domain's scales."""
        loaded(self.domain, folder)
        return load_model(self.domain, folder)


T = TypeVar("T")


def _value(found: T | Fault) -> T:
    if isinstance(found, Fault):
        raise found.error
    return found


def one_thread() -> AbstractContextManager[object]:
    """A block in which numerical libraries use one thread, as in training: sums in another order give other weights.

    Without threadpoolctl, which the extra `train` brings, there is no limit.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limited: AbstractContextManager[object] = threadpool_limits(1)
    return limited


class _Same:
    """A domain that counts as equal to others of its class and name, for the cache."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=2)
def _subject(kind: Callable[..., Domain], name: str, one: _Same) -> Subject:
    return Subject(one.domain)
