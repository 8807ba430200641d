"""Decision settings as an artifact: one JSON file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.packages import core_version
from arbitrank.store.artifact import Manifest, read_json, read_manifest, replacing, seal
from arbitrank.store.kinds import DECISIONS

_FILE = "decisions.json"


def save_decisions(settings: DecisionSettings, folder: Path) -> Manifest:
    """Write the settings as a sealed artifact into `folder`. Raises as `replacing` does."""
    own = msgspec.structs.replace(settings, version=None, stated=())  # of where they serve, not of the artifact
    with replacing(folder) as work:
        (work / _FILE).write_bytes(msgspec.json.format(msgspec.json.encode(own), indent=1))
        return seal(work, Manifest(domain=DECISIONS, package="arbitrank", package_version=core_version()))


def load_decisions(folder: Path) -> DecisionSettings:
    """The settings in a verified artifact, with its version.

    Raises `ArtifactError` where they cannot be decoded or are out of range.
    """
    settings = read_json(folder / _FILE, DecisionSettings, "decision settings", "; publish others")
    return msgspec.structs.replace(settings, version=read_manifest(folder).version, stated=())
