"""Contributions of features to a reading's log-odds, summed by group, with the strongest features as details.

The groups are `domain`, `intent` and `slots` (the confidences), `context`, `length` of the utterance, `features` (the
hypothesis's own) and `reading` (its lead over the domain's other readings). Details are `context.KEY` and
`features.NAME`: all features of a key or of a name together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arbitrank.explanation import BASE
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.standardisation import finite

PREFERENCE, PREVIOUS = "context.preference", "context.previous_domain"
"""Details of the user's preferences, and of the domain and intent requested before."""

READING = "reading"

_SHOWN_FROM, _SHOWN = 0.05, 6  # contribution from which on a feature is a detail, and number of details at most
_MOST = 1e4  # greatest contribution: sums of greater ones lose digits
_SUFFIXES = ("@reading", "@request")
_PERSONAL = {
    **dict.fromkeys(("context.previous_mine", "context.intent_previous"), PREVIOUS),
    **dict.fromkeys(("context.preference", "context.preference_margin", "context.preference_missing"), PREFERENCE),
    **dict.fromkeys(("context.intent_preference", "context.intent_margin"), PREFERENCE),
    **dict.fromkeys(("context.favourite", "context.intent_favourite"), PREFERENCE),
}


def row_of(spec: FeatureSpec, names: Iterable[str], values: Iterable[float]) -> dict[str, float]:
    """A row of an explanation from each feature's contribution; the bias goes into the base."""
    row: dict[str, float] = {BASE: 0.0}
    known = _details(spec)
    for name, value in zip(names, values, strict=True):
        plain = next((name.removesuffix(s) for s in _SUFFIXES if name.endswith(s)), name)
        for key in (_group(plain), known.get(plain) or known.get(plain.rpartition("×")[0])):
            if key is not None:
                row[key] = row.get(key, 0.0) + value
    return row


def _group(name: str) -> str:
    if name == "bias":
        return BASE
    return "length" if name in ("context.length", "context.length_missing") else name.partition(".")[0]


def _details(spec: FeatureSpec) -> dict[str, str]:
    """The detail that each feature belongs to, of those that have one."""
    numbers = ((group, one) for group, some in (("context", spec.numbers), ("features", spec.own)) for one in some)
    return {
        **_PERSONAL,
        **{situation.name: f"context.{situation.key}" for situation in spec.situations},
        **{f"features.{name}": f"features.{name}" for name in spec.extras},
        **{name: f"{group}.{one.name}" for group, one in numbers for name in one.names(group)},
    }


def added(row: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """The sum of two rows."""
    return {key: row.get(key, 0.0) + other.get(key, 0.0) for key in {**row, **other}}


def adding_up(row: Mapping[str, float], target: float, reading: float = 0.0) -> dict[str, float]:
    """The row with `reading`, its groups scaled down so that all add up to `target`.

    P(right) answers the less to the log-odds of one part, the nearer another part or a limit holds it; the scale is the
    same for all groups, which keeps their signs and order. What no scale of at most 1 explains is added to `reading`.
    """
    base = row[BASE]
    whole = sum(value for key, value in row.items() if "." not in key and key != BASE)
    base, reading = max(min(base, _MOST), -_MOST), max(min(reading, _MOST), -_MOST)
    left = target - base - reading
    scale = left / whole if whole and 0.0 <= left / whole <= 1.0 else 1.0
    scale = min(scale, _MOST / max([_MOST, *map(abs, row.values())]))
    found = {key: value * scale for key, value in row.items() if key != BASE}
    rest = left - scale * whole
    if abs(rest) > 1e-9 or reading:
        found[READING] = found.get(READING, 0.0) + reading + rest
    return strongest({BASE: base, **found})


def worded(
    row: Mapping[str, float], context: Mapping[str, Any], features: Mapping[str, float], titles: Mapping[str, str]
) -> dict[str, float]:
    """The row with the details named by what a request and a hypothesis hold: "speaker", "not: it knows the title".

    `titles` are those of features, as `Domain.feature_titles`.
    """
    found: dict[str, float] = {}
    for key, value in row.items():
        named = _named(key, context, features, titles)
        found[named] = found.get(named, 0.0) + value
    return found


def _named(key: str, context: Mapping[str, Any], features: Mapping[str, float], titles: Mapping[str, str]) -> str:
    group, _, name = key.partition(".")
    if key in (PREFERENCE, PREVIOUS):
        return "context.the user's preference" if key == PREFERENCE else "context.the request before"
    if name and group == "context":
        return f"context.{_of_context(_plain(name), context.get(name))}"
    if name and group == "features":
        title = titles.get(name)
        return f"features.{_of_feature(title if isinstance(title, str) else _plain(name), features.get(name))}"
    return key


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _of_context(name: str, value: Any) -> str:
    if value is True:
        return name
    if value is None or value is False:
        return f"{'no' if value is False else 'unknown'} {name.removeprefix('has ')}"
    number = finite(value)
    return value if isinstance(value, str) else name if number is None else f"{name} {number:.3g}"


def _of_feature(title: str, value: float | None) -> str:
    if not value:
        return f"not: {title}"
    return title if value == 1.0 else f"{title} ({value:.3g})"


def strongest(row: Mapping[str, float]) -> dict[str, float]:
    """The row with its strongest details alone."""
    details = sorted(
        (key for key in row if "." in key and abs(row[key]) >= _SHOWN_FROM), key=lambda key: -abs(row[key])
    )
    kept = set(details[:_SHOWN])
    return {key: value for key, value in row.items() if "." not in key or key in kept}
