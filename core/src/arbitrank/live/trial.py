"""Trial of a request: the answer by chosen versions, which is neither counted nor compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from arbitrank.arbitration.arbitrator import Serving
from arbitrank.live.routing import Routing, takes_part, with_serving
from arbitrank.selections import CanaryDraw
from arbitrank.store.kinds import DECISIONS, SHORTLIST
from arbitrank.values import Answer, Request

if TYPE_CHECKING:
    from arbitrank.arbitration.arbitrator import Arbitrator


class RequestTrial(NamedTuple):
    """The arbitrator that answers a trial, and the arms of the names of which a candidate has a share now."""

    arbitrator: Arbitrator
    canary: Mapping[str, CanaryDraw]

    def drawn(self, answer: Answer) -> dict[str, CanaryDraw]:
        """The arms of the names that took part in an answer."""
        return {name: one for name, one in self.canary.items() if takes_part(name, answer)}


def trial_of(routing: Routing, request: Request, versions: Mapping[str, str]) -> RequestTrial | None:
    """The trial of a request by `versions` of names, and of all others as it is served; None where one isn't loaded.

    Of a name with a canary the session's arm answers, as it does in the service; without a session the stable version,
    as the service draws an arm for each such request.
    """
    drawn = routing.drawn(request).difference(versions) if request.session else frozenset[str]()
    arbitrator, arms = routing.arbitrator(drawn), set(drawn)
    for name, version in versions.items():
        candidate = routing.candidates.get(name)
        if _serves(arbitrator, name, version):
            continue
        if candidate is None or candidate.serving.version != version:
            return None
        arbitrator = with_serving(arbitrator, name, candidate.serving)
        arms.add(name)
    return RequestTrial(arbitrator, routing.arms(routing.candidates, arms)["canary"])


def _serves(arbitrator: Arbitrator, name: str, version: str) -> bool:
    """True where a version is what the arbitrator answers by under a name."""
    if name == DECISIONS:
        return arbitrator.decisions.version == version
    if name == SHORTLIST:
        return arbitrator.shortlisting is not None and arbitrator.shortlisting.version == version
    one = arbitrator.domains.get(name)
    return isinstance(one, Serving) and one.version == version
