"""What an evaluation cost, in words: the time of each stage and the most memory held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def cost(metrics: Mapping[str, Any]) -> str:
    """The seconds by stage, those of each system summed over the domains, and the peak of memory where it is known."""
    stages = {stage: spent for stage, spent in metrics["seconds"].items() if not isinstance(spent, Mapping)}
    apart = next(iter(spent for spent in metrics["seconds"].values() if isinstance(spent, Mapping)), {})
    text = f"{sum(stages.values()):.0f} s: {_listed(stages)}"
    if apart:
        text += f"; by system, all domains: {_listed(apart)}"
    held = metrics["peak_memory_bytes"]
    return text if held is None else f"{text}; at most {held / 1e9:.2f} GB of memory"


def _listed(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
