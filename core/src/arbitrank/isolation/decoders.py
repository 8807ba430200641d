"""Decoders of the messages between a service and a worker, which read those of a newer minor version too."""

from __future__ import annotations

from arbitrank.isolation.channel import Decoder
from arbitrank.isolation.messages import (
    BatchContent,
    DomainOutcome,
    FromWorker,
    OtherReplies,
    QueryContent,
    ToWorker,
)
from arbitrank.values import Hypothesis, Slot

__all__ = ["NewerHypothesis", "batch_content", "from_worker", "query_content", "to_worker"]


class _NewerSlot(Slot, frozen=True, omit_defaults=True, forbid_unknown_fields=False, gc=False):
    """A slot of a newer core, which may have more fields."""


class NewerHypothesis(Hypothesis, frozen=True, omit_defaults=True, forbid_unknown_fields=False, gc=False):
    """A hypothesis of a newer core."""

    slots: tuple[_NewerSlot, ...] = ()


class _NewerContent(QueryContent, frozen=True):
    """Content of a query from a newer core."""

    given: tuple[tuple[NewerHypothesis, ...], ...] | None


class _NewerBatch(BatchContent, frozen=True, omit_defaults=True):
    """Content of a batch from a newer core."""

    given: tuple[tuple[NewerHypothesis, ...] | None, ...]


class _NewerOutcome(DomainOutcome, frozen=True, tag="outcome", gc=False, omit_defaults=True):
    """The outcome of a model of a newer core."""

    hypotheses: tuple[NewerHypothesis, ...] | None = None


to_worker = Decoder[ToWorker](ToWorker, ToWorker)
from_worker = Decoder[FromWorker](FromWorker, _NewerOutcome | OtherReplies)
query_content = Decoder[QueryContent](QueryContent, _NewerContent)
batch_content = Decoder[BatchContent](BatchContent, _NewerBatch)
