"""From examples to a sealed artifact: the core keeps some back, the domain trains, the core measures and seals."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from arbitrank import dispatch
from arbitrank.domain import Domain, Model, Settings
from arbitrank.errors import DataError, InputError
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.nlu.text import crc
from arbitrank.semer import entirely_right
from arbitrank.store.artifact import CARD, MANIFEST, Manifest, digest, seal, write_durably
from arbitrank.values import Example

_KEPT_BACK = 10  # one in so many examples is kept back to measure on


@dataclass(frozen=True)
class Built:
    """An artifact that was made: its manifest, its card, and what the domain's training reported."""

    manifest: Manifest
    card: Calibration
    report: Mapping[str, Any]


def build(
    domain: Domain,
    package: tuple[str, str],
    examples: Sequence[Example],
    folder: Path,
    settings: Settings,
    *,
    base: Path | None = None,
) -> Built:
    """Train `domain` and write a sealed artifact into `folder`, which is new, empty or an artifact to replace.

    `package` is the distribution's name and version. `base` is the artifact whose recogniser is kept where training
    gives none. The examples that are kept back are chosen by their words, so that the same utterance is never on both
    sides. Nothing is left in `folder` where training fails.
    """
    if folder.exists() and not _replaceable(folder):
        raise InputError(f"{folder}: holds something else, promised a new or empty folder or an artifact to replace")
    held = [crc(_identity(e)) % _KEPT_BACK == 0 for e in examples]
    training = [e for e, back in zip(examples, held, strict=True) if not back]
    measured = [e for e, back in zip(examples, held, strict=True) if back]
    if not training:
        raise DataError(f"domain {domain.name}: {len(examples)} examples are too few to train on and measure")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        # One thread: sums in another order would be other weights. The limit holds for what is loaded by now, so the
        # toolkit's libraries are loaded first.
        import arbitrank.learn.fitting
        import arbitrank.nlu.training  # noqa: F401

        with threadpool_limits(1):
            report = domain.train(training, work, settings)
        if base and not (work / "recogniser").exists() and (base / "recogniser").is_dir():
            shutil.copytree(base / "recogniser", work / "recogniser")
        card = measure(domain.name, domain.load(work), measured)
        write_durably(work / CARD, msgspec.json.format(msgspec.json.encode(card), indent=1))
        manifest = seal(
            work,
            Manifest(
                domain=domain.name,
                package=package[0],
                package_version=package[1],
                features=tuple(report.get("features", ())),
                model=settings.model,
                loss=settings.loss or "",
                seed=settings.seed,
                rows=len(training),
                data_digest=data_digest(examples),
            ),
        )
        if folder.exists():
            shutil.rmtree(folder)
        work.chmod(0o755)
        work.rename(folder)
        return Built(manifest, card, report)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / MANIFEST).is_file() or not any(folder.iterdir()))


def measure(name: str, model: Model, examples: Sequence[Example]) -> Calibration:
    """The calibration of a domain's best reading over requests, those that are not its own included."""
    p, y = [], []
    for example in examples:
        given = example.request.hypotheses
        own = None if given is None else [h for h in given if h.domain == name]
        outcome = dispatch.ask(name, model, example.request, own)
        if isinstance(outcome, dispatch.Failed):
            raise DataError(f"domain {name}: fails on example {example.request.id!r}: {outcome.reason}")
        if outcome.hypotheses:
            best = int(np.argmax(outcome.scores.right))
            p.append(float(outcome.scores.right[best]))
            y.append(float(entirely_right(outcome.hypotheses[best], example.truth)))
    return calibration(np.array(p), np.array(y))


def data_digest(examples: Sequence[Example]) -> str:
    """The digest of a data set: SHA-256 over its examples in order."""
    return digest(b"\n".join(msgspec.json.encode(example, order="deterministic") for example in examples))


def _identity(example: Example) -> str:
    words = example.request.utterance or example.extra.get("utterance_hash")
    return str(words or example.request.id or "").casefold()
