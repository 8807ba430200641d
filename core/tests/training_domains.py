"""Domains to train in processes of their own, each with the outcome in its name."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.domain import Domain, Model, Scores, Settings
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.values import Example, Request


class Bayes(Model):
    """What the confidences of `test_training.line` are worth, by the law that they are drawn by."""

    def __init__(self, odds: float) -> None:
        self.odds = odds

    def rerank(self, request: Request) -> Scores:
        first, *others = request.hypotheses or ()
        mine = 1.0 / (1.0 + np.exp(-7.5 * ((first.domain_confidence or 0.5) - 0.55) - self.odds))
        return Scores(float(mine), np.array([mine, *(0.0 for _ in others)]))


class Plain(Domain):
    """Learns the share of requests that are its own, and writes down which process that was in, and how often."""

    def __init__(self, name: str) -> None:
        self.name = name

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> dict[str, Any]:
        kind = self.name.split("-")[0]
        settings.progress("learning", 0, 1)
        with open(Path(os.environ["ARBITRANK_TEST_FOLDER"]) / self.name, "a") as file:
            file.write(f"{os.getpid()}\n")
        begun = len((Path(os.environ["ARBITRANK_TEST_FOLDER"]) / self.name).read_text().splitlines())
        if kind == "killed" or (kind == "once" and begun == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "fells" and begun == 1:
            os.kill(os.getppid(), signal.SIGKILL)  # the worker of the cluster that it runs under
            time.sleep(600)
        if kind == "hangs" and begun == 1:
            time.sleep(600)
        if kind == "hungry":
            held = [np.ones(1 << 22) for _ in range(24)]
            time.sleep(600)
            del held
        if kind == "raises":
            print("on its way to the end")
            raise ValueError("that was to be expected")
        share = float(np.mean([example.truth.domain == self.name for example in examples]))
        (out / "reranker").mkdir()
        (out / "reranker" / "weights.json").write_text(
            json.dumps(9.0 if kind == "poor" else float(np.log(share / (1.0 - share))))
        )
        return {}

    def load(self, folder: Path) -> Model:
        return Bayes(json.loads((folder / "reranker" / "weights.json").read_text()))


def make(name: str) -> Domain:
    return Plain(name)


def reference(name: str) -> Domain:
    return ReferenceDomain(name)
