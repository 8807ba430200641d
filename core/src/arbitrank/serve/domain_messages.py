"""Bodies of calls that change what serves for a domain or preview that, and cards of its versions."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from arbitrank.evaluate.metrics import Calibration
from arbitrank.serve.messages import Note
from arbitrank.values import Confidence


class PromoteCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Version to make stable, by default the candidate; `force` overrides the gate and needs a `reason`.

    `recalibrate` fits a recalibration where the gate refuses its probabilities, and judges it again with that.
    """

    version: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")] | None = None
    force: bool = False
    recalibrate: bool = False
    reason: Note | None = None


class RollbackCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Reason of a rollback; 409 where the last change has not the number `expected`, if that is given."""

    reason: Note | None = None
    expected: int | None = None


class CanaryCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Share of the requests that the candidate answers, and the reason."""

    share: Confidence
    reason: Note | None = None


class ShrinkCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Recalibration of the stable version, log-odds / `temperature` + `shift`; the defaults remove it.

    409 where the last change has not the number `expected`, if that is given.
    """

    temperature: Annotated[float, Meta(ge=1.0, le=1_000.0)] = 1.0
    shift: Annotated[float, Meta(ge=-20.0, le=20.0)] = 0.0
    reason: Note | None = None
    expected: int | None = None


class IncidentCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logged request whose answer was wrong, by its id, and the reason; a case that there is keeps its own without one.

    `undo` removes the case.
    """

    id: Annotated[str, Meta(min_length=1, max_length=200)]
    reason: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    undo: bool = False


class IncidentMade(msgspec.Struct, frozen=True):
    """Case among a domain's incidents: its `name`; `new`: the domain's suites have changed.

    `demands_truth`: it demands the truth that the log has.
    """

    domain: str
    name: str
    new: bool
    demands_truth: bool


class ImpactCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change of a domain or stage to preview: promoting `version`, else the candidate, rolling back, or shrinking.

    `on` are the requests to replay, by default the store's audit set, else the service's log, from `since` on (a date,
    or `12h` or `2d` before its end). `temperature` and `shift` are of shrinking, `fitted` to have them fitted to these
    requests.
    """

    change: Literal["promote", "rollback", "shrink"] = "promote"
    version: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")] | None = None
    on: Literal["audit set", "log"] | None = None
    since: Annotated[str, Meta(max_length=40)] | None = None
    temperature: Annotated[float, Meta(ge=1.0, le=1_000.0)] = 1.0
    shift: Annotated[float, Meta(ge=-20.0, le=20.0)] = 0.0
    fitted: bool = False


class VersionCard(msgspec.Struct, frozen=True):
    """A version's origin, the package that trained it, its kind of model, training examples, time of training and card.

    `card` is its calibration on held-out training data, null where it has none; `problem` says why it cannot be read.
    """

    version: str
    origin: str
    package: str = ""
    package_version: str = ""
    model: str = ""
    rows: int = 0
    time: int = 0
    card: Calibration | None = None
    problem: str | None = None


class DomainCards(msgspec.Struct, frozen=True):
    """Cards of a domain's versions by alias; `stable` is the package's version where none of the store is."""

    domain: str
    cards: dict[str, VersionCard]
