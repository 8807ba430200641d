"""The decision on a merged list: accept its head, ask the user to choose, or declare it out of scope.

    none      P(out of scope) exceeds the threshold `none`, or no domain has a reading
    clarify   else P(right) of the head is below `accept`, or another domain's claim is close to the head's;
              `accept_by` has other thresholds in place of `accept`, by the head's domain or the context
    accept    else

Two domains are compared by the odds that the request is the one's and not the other's, `margin`: 99.9 % and 93 % are
far apart, as the first is 75 times as likely. `decide` decides on one list, `actions` on many; both by `action_codes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from arbitrank.arbitration.claims import checked_groups, without_agreeing
from arbitrank.arbitration.competition import Competition, Served
from arbitrank.arbitration.risk_bound import AcceptBy, BoundSetAside, RiskBound, group_of
from arbitrank.errors import InputError
from arbitrank.probability import CLIP
from arbitrank.values import Action, AnswerRisk, Confidence, Decision, Ranked

ACTIONS: tuple[Action, ...] = ("accept", "clarify", "none")
"""The actions by their codes."""

_TOP = 1.0 - CLIP

CHOOSABLE = 0.1
"""The least P(right), given that the request is the domain's, of a reading that a user is asked about."""


class DecisionSettings(msgspec.Struct, frozen=True):
    """Settings by which a merged list is ordered and decided; one value for every command, service and measurement.

    `none`, in [0, 1]: decide `none` where P(out of scope) exceeds it. `accept`, in [0, 1]: never accept a head whose
    P(right) is below it. `clarify`, in [0, 1]: decide `clarify` where the shares of the head's domain and of another
    one against each other (`margin`) differ by less; 0 asks below `accept` alone. `normalise`: condition the domains'
    P(mine) on exactly one of them owning the request before they order the list
    (`arbitrank.arbitration.conditioning.after_winning`), with `independence`, in [0, 1], of the domains' evidence.
    `rank_unserved`: rank hypotheses of domains that are not installed by R0 instead of only reporting them. `fallback`:
    the domain that acts where no other should. `scales`: by domain and field, the scales of scores that are not
    probabilities (`arbitrank.scales`). `competition`: the calibration of the domains' claims against each other, before
    `normalise`. `groups` names domains whose intents and slots mean the same, so that equal readings of them agree
    instead of competing (`arbitrank.arbitration.claims`). `version` is that of the artifact which the settings were
    completed with, `stated` names the fields that the operator states, so that no artifact changes them. `accept_by`
    has thresholds in place of `accept`, by the head's domain or the context; `bound` is the guarantee that the
    thresholds were certified with, None without one (`arbitrank.decisions.risk`). `set_aside` is the artifact's bound
    where statements of the operator set it aside.
    """

    none: Confidence = 0.5
    clarify: Confidence = 0.2
    normalise: bool = False
    independence: Confidence = 0.5
    rank_unserved: bool = False
    accept: Confidence = 0.3
    fallback: str | None = None
    scales: dict[str, dict[str, str]] = {}
    competition: Competition | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    version: str | None = None
    stated: tuple[str, ...] = ()
    accept_by: AcceptBy | None = None
    bound: RiskBound | None = None
    set_aside: BoundSetAside | UnsetType = UNSET  # in no artifact, as it is of where they serve

    def __post_init__(self) -> None:
        if self.groups:
            try:
                checked_groups(self.groups)
            except InputError as error:  # decoding reports a ValueError with its place
                raise ValueError(str(error)) from None

    @property
    def exclusive(self) -> bool:
        """True where the domains' P(mine) of an answer are conditioned on one claim at most being right."""
        return self.normalise or (self.competition is not None and not self.competition.overlapping)

    @property
    def share(self) -> float | None:
        """The share of out-of-scope requests that the competition assumes, None where it assumes none."""
        return None if self.competition is None else self.competition.share

    @property
    def conditions(self) -> bool:
        """True where the domains' P(mine) of an answer are others than the domains returned."""
        return self.normalise or self.competition is not None


TUNABLE = (
    "none",
    "clarify",
    "normalise",
    "independence",
    "rank_unserved",
    "accept",
    "fallback",
    "competition",
    "groups",
    "accept_by",
    "bound",
)
"""The settings that an artifact of decision settings may have in place of the defaults, beside scales."""


def unbounded(settings: DecisionSettings) -> DecisionSettings:
    """The settings without their bound on risk: thresholds that it set, and nobody states, are the defaults again."""
    if settings.bound is None:
        return settings
    default = DecisionSettings()
    free = {name: getattr(default, name) for name in ("none", "accept", "clarify") if name not in settings.stated}
    return replace(settings, **free, accept_by=None, bound=None)


def with_bound_of(settings: DecisionSettings, tested: DecisionSettings) -> DecisionSettings:
    """The settings with the bound of those that were tested set aside where it is not of them."""
    if tested.bound is None or not (reasons := tuple(_differences(settings, tested))):
        return settings
    return replace(settings, bound=None, set_aside=BoundSetAside(tested.bound, reasons))


def _differences(settings: DecisionSettings, tested: DecisionSettings) -> Iterator[str]:
    """The settings that are others than those that were tested, in sentences."""
    for name in TUNABLE:
        now, then = getattr(settings, name), getattr(tested, name)
        if now == then:
            continue
        if isinstance(now, float) and isinstance(then, float):
            yield f"{name} {now:g} is stated, {then:g} was tested"
        elif name == "accept_by" and isinstance(then, AcceptBy):
            yield f"accept is stated, thresholds by {then.key} were tested"
        else:
            yield f"{name} is stated, another value was tested"


def bound_remark(settings: DecisionSettings, served: Mapping[str, Served], beyond: Iterable[str] = ()) -> str | None:
    """A sentence on a bound that is not in force, with the reasons; None where there is none, or it is in force.

    `beyond` is what decides beyond the domains and the settings.
    """
    aside = settings.set_aside
    bound, stated = (settings.bound, ()) if aside is UNSET else (aside.bound, aside.reasons)
    if bound is None or not (reasons := [*stated, *bound.not_in_force(served, beyond)]):
        return None
    again = f"; run: arbitrank tune --risk {bound.risk:g}" if bound.outdated(served) else ""
    return f"the bound on risk, at most {100 * bound.risk:g} % wrong, is not in force: {'; '.join(reasons)}{again}"


def stated_in_answers(
    settings: DecisionSettings, served: Mapping[str, Served], followed: float | None, beyond: Sequence[str]
) -> tuple[str | UnsetType, float | UnsetType, AnswerRisk | UnsetType]:
    """Facts on the settings in each answer: their version, the share that is followed, and the bound on risk.

    The bound is stated where it is in force: for lists that are merged as they were when it was tested, by the same
    versions, and where nothing decides `beyond` them.
    """
    bound, share = settings.bound, UNSET if followed is None else followed
    void = bound is None or bound.not_in_force(served, beyond)
    return settings.version or UNSET, share, UNSET if bound is None or void else bound.in_answers


def p_out_of_scope(mine: Iterable[Any]) -> Any:
    """P(out of scope), Π(1 − P(mine)), of the domains' P(mine) of a request, or arrays of them of many requests.

    P(mine) is as the domains returned it, before `arbitrank.arbitration.conditioning.after_winning`.
    """
    return math.prod([1.0 - p for p in mine])


def margin(mine: Any, other: Any, exclusive: bool) -> Any:
    """(o1 − o2) / (o1 + o2) of the odds of two domains' P(mine), in [−1, 1]: 0 for equal ones; works on arrays.

    It is the difference of their shares where the request is one of the two domains', 0.2 for 60 % and 40 %. Of P(mine)
    that are `exclusive`, conditioned on one domain owning the request, the probabilities themselves are compared.
    """
    if isinstance(mine, float) and isinstance(other, float):  # Python is faster on single numbers
        if not (CLIP <= mine <= _TOP and CLIP <= other <= _TOP):
            mine, other = min(max(mine, CLIP), _TOP), min(max(other, CLIP), _TOP)
    else:
        mine, other = np.clip(mine, CLIP, _TOP), np.clip(other, CLIP, _TOP)
    if not exclusive:
        mine, other = mine / (1.0 - mine), other / (1.0 - other)
    return (mine - other) / (mine + other)


def choosable(mine: Any, right: Any) -> Any:
    """True for a domain's best reading that a user may be asked about; works on arrays.

    A reading that is hardly right even where the request is its domain's is none that the user would choose.
    """
    return (right > 0.0) & (right >= CHOOSABLE * mine)


def action_codes(
    out_of_scope: Any, empty: Any, right: Any, closest: Any, settings: DecisionSettings, accept: Any = None
) -> Any:
    """The decision's index in `ACTIONS`; works on arrays.

    `right` is P(right) of the list's head; `closest` the least absolute `margin` between its domain and another one
    with a `choosable` reading, infinite where there is none. `accept` is the threshold that applies, None for the
    settings'.
    """
    none = (out_of_scope > settings.none) | empty
    asked = (right < (settings.accept if accept is None else accept)) | (closest < settings.clarify)
    return 2 * none + (1 - none) * asked


def decide(
    ranked: Sequence[Ranked],
    settings: DecisionSettings = DecisionSettings(),
    *,
    out_of_scope: float | None = None,
    exclusive: bool | None = None,
    context: Mapping[str, Any] = MappingProxyType({}),
) -> Decision:
    """The decision on a merged list; contenders are indices into it.

    They are for `accept` the head of the list, for `clarify` the head and the best reading of every other domain whose
    claim is close to the head's, and for `none` nothing. `out_of_scope` is P(out of scope); None computes
    it from the list's domains: the rest of their P(mine) after a competition, else Π(1 − P(mine)), which is wrong once
    they have been conditioned on one another otherwise, as `arbitrank.arbitration.conditioning.after_winning` and a
    HypRank do. `exclusive` marks those; None is what the settings say. Domains of a group with the same reading are one
    claim, of which the first entry stands for all. `context` is the request's, by which `accept_by` may go.
    """
    heads: dict[str, int] = {}
    for i, entry in enumerate(ranked):
        if entry.domain not in heads:
            heads[entry.domain] = i
    places = list(heads.values())
    places = without_agreeing(ranked, places, settings.groups) if settings.groups else places
    chances = {i: ranked[i].domain_probability or 0.0 for i in places}
    if out_of_scope is None:
        competing = settings.competition is not None and settings.exclusive
        out_of_scope = 1.0 - sum(chances.values()) if competing else p_out_of_scope(chances.values())
    if not chances:
        return Decision("none")
    right, mine = ranked[0].probability or 0.0, chances.pop(0)
    exclusive = settings.exclusive if exclusive is None else exclusive
    least = _least(mine, settings.clarify)
    margins = {
        i: abs(margin(mine, p, exclusive))
        for i, p in chances.items()
        if p >= least and choosable(p, ranked[i].probability)
    }
    closest = min(margins.values(), default=math.inf)
    by, accept = settings.accept_by, settings.accept
    if by is not None:
        accept = by.threshold(group_of(by.key, ranked[0].domain, context), accept)
    action = ACTIONS[action_codes(out_of_scope, False, right, closest, settings, accept)]
    if action == "none":
        return Decision("none")
    return Decision(action, (0, *(i for i, distance in margins.items() if distance < settings.clarify)))


def _least(mine: float, clarify: float) -> float:
    """A bound below which no other P(mine) is close, as odds are further apart than probabilities: it spares the rest
    of a long list its margins."""
    least = (1.0 - 1e-9) * max(mine, CLIP) * (1.0 - clarify) / (1.0 + clarify)
    return least if least > CLIP else 0.0
