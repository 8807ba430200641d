"""Training of one domain as a value: `run` performs a task, in any process, and leaves its artifact in its folder."""

from __future__ import annotations

import importlib
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.arbitration.probes import violation
from arbitrank.context_keys import ContextCount, keys_of
from arbitrank.domain import Domain, Figures, Progress, Settings, Spread
from arbitrank.errors import ArbitrankError, DataError, InputError
from arbitrank.guard import Fault, guarded
from arbitrank.plugin_hooks import STATED, stated
from arbitrank.registry import Loaded, discover
from arbitrank.scales import recorded
from arbitrank.store.artifact import read_manifest, unproven
from arbitrank.store.loading import load_model
from arbitrank.training.build import BuiltArtifact, Split, build
from arbitrank.training.code_digest import code_of
from arbitrank.training.datasets import Dataset, prepare
from arbitrank.training.example_file import ExampleFile, select, write_examples
from arbitrank.training.feature_changes import feature_notes
from arbitrank.training.fingerprints import Determining, bring_hypotheses, fingerprint
from arbitrank.training.lessons import LessonEffect, effect, taught
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.plugin_calls import own_examples
from arbitrank.training.read_before import ReadBefore, files_digest, negatives_digest, remember, remembered
from arbitrank.training.scored_examples import DomainScales, write_read
from arbitrank.training.shared_negatives import added_negatives, with_negatives
from arbitrank.training.sufficiency import others_notes, shortage_notes
from arbitrank.values import Example

ARTIFACT = "artifact"
"""The artifact's folder inside the task's."""

READ = "read"
"""The file inside the task's folder of its examples with their scores read."""

DATA = "examples"
"""The file inside the task's folder of examples that the task generated or read itself."""

_SELFTEST = 60.0  # seconds that the self-test may take


class TrainingTask(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A domain to train, its data and its settings.

    `factory`, `module:name`: returns the domain when called with its name; None finds it among the installed plugins.
    `data`: a file of `Writer`, or a data set that the process reads itself; None is the domain's own data. `settings`:
    the fields of `Settings` that determine the weights. `base`: the artifact that serves. `known`: versions in the
    store by the fingerprint that they were made of; a task with the same one is `unchanged`. `alone`: of these, why
    some may not serve (`store.artifact.unproven`). `scales`: of the domain's scores, as the operator states them by
    field. `silent`: as in `Settings`, where `data` is a file. `negatives`: add shared ones, or none; None as the
    domain states. `again`: train what was refused before, too. `folder`: the task's own. `log`: the file to write to.
    """

    domain: str
    folder: str
    factory: str | None = None
    data: str | Dataset | None = None
    settings: dict[str, Any] = {}
    split: Split = "words"
    base: str | None = None
    warm: bool = False
    known: dict[str, str] = {}
    scales: dict[str, str] = {}
    size: int = 0
    alone: dict[str, str] = {}
    silent: int = 0
    negatives: bool | None = None
    again: bool = False
    log: str | None = None


def run(task: TrainingTask, *, progress: Progress, figures: Figures, spread: Spread | None = None) -> TrainingOutcome:
    """Train the domain of the task. Raises only what ends the process."""
    began = time.monotonic()
    try:
        outcome = guarded(_run, task, progress, figures, spread)
    except KeyboardInterrupt as error:  # the plugin's: a user's does not reach this process
        outcome = Fault(error)
    if isinstance(outcome, Fault):
        outcome = TrainingOutcome(domain=task.domain, kind="failed", reason=_failure(outcome, task.domain))
    return msgspec.structs.replace(outcome, seconds=time.monotonic() - began)


def _failure(fault: Fault, name: str) -> str:
    if isinstance(fault.error, ArbitrankError):
        if fault.error.__cause__ is not None:  # an exception of the plugin's, of which the log keeps the whole
            traceback.print_exception(fault.error.__cause__)
        return str(fault.error)
    if isinstance(fault.error, MemoryError):
        return "out of memory; see --limit-memory"
    traceback.print_exception(fault.error)  # into the task's log
    return f"its training failed: {fault.placed}, expected no exception; run: arbitrank check {name}"


def _run(task: TrainingTask, progress: Progress, figures: Figures, spread: Spread | None) -> TrainingOutcome:
    domain, package = domain_of(task)
    for name in STATED:
        stated(domain, name)
    progress("data", 0, 1)
    scales, by = DomainScales.of(domain, task.scales), _determining(task, domain, package)
    files = files_digest(task.data, task.domain, (*by, recorded(scales.given), task.negatives))
    if (before := remembered(task.log, files)) is not None:
        if before.made_of in task.known:
            return _unchanged(task, before)
        if before.refused is not None and not task.again:
            return before.refused
    examples, notes, silent = _examples(task, domain)
    examples, unread = write_read(Path(task.folder) / READ, domain.name, examples, scales)
    notes = (*notes, *shortage_notes(domain.name, examples))
    added = added_negatives(domain, examples, task.negatives, silent)
    examples, notes = with_negatives(Path(task.folder) / "shared", examples, added), (*notes, *unread, *added.notes)
    figures({"rows": len(examples)})
    progress("data", 1, 1)
    settings = Settings(**{**task.settings, "silent": silent}, progress=progress, figures=figures, spread=spread)
    made_of = fingerprint(task.domain, by, examples, scales, silent)
    read = ReadBefore(made_of, len(examples), notes, files, "" if bring_hypotheses(examples) else negatives_digest())
    remember(task.log, read)
    if made_of in task.known:
        return _unchanged(task, read)
    base = Path(task.base) if task.base else domain.shipped
    if task.warm:
        if base is None:
            raise DataError("--warm: no weights serve that training could start from; run without it")
        settings = replace(settings, warm=base)
    folder = Path(task.folder) / ARTIFACT
    try:
        built = build(
            domain, package, examples, folder, settings, base=base, split=task.split, made_of=made_of, scales=scales,
            negatives=added.used,
        )  # fmt: skip
    except DataError as error:
        raise DataError("; ".join((str(error), *unread))) from error
    outcome = outcome_of(task, built, (*notes, *feature_notes(domain, base, folder)))
    if (lesson := taught(examples)).any():
        build(
            domain, package, select(examples, ~lesson), Path(task.folder) / "without", settings, base=base,
            split=task.split, scales=scales, negatives=added.used,
        )  # fmt: skip
        outcome = _judged(outcome, effect(domain, Path(task.folder) / "without", folder, examples, task.split))
    with redirect_stdout(StringIO()) as printed:
        problem = violation(domain, load_model(domain, folder, task.scales), _SELFTEST)
    if text := printed.getvalue().strip():
        print(text, file=sys.stderr)
        note = f"domain {domain.name}: its model printed {text.splitlines()[0][:60]!r}, expected nothing on "
        note += "standard output; use the module logging"
        outcome = msgspec.structs.replace(outcome, notes=(*outcome.notes, note))
    if problem is None:
        if outcome.kind == "refused" and not task.warm:  # which depends on what serves, too
            remember(task.log, read.with_refused(outcome))
        return outcome
    reason = f"its self-test refuses the weights: {problem}; run: arbitrank check {domain.name}"
    return msgspec.structs.replace(outcome, kind="refused", reason=reason)


def _unchanged(task: TrainingTask, read: ReadBefore) -> TrainingOutcome:
    """The outcome of data, code and settings that the store has a version of."""
    version, notes = task.known[read.made_of], read.notes
    if alone := task.alone.get(version):
        notes = (*notes, f"domain {task.domain}: {alone}")
    return TrainingOutcome(
        domain=task.domain, kind="unchanged", version=version, rows=read.rows, notes=notes, unproven=alone
    )


def _judged(outcome: TrainingOutcome, seen: LessonEffect) -> TrainingOutcome:
    """The outcome of weights that lessons taught too: refused where they are likely worse than without these."""
    outcome = msgspec.structs.replace(outcome, lessons=seen, notes=(*outcome.notes, f"domain {outcome.domain}: {seen}"))
    if outcome.kind != "built" or not seen.harms:
        return outcome
    reason = f"its self-check refuses the weights: {seen}; train it without --outcomes"
    return msgspec.structs.replace(outcome, kind="refused", reason=reason)


def outcome_of(task: TrainingTask, built: BuiltArtifact, notes: tuple[str, ...]) -> TrainingOutcome:
    """The outcome of a task whose artifact is built, by its self-check against R0."""
    manifest, figures, card = built.manifest, built.measured, built.measured.card
    reason, alone = None, unproven(task.domain, card)
    notes = (*notes, f"domain {task.domain}: {alone}") if alone else (*notes, *others_notes(task.domain, card))
    if not card.n:
        reason = (
            "its self-check refuses the weights: it has a reading of no held-out request, so nothing shows that they "
            "are better than R0; give it more and different data"
        )
    elif figures.worse:
        reason = (
            f"its self-check refuses the weights: on {card.n} held-out requests their NLL is {figures.nll:.4f}, that "
            f"of R0 (no weights) is {figures.baseline:.4f}, by more than chance; give it more or other data"
        )
    return TrainingOutcome(
        domain=task.domain,
        kind="refused" if reason else "built",
        reason=reason,
        version=manifest.version,
        rows=manifest.rows,
        negatives=manifest.negatives or (),
        model=f"{manifest.model} {manifest.loss}".strip(),
        choice=card.choice or None,
        held=card.n,
        nll=card.nll,
        baseline=figures.baseline,
        ece=card.ece,
        ece_floor=card.ece_floor,
        ece_band=card.ece_band,
        notes=notes,
        unproven=alone,
    )


def domain_of(task: TrainingTask) -> tuple[Domain, tuple[str, str]]:
    """The domain of a task, and its package's name and version. Raises `InputError` where it is not installed here."""
    if task.factory is not None:
        module, _, name = task.factory.partition(":")
        return getattr(importlib.import_module(module), name)(task.domain), ("", "")
    found = _installed().get(task.domain)
    if found is None:
        raise InputError(f"domain {task.domain!r} is not loaded in the training process; run there: arbitrank domains")
    return found.domain, (found.source.distribution, found.source.version)


@cache
def _installed() -> dict[str, Loaded]:
    return {one.name: one for one in discover() if isinstance(one, Loaded)}


def _examples(task: TrainingTask, domain: Domain) -> tuple[Sequence[Example], tuple[str, ...], int]:
    """The examples, on disk, notes on how they were read, and the number of silent requests beside them."""
    path = Path(task.folder) / DATA
    if isinstance(task.data, str):
        return ExampleFile(Path(task.data)), (), task.silent
    named = tuple(task.settings.get("context_keys", ()))
    if task.data is None:
        count = ContextCount()
        examples, files = own_examples(domain)
        for example in examples:
            count.add(example.request.context)
        remarks = count.remarks(keys_of(domain), named, task.domain)
        return write_examples(path, examples), (*files, *remarks), 0
    read = prepare(task.data, [task.domain], {task.domain: path})
    remarks = read.contexts.remarks(keys_of(domain), named, task.domain)
    return ExampleFile(path), (*read.notes(task.domain), *remarks), read.silent[task.domain]


def _determining(task: TrainingTask, domain: Domain, package: tuple[str, str]) -> Determining:
    base = Path(task.base) if task.base else domain.shipped
    files = {} if base is None else read_manifest(base).files
    recogniser = {path: sha for path, sha in files.items() if path.startswith("recogniser/")}
    return Determining(task.settings, task.split, task.warm, package, code_of(domain), recogniser)
