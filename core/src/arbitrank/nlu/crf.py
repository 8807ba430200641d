"""The lattice of a linear-chain CRF: exact k-best decoding and exact marginals.

Label sequences are BIO. Labels that cannot follow one another (an `I-x` after anything but `B-x` or `I-x`) have no
weight, so each label sequence is one slot reading and its probability is the reading's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush
from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NEVER = -1e4
"""The log-weight of an impossible step: far below any real score, finite so that differences stay numbers."""

_LEAST = -700.0
"""The log-weight below which a step adds nothing to a sum: its exponential is the least that is quick to compute."""

_RESCALED = 64
"""Tokens after which sums over label sequences are scaled down; over so many they grow by L ** 64 at most."""

_MOST = 1e100
"""The most that a scaled sum is kept at: it belongs to a label that no sequence of any weight reaches."""


def transition_mask(labels: Sequence[str]) -> NDArray[np.bool_]:
    """The steps that BIO allows: bool of shape (L, L), from row to column."""
    return np.array([[not b.startswith("I-") or a[1:] == b[1:] for b in labels] for a in labels])


class Path(NamedTuple):
    """A label sequence, as places in `labels`, and its probability among all sequences."""

    labels: list[int]
    probability: float


Run = tuple[int, int, int]
"""A slot of a label sequence: the place of its first label, and its first and last token."""

Exit = tuple[float, int]
"""A label that leaves the best way to go on, after what that loses."""


class Chain:
    """Transition weights between labels, float64, masked; `place` of each label, and of the `I-x` for each `B-x`."""

    def __init__(self, labels: Sequence[str], transitions: NDArray[np.float32]) -> None:
        self.place = {label: y for y, label in enumerate(labels)}
        self.names = [label[2:] for label in labels]
        self.inside = [self.place.get(f"I-{name}", -1) for name in self.names]
        self.transitions = np.where(transition_mask(labels), transitions.astype(np.float64), _NEVER)
        self.begin = np.array([_NEVER if label.startswith("I-") else 0.0 for label in labels])

    def runs(self, path: Sequence[int]) -> list[Run]:
        """The slots of a label sequence, in order."""
        found: list[Run] = []
        outside, inside = self.place.get("O", -1), self.inside
        for t, y in enumerate(path):
            if y != outside:
                if inside[y] == y:
                    label, first, _ = found[-1]
                    found[-1] = label, first, t
                else:
                    found.append((y, t, t))
        return found


class Lattice:
    """All label sequences of an utterance, each step by what it loses against the best way to go on.

    The log-probability of a sequence is the sum of its steps' losses, all at most 0, less the log of the sum over all
    sequences. The best sequence loses nothing. `scores`: emissions, float64 of shape (tokens, labels), with a token.
    """

    def __init__(self, chain: Chain, scores: NDArray[np.float64]) -> None:
        length, n = scores.shape
        self.chain = chain
        self.losses = np.empty((length - 1, n, n))
        ahead = np.zeros(n)  # the score of the best continuation of each label
        for t in range(length - 2, -1, -1):
            losses = np.add(chain.transitions, scores[t + 1] + ahead, out=self.losses[t])
            ahead = np.maximum.reduce(losses, axis=1)
            losses -= ahead[:, None]
        self.first = scores[0] + chain.begin + ahead
        self.first -= np.maximum.reduce(self.first)

        # Sums over the steps' exponentials; scaled down in long utterances, before they overflow.
        self.weights = np.exp(np.maximum(self.losses, _LEAST))
        self.forward = [np.exp(np.maximum(self.first, _LEAST))]
        scale = 0.0
        for t in range(1, length):
            if t % _RESCALED == 0:
                much = float(np.add.reduce(self.forward[-1]))
                scale += log(much)
                self.weights[t - 1] /= much
            self.forward.append(self.forward[-1].dot(self.weights[t - 1]))
        self.total = float(np.add.reduce(self.forward[-1]))
        self.log_z = log(self.total) + scale

    @cached_property
    def backward(self) -> list[NDArray[np.float64]]:
        """The sum over all continuations after each position and label; 1 at the last token."""
        backward = [np.ones(len(self.first))]
        for t in range(len(self.weights), 0, -1):
            backward.append(self.weights[t - 1].dot(backward[-1]))
            if t % _RESCALED == 0:
                np.minimum(backward[-1], _MOST, out=backward[-1])
        return backward[::-1]

    def best(self, k: int) -> list[Path]:
        """The k most probable label sequences, best first; fewer where there are fewer.

        A sequence follows another one up to some token, takes another label there, and goes on in the best way. So
        what it loses is known when it leaves, and a heap gives the sequences in order (Eppstein, 1998).
        """
        onward = self.losses.argmax(axis=2).tolist()  # the best label after each
        head = [int(self.first.argmax())]
        for after in onward:
            head.append(after[head[-1]])
        steps = np.concatenate((self.first[None], self.losses[np.arange(len(onward)), head[:-1]]))
        limit = _limit(steps, k)
        heap: list[tuple[float, list[int]]] = [(0.0, head[:1])]
        exits: dict[tuple[int, int], list[Exit]] = {(t, y): [] for t, y in enumerate(head)}
        for t, z in zip(*[places.tolist() for places in (steps >= -limit).nonzero()], strict=True):
            if z == head[t]:
                continue
            if t:
                exits[t - 1, head[t - 1]].append((-steps.item(t, z), z))
            else:
                heap.append((-steps.item(t, z), [z]))
        heapify(heap)
        paths: list[Path] = []
        while heap and len(paths) < k:
            lost, labels = heappop(heap)
            y = labels[-1]
            for t in range(len(labels) - 1, len(onward)):
                best = onward[t][y]
                if (t, y) not in exits:  # later sequences have lost more, so that fewer exits are left to them
                    exits[t, y] = self._exits(t, y, best, limit - lost)
                for more, z in exits[t, y]:
                    if lost + more <= limit:
                        heappush(heap, (lost + more, [*labels, z]))
                labels.append(best)
                y = best
            paths.append(Path(labels, exp(-lost - self.log_z)))
        return paths

    def _exits(self, t: int, y: int, best: int, most: float) -> list[Exit]:
        """The labels after label y of token t that lose no more than `most`, but for the best one."""
        losses = self.losses[t, y]
        return [(-losses.item(z), z) for z in (losses >= -most).nonzero()[0].tolist() if z != best]

    def log_probability(self, labels: Sequence[int]) -> float:
        """The log-probability of a whole label sequence, as places in `labels`."""
        steps = self.losses[np.arange(len(labels) - 1), labels[:-1], labels[1:]]
        return float(self.first[labels[0]] + steps.sum() - self.log_z)

    def run_probability(self, run: Run) -> float:
        """P(a slot of this name covers exactly these tokens)."""
        label, first, last = run
        inside = self.chain.inside[label]
        chance: float = self.forward[first].item(label)
        for t in range(first, last):
            chance *= self.weights.item(t, label, inside)
            label = inside
        ahead = self.backward[last].item(label)
        if inside >= 0 and last < len(self.weights):
            ahead -= self.weights.item(last, label, inside) * self.backward[last + 1].item(inside)
        return min(1.0, max(0.0, chance * ahead / self.total))


def _limit(steps: NDArray[np.float64], k: int) -> float:
    """A loss that the k best sequences do not exceed: those that leave the best one once lose one of `steps`."""
    once = steps.ravel()
    last = len(once) - (len(steps) + k - 1)  # of each token's steps, the best sequence's own loses nothing
    bound = float(np.partition(once, last)[last]) if last >= 0 else -np.inf
    return -max(bound, _NEVER / 2)
