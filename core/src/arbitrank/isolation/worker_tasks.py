"""Tasks of a worker beside answering: a domain's own examples, and its training, over files of plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.domain import Domain, Settings
from arbitrank.errors import DataError, InputError, PluginError, message
from arbitrank.extras import extra_of
from arbitrank.guard import Fault, guarded
from arbitrank.isolation.messages import ExamplesWritten, FromWorker, Train, Trained, TrainingProgress, WriteExamples
from arbitrank.registry import Found, Loaded
from arbitrank.values import Example

__all__ = ["perform", "read_examples", "settings_map", "write_examples"]

_REASON = 20_000  # characters of an error
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Example).decode


def perform(task: WriteExamples | Train, found: Mapping[str, Found], reply: Callable[[FromWorker], None]) -> None:
    """Perform a task and send what it replies; whatever the plugin raises becomes part of the reply."""
    if isinstance(task, WriteExamples):
        written = guarded(_write, task, found)
        reply(ExamplesWritten(*_problem(written)) if isinstance(written, Fault) else ExamplesWritten())
        return
    trained = guarded(_train, task, found, reply)
    if isinstance(trained, Fault):
        extra = extra_of(trained.error) if isinstance(trained.error, ImportError) else None
        reply(Trained(*_problem(trained), extra=extra))
    else:
        reply(Trained(figures=trained))


def _write(task: WriteExamples, found: Mapping[str, Found]) -> None:
    write_examples(Path(task.path), _domain(task.domain, found).examples())


def _train(task: Train, found: Mapping[str, Found], reply: Callable[[FromWorker], None]) -> dict[str, Any]:
    known = {field.name for field in fields(Settings)} - {"progress", "figures", "spread"}
    given = {name: value for name, value in task.settings.items() if name in known}
    if isinstance(warm := given.get("warm"), str):
        given["warm"] = Path(warm)
    given["context_keys"] = tuple(given.get("context_keys", ()))
    settings = Settings(**given, progress=lambda stage, done, total: reply(TrainingProgress(stage, done, total)))
    figures = _domain(task.domain, found).train(read_examples(Path(task.data)), Path(task.out), settings)
    return dict(msgspec.json.decode(_encode(figures)))  # of JSON's types, or raises here


def _domain(name: str, found: Mapping[str, Found]) -> Domain:
    one = found.get(name)
    if not isinstance(one, Loaded):
        raise PluginError(f"domain {name!r} cannot be loaded: {one.reason if one else 'it is not installed'}")
    return one.domain


def _problem(fault: Fault) -> tuple[str, bool]:
    text = message(fault) if isinstance(fault.error, InputError | PluginError) else fault.placed
    return text.encode(errors="replace").decode()[:_REASON], isinstance(fault.error, DataError)


def settings_map(settings: Settings) -> dict[str, Any]:
    """The settings of a training as plain values, without its functions."""
    values = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    for name in ("progress", "figures", "spread"):
        del values[name]
    return {**values, "warm": None if settings.warm is None else str(settings.warm)}


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write examples, each a line of JSON."""
    with path.open("wb") as file:
        for example in examples:
            if not isinstance(example, Example):
                raise PluginError(f"examples() gave {type(example).__name__}, expected Example; run: arbitrank check")
            file.write(_encode(example) + b"\n")


def read_examples(path: Path) -> Sequence[Example]:
    """The examples in a file. Raises `DataError` where a line is none."""
    found = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                found.append(_decode(line))
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise DataError(f"{path.name}:{number}: is no example: {error}") from error
    return found
