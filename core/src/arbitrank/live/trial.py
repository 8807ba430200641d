"""Trial of a request: the answer by chosen versions, which is neither counted nor compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from arbitrank.arbitration.arbitrator import Serving
from arbitrank.live.routing import Routing, with_serving

if TYPE_CHECKING:
    from arbitrank.arbitration.arbitrator import Arbitrator


def with_versions(routing: Routing, versions: Mapping[str, str]) -> Arbitrator | None:
    """The arbitrator of the stable versions and, of the names in `versions`, of those; None where one isn't loaded."""
    arbitrator = routing.stable
    for name, version in versions.items():
        stable, candidate = arbitrator.domains.get(name), routing.candidates.get(name)
        if isinstance(stable, Serving) and stable.version == version:
            continue
        if candidate is None or candidate.serving.version != version:
            return None
        arbitrator = with_serving(arbitrator, name, candidate.serving)
    return arbitrator
