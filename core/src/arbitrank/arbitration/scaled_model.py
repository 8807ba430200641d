"""A model of a domain whose scores are on scales of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec.structs import replace

from arbitrank.domain import Model, Scores
from arbitrank.scales import NO_SCALES, Scales, shown
from arbitrank.scores import read_hypotheses
from arbitrank.values import Hypothesis, Request


class ScaledModel(Model):
    """A model with the scales of its domain's scores, by which they are read before the model sees them.

    `given` are the scales of hypotheses that callers bring, `recognised` those of the model's own. `dispatch` reads
    hypotheses itself and calls the `model` inside.
    """

    def __init__(self, model: Model, given: Scales, recognised: Scales) -> None:
        self.model, self.given, self.recognised = model, given, recognised
        self.context_keys = getattr(model, "context_keys", None)  # a fallback scorer only scores
        self.hypothesis_features = getattr(model, "hypothesis_features", None)

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        """The model's readings, as it gives them."""
        return self.model.recognise(request)

    def rerank(self, request: Request) -> Scores:
        """The model's scores of hypotheses that a caller brings."""
        return self.model.rerank(self._read(request))

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        """The contributions to them."""
        return self.model.explain(self._read(request))

    @cached_property
    def shown(self) -> tuple[dict[str, str] | None, dict[str, str] | None]:
        """The scales for an answer: of hypotheses that callers bring, and of the model's own; None if all are 0..1."""
        return shown(self.given) or None, shown(self.recognised) or None

    def _read(self, request: Request) -> Request:
        return replace(request, hypotheses=read_hypotheses(request.hypotheses or (), self.given))


def scaled(model: Model, stated: Scales, own: Scales = NO_SCALES) -> Model:
    """The model with the scales that are stated for its domain; `own` are those that the domain itself states.

    Where the model's recogniser returns probabilities by construction, its own readings are on the domain's scales,
    whatever an operator states: that is of hypotheses which callers bring.
    """
    recognised = own if getattr(model, "recognises_probabilities", False) else stated
    return ScaledModel(model, stated, recognised) if stated or recognised else model


def scales_of(model: Model, *, recognised: bool = False) -> Scales:
    """The scales of hypotheses that a caller brings, or that the model `recognised` itself."""
    if not isinstance(model, ScaledModel):
        return NO_SCALES
    return model.recognised if recognised else model.given


def unscaled(model: Model) -> Model:
    """The model that takes hypotheses which have been read."""
    return model.model if isinstance(model, ScaledModel) else model
