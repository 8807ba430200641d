"""Calls of a domain's own `examples`, `train` and `load`, with what they raise or return checked and named.

An error names the domain, the method, what was seen, what is expected and the next command or edit, so that no text of
Python's alone reaches the author.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.domain import Domain, Model, Settings
from arbitrank.errors import ArbitrankError, DataError, PluginError
from arbitrank.guard import Fault, guarded
from arbitrank.nlu.data_faults import DataFilesWarning
from arbitrank.packed import packed
from arbitrank.store.artifact import paths
from arbitrank.store.pickles import pickled
from arbitrank.values import Example, Request, Truth

_SHAPE = "an Example(Request(utterance=…), Truth(domain, intent))"
_SHOWN = 80  # characters of a value
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Example).decode


def own_examples(domain: Domain) -> tuple[list[Example], tuple[str, ...]]:
    """The domain's own examples, and remarks on the files that they come from.

    Raises `PluginError` or `DataError` where `examples` raises, or returns what are no examples, or none.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataFilesWarning)
        returned = guarded(listed_examples, domain)
    name, remarks = domain.name, []
    for one in caught:
        if isinstance(one.message, DataFilesWarning):
            remarks.append(f"domain {name}: {one.message}")
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    found = raised(returned, name, "examples", "an iterable of Example")
    for number, example in enumerate(found):
        check_example(name, number, example)
    if not found:
        raise DataError(
            f"domain {name}: examples() returned no example, expected its own requests and others' as negatives; "
            f"implement examples(), or run: arbitrank train {name} --data PATH"
        )
    return found, tuple(remarks)


def listed_examples(domain: Domain) -> list[Any]:
    """The values that `examples` gives, unchecked. Raises `PluginError` where it gives no iterable."""
    returned: Any = domain.examples()
    if not isinstance(returned, Iterable) or isinstance(returned, str | bytes):
        raise PluginError(
            f"domain {domain.name}: examples() returned {_shown(returned)}, expected an iterable of Example; return a "
            "list, or yield each"
        )
    return list(returned)


def check_example(name: str, number: int, example: Any) -> None:
    """Raise `PluginError` where a value is no valid example."""
    where = f"domain {name}: examples() gave {_shown(example)} as example {number}"
    if not isinstance(example, Example):
        raise PluginError(f"{where}, expected {_SHAPE}; build it from arbitrank.values")
    if not isinstance(example.request, Request) or not isinstance(example.truth, Truth):
        raise PluginError(f"{where}, expected {_SHAPE}; its request and truth are other things")
    read = guarded(_read_again, example)
    if isinstance(read, Fault):
        raise PluginError(f"{where}, expected {_SHAPE}: {read.reason.partition(': ')[2] or read.reason}; correct it")
    request = example.request
    if request.utterance is None and request.hypotheses is None:
        raise PluginError(f"{where}, without utterance and hypotheses, expected {_SHAPE}; give it one")


def _read_again(example: Example) -> Example:
    """The example as training reads it from disk. Raises where a value in it is of another type."""
    return _decode(packed(_encode, example))


def trained(domain: Domain, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
    """The figures of `domain.train`, which wrote into `out`. Raises `PluginError` where it breaks the contract."""
    name = domain.name
    report = raised(guarded(domain.train, examples, out, settings), name, "train", "files in `out`", out)
    if not isinstance(report, Mapping):
        raise PluginError(
            f"domain {name}: train() returned {_shown(report)}, expected a mapping of figures; return {{}} where there "
            "are none"
        )
    written = paths(out)
    if not written:
        raise PluginError(
            f"domain {name}: train() wrote no file, expected its weights in `out`/reranker; write them there, as in "
            '(out / "reranker").mkdir()'
        )
    for path in written:
        if reason := pickled(out / path):
            raise PluginError(
                f"domain {name}: train() wrote {path}, {reason}, expected JSON, npz of numbers or text; a pickle runs "
                "code where it is read: write the numbers themselves"
            )
    return report


def loaded(domain: Domain, folder: Path) -> Model:
    """The model that `domain.load` returns for what its `train` wrote. Raises `PluginError` where it breaks that."""
    model = raised(guarded(domain.load, folder), domain.name, "load", "a Model from what train() wrote", folder)
    if not isinstance(model, Model):
        raise PluginError(
            f"domain {domain.name}: load() returned {_shown(model)}, expected a Model; return an object of your "
            "subclass of arbitrank.domain.Model"
        )
    return model


def raised(returned: Any, name: str, method: str, expected: str, folder: Path | None = None) -> Any:
    """The value that a guarded call of a domain's method returned.

    Raises its error where that is one of arbitrank's, else `PluginError` with the place where it arose. The name of the
    working `folder`, which means nothing to the author, becomes `out`.
    """
    if not isinstance(returned, Fault):
        return returned
    if isinstance(returned.error, ArbitrankError | MemoryError):
        raise returned.error
    reason = returned.placed if folder is None else returned.placed.replace(str(folder), "out")
    raise PluginError(
        f"domain {name}: {method}() raised {reason}, expected {expected}; run: arbitrank check {name}"
    ) from returned.error


def _shown(value: object) -> str:
    if value is None:
        return "None"
    text = guarded(repr, value)
    text = "a value without a text" if isinstance(text, Fault) else text
    kind = type(value).__name__
    return f"the {kind} {text if len(text) <= _SHOWN else f'{text[: _SHOWN - 1]}…'}"
