"""Observation of requests by all domains as they answer now: to tune the decision settings on, and to judge them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.claims import group_numbers, group_remarks
from arbitrank.arbitration.competition import Served
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings
from arbitrank.decisions.observed import Observed
from arbitrank.domain import Domain, Progress
from arbitrank.errors import DataError
from arbitrank.impact.observed_requests import ObservationPlan, ObservationWork, ObservedRequests, together
from arbitrank.impact.plan import present_parts
from arbitrank.impact.shares import shares
from arbitrank.probability import Floats
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.impact.cluster import Cluster


_REPEATED = 3  # requests for each different one, from which on copies are likelier than users' habits


class Observation(NamedTuple):
    """Requests of a file as the domains answer them: those with a truth, and the readings of all others.

    `served` are the domains' versions and recalibrations, the fallback's and those that cannot answer left out;
    `fallback` is the name of the one that acts where none is decided. `fingerprints` are those of the requests with a
    truth, `contexts` the plain values of their contexts. `notes` name what was left out, `beside` the domains that do
    not compete.
    """

    observed: Observed
    unlabelled: tuple[BestReadings, ...]
    served: dict[str, Served]
    notes: tuple[str, ...]
    fallback: str | None
    fingerprints: NDArray[np.uint32]
    contexts: tuple[Mapping[str, str | bool], ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[BestReadings, ...]:
        """The readings of all requests, whether they have a truth or not."""
        return tuple(map(BestReadings.together, zip(self.observed.readings, self.unlabelled, strict=True)))


def observe(
    domains: Mapping[str, Domain],
    store: Store,
    path: Path,
    decisions: DecisionSettings = DecisionSettings(),
    progress: Progress | None = None,
    *,
    jobs: int = 1,
    cluster: Cluster | None = None,
) -> Observation:
    """Observe the requests of a file or a log's folder, in `jobs` processes or on a cluster, with the same figures.

    `decisions` are the settings in force. `progress` is called with the number of requests so far, their total being
    unknown (0). Raises `DataError` where the file cannot be read, or fewer than two domains can answer.
    """
    present = present_parts(domains, store, decisions)
    acting = present.fallback
    parts = {name: one for name, one in sorted(present.parts.items()) if name not in present.idle}
    competing = _competing(parts, acting)
    brought = acting if acting not in domains else None  # it may stand in the requests alone
    plan = ObservationPlan(parts, group_numbers(decisions.groups), brought)
    found, n = list[ObservedRequests](), 0
    for share in shares(ObservationWork, plan, path, jobs=jobs, cluster=cluster):
        competing = _competing([name for name in share.names if name != brought], acting)
        found.append(share)
        n += sum(len(part.right) for one in share.chunks for part in (one.labelled, one.rest) if part is not None)
        if progress is not None:
            progress(f"requests of {path.name}", n, 0)
    whole = together(found)
    labelled = whole.labelled
    notes = (
        *(f"{name} cannot answer and was left out: {reason}" for name, reason in sorted(present.silent.items())),
        *(f"{name} cannot be loaded and was left out: {reason}" for name, reason in whole.broken.items()),
        *group_remarks(decisions.groups, competing),
        *whole.remarks(),
        *_copies(whole.fingerprints, labelled.mine),
    )
    return Observation(
        labelled.with_fallback(acting),
        whole.rest.with_fallback(acting).readings,
        {name: (parts[name].version, parts[name].recalibration) for name in competing},
        notes,
        acting,
        whole.fingerprints,
        whole.contexts,
        tuple(sorted({*present.idle, *([] if acting is None else [acting])})),
    )


def _copies(fingerprints: NDArray[np.uint32], claims: Floats) -> Iterator[str]:
    """A remark where most requests with a truth equal another one, in their words and in what the domains claim."""
    n, different = len(fingerprints), np.unique(np.vstack([fingerprints, claims]), axis=1).shape[1]
    if n >= _REPEATED * different > 0:
        yield (
            f"{n} requests with a truth, {different} different ones: unless users repeat themselves so, what is tuned "
            "and bounded is of these alone, and its intervals are too narrow; give each request once"
        )


def _competing(names: Sequence[str] | Mapping[str, object], acting: str | None) -> list[str]:
    """The domains that compete, without the fallback. Raises `DataError` where they are fewer than two."""
    competing = [name for name in names if name != acting]
    if len(competing) < 2:
        beside = f", beside the fallback {acting}," if acting in names else ""
        raise DataError(
            f"{', '.join(competing) or 'no domain'}{beside} can answer, expected at least 2 domains: nothing competes"
        )
    return competing
