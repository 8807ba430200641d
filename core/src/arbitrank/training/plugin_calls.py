"""Calls of a domain's own `examples`, `train` and `load`, with what they raise or return checked and named.

An error names the domain, the method, what was seen, what is expected and the next command or edit, so that no text of
Python's alone reaches the author.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct

from arbitrank.domain import Domain, Model, Settings
from arbitrank.errors import ArbitrankError, DataError, PluginError
from arbitrank.guard import Fault, guarded, place_of, shown
from arbitrank.nlu.data_faults import DataFilesWarning
from arbitrank.packed import packed
from arbitrank.plugin_hooks import expectation, lacking
from arbitrank.store.artifact import paths
from arbitrank.store.pickles import pickled
from arbitrank.values import Example, Request, Truth

MOST_EXAMPLES = 1_000_000
"""Examples that a domain may bring of its own."""

_SHAPE = "an Example(Request(utterance=…), Truth(domain, intent))"
_LONG = 160  # characters of an example
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
    if isinstance(returned, Fault) and isinstance(returned.error, DataError):
        _name(returned.error, name)
    found = raised(returned, name, "examples", "an iterable of Example")
    for number, example in enumerate(found):
        check_example(name, number, example)
    if not found:
        raise DataError(
            f"domain {name}: examples() returned no example, expected its own requests and others' as negatives; "
            f"implement examples(), or run: arbitrank train {name} --data PATH"
        )
    return found, tuple(remarks)


def _name(error: DataError, name: str) -> None:
    """Put the domain's name before an error's text, where that does not begin with it; its class and faults stay."""
    if not str(error).startswith(f"domain {name}:"):
        error.args = (f"domain {name}: {error}",)


def listed_examples(domain: Domain) -> list[Any]:
    """The values that `examples` gives, unchecked. Raises `PluginError` where it gives no iterable."""
    method: Any = domain.examples
    if not callable(method):
        raise PluginError(
            f"domain {domain.name}: examples is {shown(method)}, expected a method; write def examples(self), without "
            "@property"
        )
    returned: Any = method()
    if not isinstance(returned, Iterable) or isinstance(returned, str | bytes):
        fix = "return a list, or yield each"
        if callable(returned):
            fix = "call it, with ( )"
        elif isinstance(returned, Path | str):
            fix = "read it, as in read_examples(path) of arbitrank.learn.examples"
        raise PluginError(
            f"domain {domain.name}: examples() returned {shown(returned)}, expected an iterable of Example; {fix}"
        )
    found = list(islice(returned, MOST_EXAMPLES + 1))
    if len(found) > MOST_EXAMPLES:
        raise DataError(
            f"domain {domain.name}: examples() gave more than {MOST_EXAMPLES:,} examples, expected an end; end it, or "
            f"write them to a file and run: arbitrank train {domain.name} --data PATH"
        )
    return found


def check_example(name: str, number: int, example: Any) -> None:
    """Raise `PluginError` where a value is no valid example."""
    where = f"domain {name}: examples() gave {shown(example, _LONG)} as example {number}"
    if not isinstance(example, Example):
        raise PluginError(f"{where}, expected {_SHAPE}; build it from arbitrank.values")
    if not isinstance(example.request, Request) or not isinstance(example.truth, Truth):
        raise PluginError(f"{where}, expected {_SHAPE}; its request and truth are other things")
    read = guarded(_read_again, example)
    if isinstance(read, Fault):
        reason = read.reason.partition(": ")[2] or read.reason
        field = _misfit("request", example.request) or _misfit("truth", example.truth) or _misfit("it", example)
        where = f"domain {name}: examples() gave an example {number} whose {field}" if field else where
        raise PluginError(f"{where}, expected {_SHAPE} ({reason}); correct it")
    request = example.request
    if request.utterance is None and request.hypotheses is None:
        raise PluginError(f"{where}, without utterance and hypotheses, expected {_SHAPE}; give it one")


def _misfit(called: str, part: Struct) -> str | None:
    """The first field of a part of an example that is of another type than it states, with its value."""
    hints = get_type_hints(type(part), include_extras=True)
    for field in part.__struct_fields__:
        value = getattr(part, field)
        if isinstance(guarded(_field_again, hints[field], value), Fault):
            return f"{called}.{field} is {shown(value)}"
    return None


def _field_again(kind: Any, value: object) -> object:
    return msgspec.msgpack.decode(packed(_encode, value), type=kind)


def _read_again(example: Example) -> Example:
    """The example as training reads it from disk. Raises where a value in it is of another type."""
    return _decode(packed(_encode, example))


def trained(domain: Domain, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
    """The figures of `domain.train`, which wrote into `out`. Raises `PluginError` where it breaks the contract."""
    name = domain.name
    report = raised(guarded(domain.train, examples, out, settings), name, "train", "files in `out`", out)
    if not isinstance(report, Mapping):
        raise PluginError(
            f"domain {name}: train() returned {shown(report)}, expected a mapping of figures; return {{}} where there "
            "are none"
        )
    for link in sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_symlink()):
        raise PluginError(f"domain {name}: train() wrote {link}, a link, expected a regular file; copy the file")
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
    returned, wanted = guarded(domain.load, folder), "a Model from what train() wrote"
    if isinstance(returned, Fault) and isinstance(returned.error, TypeError):
        wanted = "; ".join(filter(None, (wanted, lacking(type(domain).__module__))))
    model = raised(returned, domain.name, "load", wanted, folder)
    if not isinstance(model, Model):
        raise PluginError(
            f"domain {domain.name}: load() returned {shown(model)}, expected a Model; return an object of your "
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
    wanted = expectation(returned, expected)
    if isinstance(returned.error, TypeError) and place_of(returned.error) is None:  # of the call itself
        wanted = f"the signature {method}{inspect.signature(getattr(Domain, method))}"
    raise PluginError(
        f"domain {name}: {method}() raised {reason}, expected {wanted}; run: arbitrank check {name}"
    ) from returned.error
