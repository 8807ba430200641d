"""Domains whose artifacts and requests choose their behaviour. Tests import them, or install this file as a plugin."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.domain import Domain, Model, Scores, Skill
from arbitrank.errors import ArtifactError
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.store.artifact import Manifest, seal
from arbitrank.values import Hypothesis, Request

CARD = {
    "n": 2000, "nll": 0.5, "brier": 0.18, "ece": 0.02, "ece_interval": [0.012, 0.03], "ece_floor": 0.018,
    "ece_band": [0.01, 0.028], "over": 0.0,
}  # fmt: skip
"""The card of a calibrated model."""


def artifact(folder: Path, domain: str = "lights", card: Any = None, **weights: Any) -> str:
    """Seal an artifact of a `FakeDomain`; its version."""
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_text(json.dumps(weights))
    (folder / "card.json").write_text(json.dumps(card or {}))
    return seal(folder, Manifest(domain=domain, package="p", package_version="1")).version


def wait_for(file: Path) -> None:
    """Return once a file exists."""
    while not file.exists():
        time.sleep(0.005)


class FakeModel(Model):
    """Recognises every utterance as one intent (none: no hypothesis), and divides `mine` equally among its hypotheses.

    With `strength`, `mine` is the first hypothesis's domain confidence with its odds to that power. `does` names a
    misbehaviour of `rerank`. An utterance "wait FILE" waits for a file, "fail" fails.
    """

    def __init__(
        self, domain: str, intent: str | None = "Do", mine: float = 0.5, does: str = "", strength: float | None = None
    ) -> None:
        self.domain, self.intent, self.mine, self.does, self.strength = domain, intent, mine, does, strength
        self.calls = 0

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        match (request.utterance or "").split():
            case ["wait", file]:
                Path(f"{file}.begun").touch()
                wait_for(Path(file))
            case ["fail", *_]:
                raise RuntimeError("out of order")
            case ["sleep", seconds]:
                time.sleep(float(seconds))
            case ["hold", seconds]:  # no other thread of the process runs meanwhile
                ctypes.PyDLL(None).sleep(int(seconds))
        return [Hypothesis(self.domain, self.intent, 0.5)] if self.intent and request.utterance else []

    def rerank(self, request: Request) -> Scores:
        hypotheses = request.hypotheses or ()
        n, mine = len(hypotheses), self.mine
        self.calls += 1
        if self.strength is not None:
            p = min(max(hypotheses[0].domain_confidence or 0.5, 1e-6), 1.0 - 1e-6)
            odds = float((p / (1.0 - p)) ** self.strength)
            mine = odds / (1.0 + odds)
        right = np.full(n, mine / max(n, 1))
        match self.does:
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                os._exit(3)
            case "hang":
                time.sleep(600)
            case "exhaust memory":
                right = np.ones(1 << 40)
            case "raise":
                raise RuntimeError("out of order")
            case "raise for many" if n > 50:
                raise IndexError("too many")
            case "raise without confidence" if any(one.domain_confidence is None for one in hypotheses):
                raise TypeError("no confidence")
            case "nan":
                right = np.full(n, np.nan)
            case "remember":
                right /= self.calls
            case "print":
                print("null" * 3, flush=True)
                os.write(1, b"noise")
        return Scores(mine, right)


class FakeDomain(Domain):
    """Learns nothing; loads `model`, else what the weights describe: their key `load` is a misbehaviour of `load`."""

    def __init__(
        self, name: str, shipped: Path | None = None, model: Model | None = None, skills: Sequence[Skill] = ()
    ) -> None:
        self.name, self.model, self._shipped, self._skills = name, model, shipped, skills or None  # None is sendable

    @property
    def shipped(self) -> Path | None:
        return self._shipped

    @property
    def skills(self) -> Sequence[Skill]:
        return self._skills or ()

    def train(self, examples: object, out: Path, settings: object) -> dict[str, Any]:
        return {}

    def load(self, folder: Path) -> Model:
        if self.model:
            return self.model
        weights = json.loads((folder / "reranker" / "weights.json").read_text())
        match weights.pop("load", ""):
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hang":
                time.sleep(600)
            case "wait":
                wait_for(Path(weights.pop("file")))
            case "other features":
                raise ArtifactError("features: saw ['b'], expected ['a']")
            case "raise":
                raise RuntimeError("broken")
            case "exit":
                raise SystemExit("no")
            case "number":
                return 5  # type: ignore[return-value]
            case "trees":
                import lightgbm

                lightgbm.Booster(model_str=weights.pop("text"))
        return FakeModel(self.name, **weights)


class FakeReferenceDomain(ReferenceDomain):
    """The reference domain under a name; one named `rotten` cannot be trained."""

    def train(self, examples: Any, out: Path, settings: Any) -> Any:
        if self.name == "rotten":
            raise ValueError("the data are rotten")
        return super().train(examples, out, settings)
