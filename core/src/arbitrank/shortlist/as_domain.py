"""Adapter that shows a Shortlister as a domain, for code that loads, tests and follows domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.domain import Domain, Model, Scores, Settings
from arbitrank.errors import InputError
from arbitrank.shortlist.artifact import NAME, load_shortlister
from arbitrank.shortlist.calibration import account_profile
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Example, Hypothesis, Request


class ShortlistModel(Model):
    """A Shortlister as a model whose hypotheses are the skills of the shortlist."""

    def __init__(self, shortlister: Shortlister) -> None:
        self.shortlister = shortlister

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        """The shortlist, as hypotheses of the domain `shortlist` whose intents are skills."""
        found = self.shortlister.shortlist(request.utterance, profile=account_profile(request))
        return [Hypothesis(NAME, one.skill, one.score, skill=one.skill) for one in found]

    def rerank(self, request: Request) -> Scores:
        """The scores again, scaled down where they sum to more than 1."""
        right = np.array([one.domain_confidence or 0.0 for one in request.hypotheses or ()])
        right = right / max(1.0, float(right.sum()))
        return Scores(min(1.0, float(right.sum())), right)


class ShortlistDomain(Domain):
    """The Shortlister as a domain that can be loaded but not trained."""

    name = NAME

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        """Refused: a Shortlister is trained on the skills of all domains."""
        raise InputError("the shortlister is no domain; run: arbitrank shortlist train")

    def load(self, folder: Path) -> ShortlistModel:
        """The Shortlister in an artifact. Raises `ArtifactError` where it cannot be read."""
        return ShortlistModel(load_shortlister(folder))
