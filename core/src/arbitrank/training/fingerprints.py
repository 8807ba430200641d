"""Fingerprints of trainings: digests of all that determines the weights, by which what is unchanged is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from arbitrank.store.artifact import digest
from arbitrank.training.example_file import data_digest
from arbitrank.training.scored_examples import DomainScales
from arbitrank.values import Example


class Determining(NamedTuple):
    """All that determines a domain's weights but its data: settings, package, code, and the recogniser that serves.

    The recogniser's files count where the data bring hypotheses, as it is kept then.
    """

    settings: Mapping[str, Any]
    split: str
    warm: bool
    package: tuple[str, str]
    code: Mapping[str, str]
    recogniser: Mapping[str, str]


def fingerprint(
    domain: str, by: Determining, examples: Sequence[Example], scales: DomainScales, silent: int = 0
) -> str:
    """Digest of everything that determines the weights; `silent` counts other domains' requests beside the examples."""
    by = by if bring_hypotheses(examples) else by._replace(recogniser={})
    parts: list[object] = [domain, (data_digest(examples), silent), *by]
    if trained := scales.recorded(examples):
        parts.append(trained)
    return digest(msgspec.json.encode(parts, order="deterministic"))


def bring_hypotheses(examples: Sequence[Example]) -> bool:
    """True where the examples bring hypotheses, which all or none do."""
    first = next(iter(examples), None)
    return first is not None and first.request.hypotheses is not None
