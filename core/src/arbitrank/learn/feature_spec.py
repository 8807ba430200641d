"""Specification of a re-ranker's features: their names and order, fixed when it is trained and kept with its weights.

A feature's name begins with its group (`domain.`, `intent.`, `slots.`, `context.`, `features.`, `bias`), by which
contributions are summed for people.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from arbitrank.learn.standardisation import Number

LOWEST, HIGHEST = -1.0, 1.0
"""Least range of a number in the context. msgspec leaves a default out of a file only if it is the very same object."""


class Confidences(NamedTuple):
    """A domain's mean confidences in its training data, in [0, 1], which replace missing ones."""

    domain: float = 0.5
    intent: float = 0.5
    slots: float = 0.5


class Situation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One feature of the context: 1 where `key` has the text `value`; without a value, the number that it holds.

    A number is clipped to [`low`, `high`], its range in training, so that an outlier can't decide a request.
    """

    key: str
    value: str | None = None
    low: float = LOWEST
    high: float = HIGHEST

    @property
    def name(self) -> str:
        """The feature's name: `context.KEY=VALUE`, or `context.KEY` for a number."""
        return f"context.{self.key}" if self.value is None else f"context.{self.key}={self.value}"


class FeatureSpec(msgspec.Struct, frozen=True):
    """Features of a domain's re-ranker.

    `situations` are the context's texts and booleans, `numbers` its numbers; `preferences` and `previous` say that the
    user's preferences and the previous domain are features. `own` are the hypotheses' own features; `fill` replaces
    missing confidences. Artifacts of 0.1 have no `numbers` and no `own`: numbers of the context are among their
    `situations`, and `extras` names the hypotheses' own features, which are not standardised.
    """

    domain: str
    situations: tuple[Situation, ...] = ()
    preferences: bool = False
    previous: bool = False
    extras: tuple[str, ...] = ()
    fill: Confidences = Confidences()
    numbers: tuple[Number, ...] = ()
    own: tuple[Number, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the hypotheses' own features that the re-ranker learned from."""
        return (*self.extras, *(number.name for number in self.own))

    @property
    def context_keys(self) -> tuple[str, ...]:
        """Keys of the context that the re-ranker learned from, but for preferences and the previous domain."""
        return tuple(dict.fromkeys([*(s.key for s in self.situations), *(number.name for number in self.numbers)]))

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of the values of `features.own_row`, which come last among all features."""
        names = [f"features.{name}" for name in self.extras]
        return (*names, *(name for number in self.own for name in number.names("features")))

    @property
    def context_names(self) -> tuple[str, ...]:
        """Names of the values of `features.context_row`."""
        names = [situation.name for situation in self.situations]
        names += [name for number in self.numbers for name in number.names("context")]
        if self.preferences:
            names += ["context.preference", "context.preference_margin", "context.preference_missing"]
            names.append("context.favourite")
        if self.previous:
            names.append("context.previous_mine")
        return tuple(names)

    @property
    def request_names(self) -> tuple[str, ...]:
        """Names of the request's features, the input of P(mine)."""
        crossed = [f"{name}×logit" for name in self.context_names]
        return (*_REQUEST, *self.context_names, *crossed, *self.own_names)

    @property
    def reading_names(self) -> tuple[str, ...]:
        """Names of each reading's features, the input of P(right | mine)."""
        favourite = ("context.intent_favourite",) if self.preferences else ()
        return (*_READING, *_OWN_CONTEXT, *favourite, *self.own_names)

    @property
    def plain_names(self) -> tuple[str, ...]:
        """Names of a log-linear model's features: the article's confidences, and the context crossed with them."""
        crossed = [f"{name}×{score}" for name in self.context_names for score in _PLAIN[:3]]
        return (*_PLAIN, *self.context_names, *crossed, *self.own_names)


_PLAIN = ("domain.logit", "intent.log", "slots.log", "domain.missing", "intent.missing", "slots.missing", "bias")
_REQUEST = (
    *("domain.logit", "domain.missing"),
    *("intent.best", "intent.best_logit", "intent.entropy", "intent.missing"),
    *("slots.best", "slots.best_logit", "slots.missing", "slots.count"),
    *("context.length", "context.length_missing", "bias"),
)
_READING = (
    *("reading.null_odds", "intent.log", "slots.log", "intent.logit", "slots.logit", "intent.missing", "slots.missing"),
    *("intent.entropy", "reading.gap", "reading.rank", "slots.count", "bias"),
)
_OWN_CONTEXT = ("context.intent_preference", "context.intent_margin", "context.intent_previous")
