"""Checks of the features with which a domain describes its hypotheses: the same finite numbers by name for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from arbitrank.errors import PluginError
from arbitrank.values import Hypothesis

_EXPECTED = "expected a mapping of names to finite numbers"
_NAMED = 8  # names that are listed


def checked_features(returned: Any) -> dict[str, float]:
    """The features that `describe` returned, as numbers of JSON. Raises `PluginError` where they are none."""
    if not isinstance(returned, Mapping):
        kind = "nothing (None)" if returned is None else f"{type(returned).__name__} {_shown(returned)}"
        remedy = "; does it lack a `return`?" if returned is None else ""
        raise PluginError(f"describe() returned {kind}, {_EXPECTED}{remedy}")
    found = {}
    for name, given in returned.items():
        number = given
        if type(number) is not float:
            if not isinstance(number, Real) or not isinstance(name, str):
                kind = type(number).__name__
                raise PluginError(
                    f"describe() returned {name!r}: {_shown(number)} ({kind}), {_EXPECTED}; write 1.0 or 0.0"
                )
            number = float(number)
        if not math.isfinite(number):
            raise PluginError(f"describe() returned {name!r}: {number}, {_EXPECTED}; give 0.0 where it is unknown")
        found[name] = number
    return found


def check_names(subject: str, hypotheses: Iterable[Hypothesis]) -> None:
    """Raise `PluginError` where hypotheses are described by different names."""
    first: Hypothesis | None = None
    for one in hypotheses:
        first = first or one
        if one.features.keys() != first.features.keys():
            raise PluginError(
                f"{subject}: describe() named {_names(first)} for one hypothesis ({first.intent}) and {_names(one)} "
                f"for another ({one.intent}), expected the same names for each; give 0.0 where one does not apply"
            )


def _names(hypothesis: Hypothesis) -> str:
    names = sorted(hypothesis.features)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more or "no feature"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
