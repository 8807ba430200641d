"""LightGBM's trees by NumPy, read from their text, for serving where LightGBM cannot be imported.

The scores are LightGBM's to the last bit, and a request of few readings takes about twice the time. Contributions are
the exact Shapley values of each tree (Lundberg et al. 2018, arXiv 1802.03888), which LightGBM gives too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import factorial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import Floats

_LEAVES = 64  # of a tree, as many as an integer has bits
_ROWS = 512  # at a time, which bounds the memory
_PLACE = np.array([max(0, bits.bit_length() - 1) for bits in range(256)], np.intp)  # of the only bit


class Tree(NamedTuple):
    """One tree: its nodes' features, thresholds and children, and its leaves' values; a child ~i is leaf i.

    A row goes left where its feature is at most the threshold. `counts` and `weights` are the training rows of each
    node and of each leaf.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]
    counts: tuple[int, ...]
    leaf_counts: tuple[int, ...]

    def leaves(self, node: int = 0) -> list[int]:
        """The leaves under a node, from left to right."""
        if node < 0:
            return [~node]
        return self.leaves(self.left[node]) + self.leaves(self.right[node])

    def count(self, node: int) -> int:
        """The training rows of a node, or of a leaf."""
        return self.counts[node] if node >= 0 else self.leaf_counts[~node]


class ParsedTrees:
    """The trees of a LightGBM text. Raises `ValueError` or `LookupError` where it is damaged."""

    def __init__(self, text: str) -> None:
        head, *parts = text.partition("end of trees")[0].split("\nTree=")
        self.width = int(_fields(head)["max_feature_idx"]) + 1
        self.trees = [_tree(_fields(part)) for part in parts]
        if not self.trees or any(i >= self.width for tree in self.trees for i in tree.feature):
            raise ValueError("no trees, or trees over other features")

    def __call__(self, rows: Floats) -> Floats:
        """The trees' sum for each row, shape (n,)."""
        found = [self._summed(rows[i : i + _ROWS]) for i in range(0, len(rows), _ROWS)]
        return found[0] if len(found) == 1 else np.concatenate([*found, np.zeros(0)])

    def _summed(self, rows: Floats) -> Floats:
        feature, threshold, masks, value, at = self._nodes
        # A node where the row goes right excludes the leaves on its left; the first leaf that is not excluded is the
        # row's (QuickScorer, Lucchese et al., SIGIR 2015).
        right = (rows[:, feature] > threshold).astype(masks.dtype)
        left = np.bitwise_and.reduce((right - masks.dtype.type(1)) | masks, axis=1)
        first = left & (~left + masks.dtype.type(1))
        leaf = _PLACE[first] if masks.dtype == np.uint8 else np.log2(first.astype(np.float64)).astype(np.intp)
        return np.asarray(np.add.accumulate(value[at + leaf], axis=1)[:, -1])  # in LightGBM's order

    @cached_property
    def _nodes(self) -> tuple[NDArray[np.intp], Floats, NDArray[Any], Floats, NDArray[np.intp]]:
        """Features, thresholds and masks of all trees' nodes, shape (nodes, trees), all leaves' values from left to
        right, and where each tree's begin.

        A tree with fewer nodes than others is filled up with some where every row goes left.
        """
        count, nodes = len(self.trees), max(1, *(len(tree.feature) for tree in self.trees))
        kind = np.uint8 if nodes < 8 else np.uint64
        feature, threshold = np.zeros((nodes, count), np.intp), np.full((nodes, count), np.inf)
        masks, value = np.zeros((nodes, count), kind), np.zeros((count, nodes + 1))
        for t, tree in enumerate(self.trees):
            order = tree.leaves() if tree.feature else [0]
            value[t, : len(order)] = [tree.value[leaf] for leaf in order]
            place = {leaf: i for i, leaf in enumerate(order)}
            feature[: len(tree.feature), t], threshold[: len(tree.feature), t] = tree.feature, tree.threshold
            for node, child in enumerate(tree.left):
                masks[node, t] = ~kind(sum(1 << place[leaf] for leaf in tree.leaves(child)))
        return feature, threshold, masks, value.ravel(), np.arange(count) * (nodes + 1)

    def contributions(self, rows: Floats) -> Floats:
        """Shapley values of each feature for each row's sum, and the mean of the training rows: shape (n, F + 1)."""
        found = np.zeros((len(rows), self.width + 1))
        for tree in self.trees:
            for value, share, path in _paths(tree):
                found[:, -1] += value * share
                for row, into in zip(rows, found, strict=True):
                    for feature, part in _shapley(row, path):
                        into[feature] += value * part
        return found


class _Condition(NamedTuple):
    """The range (low, high] of a feature on the way to a leaf, and the share of training rows that went this way."""

    low: float
    high: float
    share: float


_Path = dict[int, _Condition]


def _paths(tree: Tree) -> Iterator[tuple[float, float, _Path]]:
    """The value of each leaf, the share of training rows that reach it, and the conditions on the way to it."""
    waiting: list[tuple[int, float, _Path]] = [(0 if tree.feature else ~0, 1.0, {})]
    while waiting:
        node, share, path = waiting.pop()
        if node < 0:
            yield tree.value[~node], share, path
            continue
        feature, threshold = tree.feature[node], tree.threshold[node]
        low, high, before = path.get(feature, _Condition(-np.inf, np.inf, 1.0))
        for child in (tree.left[node], tree.right[node]):
            part = tree.count(child) / tree.count(node)
            ends = (low, min(high, threshold)) if child == tree.left[node] else (max(low, threshold), high)
            waiting.append((child, share * part, {**path, feature: _Condition(*ends, before * part)}))


def _shapley(row: Floats, path: _Path) -> Iterator[tuple[int, float]]:
    """The Shapley value of each feature for reaching a leaf: 1 where a known feature allows it, else its share."""
    known = {feature: float(one.low < row[feature] <= one.high) for feature, one in path.items()}
    k = len(path)
    for feature, one in path.items():
        sums = [1.0]  # over the other features: by how many of them are known
        for other, condition in path.items():
            if other != feature:
                moved = [0.0, *(known[other] * x for x in sums)]
                sums = [x + condition.share * y for x, y in zip(moved, [*sums, 0.0], strict=True)]
        weight = sum(factorial(s) * factorial(k - s - 1) * x for s, x in enumerate(sums)) / factorial(k)
        yield feature, (known[feature] - one.share) * weight


def _fields(part: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in part.splitlines() if "=" in line)


def _tree(fields: dict[str, str]) -> Tree:
    try:
        whole = [tuple(map(int, fields.get(key, "").split())) for key in ("split_feature", "left_child", "right_child")]
        exact = [tuple(map(float, fields.get(key, "").split())) for key in ("threshold", "leaf_value")]
        counts = [tuple(map(int, fields.get(key, "").split())) for key in ("internal_count", "leaf_count")]
        kinds = set(map(int, fields.get("decision_type", "").split()))
    except ValueError as error:
        raise ValueError(f"a tree that is damaged: {error}") from error
    leaves = int(fields["num_leaves"])
    sizes = {len(one) for one in (*whole, exact[0], counts[0])}
    if leaves > _LEAVES or sizes != {leaves - 1} or len(exact[1]) != leaves:
        raise ValueError(f"a tree of {leaves} leaves and {sorted(sizes)} nodes")
    if kinds - {0, 2}:  # numerical, without a place for missing values
        raise ValueError(f"a tree with decisions of the kinds {sorted(kinds)}")
    return Tree(whole[0], exact[0], whole[1], whole[2], exact[1], counts[0], counts[1])
