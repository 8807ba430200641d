"""Check of the outcome in a message of another process or service, before it is used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arbitrank.arbitration.checks import MAX_HYPOTHESES, adds_up, check_features, checked_explanation, checked_scores
from arbitrank.arbitration.outcomes import Answered, Failed
from arbitrank.domain import Scores
from arbitrank.errors import PluginError
from arbitrank.explanation import completed
from arbitrank.isolation.messages import DomainOutcome
from arbitrank.scores import Kept, only
from arbitrank.values import Hypothesis

__all__ = ["checked_outcome"]


def checked_outcome(
    name: str, message: DomainOutcome, given: Sequence[Hypothesis] | None, explain: bool
) -> Answered | Failed:
    """The outcome in a worker's message, checked again: sizes, owners, finite numbers, sums.

    The worker has checked all of it, so a violation means that something there went very wrong.
    """
    if message.failure is not None:
        if given is not None and message.unread is not None and 0 <= message.unread < len(given):
            return Failed(message.failure, message.recognise_ms, 0, message.unread, kind="request")
        return Failed(message.failure, message.recognise_ms)
    hypotheses, right = (message.hypotheses or ()) if given is None else given, message.right
    try:
        if given is not None and message.kept is not None:
            hypotheses = only(given, _checked_places(message.kept, len(given)))
        scores = Scores(message.mine, np.array(right, dtype=float))
        if len(right) != len(hypotheses) or not adds_up(message.mine, right):
            scores = checked_scores(scores, len(hypotheses))
        if given is None and len(hypotheses) > MAX_HYPOTHESES:
            raise PluginError(f"{len(hypotheses)} hypotheses, expected at most {MAX_HYPOTHESES}")
        if given is None and [h for h in hypotheses if h.domain != name or h.features]:
            _check_each(name, hypotheses)
        why = completed(checked_explanation(message.why or (), len(hypotheses)), scores.right) if explain else None
    except PluginError as error:
        return Failed(str(error), message.recognise_ms + message.rerank_ms, kind="contract")
    kept = None if given is None else message.kept
    return Answered(hypotheses, scores, why, message.recognise_ms, message.rerank_ms, kept, message.scales)


def _check_each(name: str, hypotheses: Sequence[Hypothesis]) -> None:
    """Raise `PluginError` for the first hypothesis of another domain, or with a feature that is no finite number."""
    for i, hypothesis in enumerate(hypotheses):
        if hypothesis.domain != name:
            raise PluginError(f"hypothesis {i} is of domain {hypothesis.domain!r}, expected {name!r}")
        check_features(i, hypothesis)


def _checked_places(kept: Kept, n: int) -> Kept:
    """The places of distinct readings among `n`. Raises `PluginError` where they are none."""
    if len({i for i, _ in kept}) < len(kept) or not all(0 <= i < n for i, _ in kept) or sum(k for _, k in kept) != n:
        raise PluginError(f"{len(kept)} distinct readings of {n}, expected each once")
    return kept
