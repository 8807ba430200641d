"""Change of the features that a domain's weights know, from those that serve to those that were trained."""

from __future__ import annotations

from pathlib import Path

from arbitrank.domain import Domain
from arbitrank.feature_names import changed, features_of
from arbitrank.guard import Fault, guarded
from arbitrank.store.artifact import read_manifest


def _features(domain: Domain, folder: Path) -> frozenset[str] | None:
    return features_of(domain.load(folder))


def feature_notes(domain: Domain, base: Path | None, folder: Path) -> tuple[str, ...]:
    """The note on features of hypotheses that the new weights know and those that serve do not, or the reverse."""
    if base is None:
        return ()
    before, now = (guarded(_features, domain, one) for one in (base, folder))
    if before is None or now is None or isinstance(before, Fault) or isinstance(now, Fault):
        return ()
    change = changed(before, now)
    return (f"compared with the weights that serve ({read_manifest(base).version}): {change}",) if change else ()
