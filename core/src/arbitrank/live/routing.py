"""Routing of a request to the stable versions, or to a candidate where the request falls into its share.

A routing is one frozen value. A request takes it once and is answered by it to the end, so no answer mixes versions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET

from arbitrank.arbitration.arbitrator import Arbitrator, Broken, Serving
from arbitrank.arbitration.outcomes import ServedArm
from arbitrank.arbitration.stages import ShortlistStage, SortStage
from arbitrank.live.comparison import Arm, ComparedVersions
from arbitrank.outcomes.draws import draw, draw_key
from arbitrank.selections import CanaryDraw
from arbitrank.store.kinds import DECISIONS, HYPRANK, SHORTLIST
from arbitrank.values import Answer, Request

if TYPE_CHECKING:
    from arbitrank.arbitration.profiles import DomainProfile
    from arbitrank.live.domain_state import FollowedState


@dataclass(frozen=True)
class LoadedCandidate:
    """A loaded candidate, and the version that is stable beside it.

    The candidate answers a `share` of the requests, in [0, 1]; with `shadow`, both versions are called and compared.
    """

    serving: Serving
    beside: str
    share: float = 0.0
    shadow: bool = False

    def side(self, arm: Arm) -> ComparedVersions:
        """The two versions, for an answer of one arm."""
        return ComparedVersions(self.beside, self.serving.version, self.share, arm)


class RequestStages(NamedTuple):
    """The Shortlister and the HypRank of a request, None for one that is not there, and the arms of those compared."""

    shortlisting: ShortlistStage | None
    hyprank: SortStage | None
    arms: Mapping[str, ServedArm]


@dataclass(frozen=True)
class Routing:
    """The arbitrator of the stable versions, and the candidates that answer some of the requests instead."""

    stable: Arbitrator
    candidates: Mapping[str, LoadedCandidate] = field(default_factory=dict)

    def drawn(self, request: Request) -> frozenset[str]:
        """The names whose candidate answers this request."""
        key = draw_key(request) if self.candidates else None
        if key is None:
            return frozenset()
        return frozenset(
            name
            for name, candidate in self.candidates.items()
            if candidate.share and draw(name, candidate.serving.version, key) < candidate.share
        )

    def arbitrator(self, drawn: Collection[str] = ()) -> Arbitrator:
        """The arbitrator with the candidates of these names; everything else it shares with the stable one."""
        arbitrator = self.stable
        for name in drawn:
            arbitrator = with_serving(arbitrator, name, self.candidates[name].serving)
        return arbitrator

    def stages(self, request: Request) -> RequestStages:
        """The Shortlister and the HypRank that serve a request."""
        drawn = self.drawn(request)
        one = self.arbitrator(drawn)
        arms = {name: self.arm(name, drawn) for name in (SHORTLIST, HYPRANK) if name in self.candidates}
        return RequestStages(one.shortlisting, one.hyprank, arms)

    def arm(self, name: str, drawn: Collection[str]) -> ServedArm:
        """The version of a name that answers a request with the candidates of `drawn`."""
        return "canary" if name in drawn else "stable"

    def arms(self, names: Iterable[str], drawn: Collection[str]) -> dict[str, Any]:
        """The fields `arms` and `canary` of an arbitration with the candidates of `drawn`, in which these took part."""
        arms = {name: self.arm(name, drawn) for name in names}
        shares = {name: one for name in arms if (one := self.candidates[name]).share > 0.0}
        canary = {
            name: CanaryDraw(one.beside, one.serving.version, one.share, arms[name]) for name, one in shares.items()
        }
        return {"arms": arms, "canary": canary}

    def sides(self, drawn: Collection[str], answer: Answer) -> dict[str, ComparedVersions]:
        """The versions that are compared by an answer with the candidates of `drawn`."""
        return {
            name: candidate.side(self.arm(name, drawn))
            for name, candidate in self.candidates.items()
            if takes_part(name, answer)
        }


def takes_part(name: str, answer: Answer) -> bool:
    """True where a domain was queried for an answer, or a stage ran for it."""
    if name == SHORTLIST:
        return answer.shortlist is not UNSET
    return name in (HYPRANK, DECISIONS) or name in answer.domains


def with_serving(arbitrator: Arbitrator, name: str, serving: Serving | Broken) -> Arbitrator:
    """An arbitrator with another version under a name: a domain's, the Shortlister's, the HypRank's, settings."""
    stage: Any = serving.model if isinstance(serving, Serving) else None
    if name == DECISIONS:
        return replace(arbitrator, decisions=stage) if stage is not None else arbitrator
    if name in (SHORTLIST, HYPRANK):
        return replace(arbitrator, **{"shortlisting" if name == SHORTLIST else "hyprank": stage})
    return replace(arbitrator, domains={**arbitrator.domains, name: serving})


def with_states(
    routing: Routing, states: Mapping[str, FollowedState], gone: Collection[str], profiles: Mapping[str, DomainProfile]
) -> Routing:
    """A routing with what these states say in the place of what answered under their names, and without the `gone`."""
    kept = {name: one for name, one in routing.stable.domains.items() if name not in gone}
    domains = {**kept, **{name: state.serving for name, state in states.items()}}
    stable = replace(routing.stable, domains=dict(sorted(domains.items())), profiles=profiles)
    stable.prepare()
    candidates = {name: one for name, one in routing.candidates.items() if name not in {*gone, *states}}
    return Routing(stable, {**candidates, **{name: one.candidate for name, one in states.items() if one.candidate}})
