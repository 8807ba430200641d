"""Weights of a new distribution, trained from its own data in the folder where it is being made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from pathlib import Path

from arbitrank.domain import Domain, Settings
from arbitrank.scaffold.names import DomainNames
from arbitrank.testing import CHECKS, CheckFailed
from arbitrank.training.build import BuiltArtifact, build
from arbitrank.training.scored_examples import DomainScales, read_example
from arbitrank.training.shared_negatives import added_negatives

__all__ = ["imported", "train_shipped", "unfulfilled"]

VERSION = "0.1.0"
"""The version of a new distribution."""


@contextmanager
def imported(names: DomainNames, folder: Path) -> Iterator[Domain]:
    """The domain of a distribution in a folder, imported from there, and forgotten at the end."""
    source, wrote = str(folder / "src"), sys.dont_write_bytecode
    sys.path.insert(0, source)
    sys.dont_write_bytecode = True
    try:
        invalidate_caches()
        (domain,) = import_module(f"{names.package}.plugin").arbitrank_domains()
        yield domain
    finally:
        sys.dont_write_bytecode = wrote
        sys.path.remove(source)
        for module in [name for name in sys.modules if name.partition(".")[0] == names.package]:
            del sys.modules[module]


def train_shipped(domain: Domain, names: DomainNames, settings: Settings) -> tuple[BuiltArtifact, tuple[str, ...]]:
    """Train the domain on its own examples, into the folder that ships with its package; and remarks on the data."""
    scales = DomainScales.of(domain, {})
    examples = [read_example(example, scales) for example in domain.examples()]
    added = added_negatives(domain, examples)
    assert domain.shipped is not None, "templates ship weights"
    built = build(
        domain,
        (names.distribution, VERSION),
        [*examples, *added.examples],
        domain.shipped,
        settings,
        scales=scales,
        negatives=added.used,
    )
    return built, added.notes


def unfulfilled(domain: Domain) -> dict[str, str]:
    """The guarantees of the suite that the domain does not fulfil, by the check's name, with the reason."""
    found = {}
    for check in CHECKS:
        try:
            check(domain)
        except CheckFailed as failed:
            found[check.__name__] = str(failed)
    return found
