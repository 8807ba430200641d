"""Decision settings as an artifact: one JSON file, and where they were tuned a second one that says on what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import UNSET

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.errors import ArtifactError
from arbitrank.learn.gains import Gain
from arbitrank.packages import core_version
from arbitrank.store.artifact import Manifest, read_json, read_manifest, replacing, seal
from arbitrank.store.kinds import DECISIONS

_FILE, _TUNING = "decisions.json", "tuning.json"


class TuningRecord(msgspec.Struct, frozen=True):
    """The tuning that settings come from: on `n` requests, by folds drawn from `seed`, the `setting` that was chosen.

    `setting` is None where only thresholds were. The gains, over the settings then in force, are held out. `requests`
    are their fingerprints (`arbitrank.impact.observed_requests.fingerprints`), None where they are too many.
    """

    n: int
    out_of_scope: int
    seed: Annotated[int, msgspec.Meta(ge=0)]
    setting: str | None
    nll_gain: Gain
    answer_gain: Gain
    domain_gain: Gain
    requests: bytes | None = None


def save_decisions(settings: DecisionSettings, folder: Path, tuning: TuningRecord | None = None) -> Manifest:
    """Write the settings as a sealed artifact into `folder`. Raises as `replacing` does."""
    own = msgspec.structs.replace(settings, version=None, stated=(), set_aside=UNSET)  # of where they serve
    with replacing(folder) as work:
        (work / _FILE).write_bytes(msgspec.json.format(msgspec.json.encode(own), indent=1))
        if tuning is not None:
            (work / _TUNING).write_bytes(msgspec.json.format(msgspec.json.encode(tuning), indent=1))
        return seal(work, Manifest(domain=DECISIONS, package="arbitrank", package_version=core_version()))


def load_decisions(folder: Path) -> DecisionSettings:
    """The settings in a verified artifact, with its version.

    Raises `ArtifactError` where they cannot be decoded or are out of range.
    """
    settings = read_json(folder / _FILE, DecisionSettings, "decision settings", "; publish others")
    return msgspec.structs.replace(settings, version=read_manifest(folder).version, stated=(), set_aside=UNSET)


def load_tuning(folder: Path) -> TuningRecord | None:
    """The record of the tuning that a verified artifact comes from; None where it does not come from one.

    Raises `ArtifactError` where it cannot be decoded.
    """
    if not (folder / _TUNING).exists():
        return None
    found = read_json(folder / _TUNING, TuningRecord, "record of its tuning", "; publish others")
    if found.requests is not None and len(found.requests) % 4:
        raise ArtifactError(f"{folder}: fingerprints of {len(found.requests)} bytes, expected 4 each; publish others")
    return found
