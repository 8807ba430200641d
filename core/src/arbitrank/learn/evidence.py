"""Evidence that a domain's re-ranker learns from: its own hypotheses of requests, labels, matrices of features."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar, cast, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.learn.buffers import blocks, buffer, taken
from arbitrank.learn.census import fit_features
from arbitrank.learn.feature_spec import FeatureSpec
from arbitrank.learn.features import CORE_KEYS
from arbitrank.learn.losses import Batch
from arbitrank.learn.matrices import matrices, plain_matrix
from arbitrank.probability import Floats, Starts
from arbitrank.semer import semer
from arbitrank.values import Hypothesis, Request, Truth

S = TypeVar("S")
T = TypeVar("T")


class Each(Sequence[T]):
    """The results of a function for each item of a sequence, computed when needed and never in memory as a whole."""

    def __init__(self, items: Sequence[S], function: Callable[[S], T]) -> None:
        self._items, self._function = items, function

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return map(self._function, self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return Each(self._items[index], self._function)
        return self._function(self._items[index])


def at_places(items: Sequence[T], places: NDArray[np.int64]) -> Each[T]:
    """Some items of a sequence, by their places."""
    return Each(cast(Sequence[np.int64], places), lambda place: items[int(place)])


def own_request(request: Request, hypotheses: Sequence[Hypothesis]) -> Request:
    """The request as its domain gets it: with these hypotheses and no others."""
    return msgspec.structs.replace(request, hypotheses=tuple(hypotheses))


@dataclass(frozen=True)
class Evidence:
    """Requests that hold the domain's own hypotheses, at least one each, with their labels.

    `silent` counts other domains' requests of which the domain has no hypothesis: negatives without features. The
    matrices of features are computed at first use and kept.
    """

    spec: FeatureSpec
    requests: Sequence[Request]
    batch: Batch
    silent: int = 0

    @classmethod
    def of(
        cls,
        spec: FeatureSpec,
        requests: Sequence[Request],
        truths: Sequence[Truth],
        weights: Floats | None = None,
        *,
        silent: int = 0,
    ) -> Evidence:
        """Evidence in requests, each with a hypothesis of the domain's own, and their truths."""
        return cls(spec, requests, label(spec.domain, requests, truths, weights), silent)

    def without_context(self) -> Evidence:
        """This evidence, restricted to the features of the confidences."""
        return replace(self, spec=FeatureSpec(self.spec.domain, fill=self.spec.fill))

    @cached_property
    def plain(self) -> Floats:
        """Features of the log-linear re-ranker, a row for each hypothesis: shape (N, F)."""
        return self._filled(plain_matrix)

    @cached_property
    def factored(self) -> tuple[Floats, Floats]:
        """Features of P(mine), shape (R, F), and those of the readings, shape (N, G)."""
        of_requests, done = buffer(len(self.requests), len(self.spec.request_names)), 0

        def both(spec: FeatureSpec, part: Sequence[Request], starts: Starts) -> Floats:
            nonlocal done
            of_requests[done : done + len(part)], of_readings = matrices(spec, part, starts)
            done += len(part)
            return of_readings

        return of_requests, self._filled(both)

    def _filled(self, make: Callable[[FeatureSpec, Sequence[Request], Starts], Floats]) -> Floats:
        """The rows that `make` gives for all requests, computed a block at a time to bound the memory."""
        whole: Floats | None = None
        for block in blocks(len(self.requests)):
            starts = self.batch.starts[block]
            part = make(self.spec, list(self.requests[block]), starts - starts[0])
            if whole is None:
                whole = buffer(len(self.batch.right), part.shape[1])
            whole[starts[0] : starts[0] + len(part)] = part
        return np.zeros((0, 0)) if whole is None else whole

    def only(self, chosen: NDArray[np.bool_]) -> Evidence:
        """The evidence of the chosen requests, a mask of shape (R,), with the same features."""
        batch, each = self.batch.only(chosen)
        part = Evidence(self.spec, at_places(self.requests, np.flatnonzero(chosen)), batch, self.silent)
        of_requests, of_readings = self.factored
        # Rows once computed hold for any part: they fill the cached property.
        part.__dict__["factored"] = (taken(of_requests, chosen), taken(of_readings, each))
        return part


def gather(
    domain: str,
    requests: Sequence[Request],
    truths: Sequence[Truth],
    *,
    keys: Sequence[str] = CORE_KEYS,
    context: bool = True,
    weights: Floats | None = None,
    silent: int = 0,
) -> Evidence:
    """Evidence in requests that hold the domain's own hypotheses.

    Requests without a hypothesis are left out; others' are counted, with further `silent` ones that are not here.
    `keys` and `context` are those of `fit_features`; `weights`, shape (R,), say how many requests each stands for. Lazy
    sequences are never in memory as a whole.
    """
    read = np.fromiter((bool(request.hypotheses) for request in requests), bool, len(requests))
    places = np.flatnonzero(read)
    silent += sum(not truth.owned_by(domain) for truth in at_places(truths, np.flatnonzero(~read)))
    kept, true = at_places(requests, places), at_places(truths, places)
    spec = fit_features(domain, kept, true, keys=keys, context=context)
    return Evidence.of(spec, kept, true, None if weights is None else weights[places], silent=silent)


def label(domain: str, requests: Sequence[Request], truths: Sequence[Truth], weights: Floats | None = None) -> Batch:
    """Labels and semantic errors of the requests' hypotheses; every error is 1 in a request of another domain.

    A request weighs 1 where there are no `weights`.
    """
    sizes, errors, mine = array("q"), array("d"), array("d")
    for request, truth in zip(requests, truths, strict=True):
        own, hypotheses = truth.owned_by(domain), request.hypotheses or ()
        seen = truth.seen_by(domain)
        sizes.append(len(hypotheses))
        errors.extend(semer(h, seen) if own else 1.0 for h in hypotheses)
        mine.append(float(own))
    semers = np.array(errors, np.float64)
    return Batch(
        starts=np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))[:-1]]).astype(np.int64)[: len(sizes)],
        right=(semers == 0.0).astype(np.float64),
        semer=semers,
        mine=np.array(mine, np.float64),
        weight=np.ones(len(sizes)) if weights is None else weights,
    )
