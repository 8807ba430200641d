"""Impact of a stage's candidate, as the console shows it: the decision settings, the Shortlister, the HypRank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.policy import Policy
from arbitrank.cli import options
from arbitrank.cli.computing import Computing
from arbitrank.errors import InputError
from arbitrank.registry import discover, loaded
from arbitrank.store.state import is_version
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.impact.curves import Curves
    from arbitrank.impact.gate import GateLimits, GateReason
    from arbitrank.impact.report import Impact
    from arbitrank.shortlist.shortlister import ShortlistSettings


class StatedReplay(NamedTuple):
    """Requests to replay from a time on and the name they go by, and the versions that are compared, as stated."""

    on: Path
    called: str | None
    since: float | None
    candidate: str | None
    against: str


class JudgedImpact(NamedTuple):
    """An impact report, the gate's reasons against the change, and the curves of its plots by name."""

    impact: Impact
    reasons: Sequence[GateReason]
    curves: Mapping[str, Curves]


def stage_impact(
    store: Store,
    name: str,
    replay: StatedReplay,
    where: Computing,
    shortlist: ShortlistSettings | None,
    hyprank: Path | None,
    *,
    decisions: DecisionSettings,
    policy: Policy | None,
    limits: GateLimits,
    seed: int,
) -> JudgedImpact:
    """The impact of a stage's candidate, or of a version of it. Raises `InputError` for what a stage does not have."""
    from arbitrank.previews import stage_preview

    if where.cluster is not None:
        raise InputError(f"{name}: --backend dask is for domains; a stage's requests are answered in this process")
    if replay.against != "stable":
        raise InputError(f"{name}: --against {replay.against}: a stage is compared with what serves; expected stable")
    if replay.candidate not in (None, "candidate") and not is_version(replay.candidate):
        raise InputError(f"{name}: --candidate {replay.candidate} is no version; run: arbitrank publish FOLDER")
    found = stage_preview(
        store, loaded(discover()), name, "promote", replay.on,
        version=None if replay.candidate == "candidate" else replay.candidate, since=replay.since,
        called=replay.called, policy=policy, decisions=decisions, limits=limits, shortlist=shortlist,
        hyprank=options.hyprank(hyprank, store), seed=seed,
    )  # fmt: skip
    return JudgedImpact(found.impact, found.reasons, {"calibration": found.curves, "own": found.own})
