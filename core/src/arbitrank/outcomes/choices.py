"""Logged choices: what was served with what probability, how users reacted, and what two versions would have served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.outcomes.client_cap import capped_weights
from arbitrank.probability import Floats

Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class VersionChoices:
    """The actions of one version on n logged requests.

    `served`: it is the action that was served. `possible`: it might have been, by the log. `claim` is the version's own
    probability, in [0, 1], that the action is right; `action` its number in `arbitrank.arbitration.decide.ACTIONS`.
    """

    served: Booleans
    possible: Booleans
    claim: Floats
    action: NDArray[np.int64]

    def at(self, keep: Booleans) -> VersionChoices:
        """Those of the requests that are kept."""
        return VersionChoices(self.served[keep], self.possible[keep], self.claim[keep], self.action[keep])


class ClientTrust(NamedTuple):
    """Factors of the importance weights by which clients are capped, shape (n,), and the clients that the cap holds.

    `evidence` is the lesser weight of the flips that each version served, in reactions, without that of the prior.
    """

    factor: Floats
    evidence: float
    capped: int


@dataclass(frozen=True)
class LoggedChoices:
    """n logged answers to which users reacted, and the actions of the two versions that are compared.

    `accepted` is 1.0 or 0.0, `propensity` the probability, above 0, with which the served action was drawn, `session`
    numbers the sessions from 0, `client` the clients that reacted, `flipped` marks requests on which the versions'
    actions differ.
    """

    accepted: Floats
    propensity: Floats
    session: NDArray[np.int64]
    client: NDArray[np.int64]
    before: VersionChoices
    after: VersionChoices
    flipped: Booleans

    def at(self, keep: Booleans) -> LoggedChoices:
        """Those of the requests that are kept, with their sessions numbered again."""
        session = np.unique(self.session[keep], return_inverse=True)[1].astype(np.int64)
        return LoggedChoices(
            self.accepted[keep],
            self.propensity[keep],
            session,
            self.client[keep],
            self.before.at(keep),
            self.after.at(keep),
            self.flipped[keep],
        )

    def trust(self, clip: float) -> ClientTrust:
        """The trust in the clients, none of which decides alone.

        None has more than `arbitrank.outcomes.client_cap.CAP` of the weight, with the prior's, of the flips that one
        version served, nor of the requests that both answer alike; what it loses the other clients share.
        """
        factor, evidence, held = np.ones(len(self.accepted)), list[float](), np.zeros(len(self.accepted), np.bool_)
        shown = self.flipped & ~self.without_evidence
        for mask in (shown & self.before.served, shown & self.after.served, ~self.flipped & self.before.served):
            weight = np.minimum(1.0 / self.propensity[mask], clip)
            weight /= weight.mean() if len(weight) else 1.0
            capped = capped_weights(self.client[mask], weight)
            evidence.append(float(capped.sum()))
            factor[mask] = capped / weight * (len(weight) / max(evidence[-1], 1e-300))
            held[mask] = capped < weight - 1e-9
        return ClientTrust(factor, min(evidence[:2]), len(np.unique(self.client[held])))

    def weights(self, version: VersionChoices, clip: float) -> Floats:
        """Importance weights of a version: 1 / propensity where its action was served, at most `clip`; else 0."""
        return np.where(version.served, np.minimum(1.0 / self.propensity, clip), 0.0)

    @property
    def without_evidence(self) -> Booleans:
        """The mask of the flips on which one of the two actions could not have been served."""
        return self.flipped & ~(self.before.possible & self.after.possible)
