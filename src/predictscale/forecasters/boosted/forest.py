"""Regression trees as plain arrays, asked with numpy alone.

What answers must not need the library that fitted: so a forest is exported once and
walked here, all trees and all rows at once. Every tree is laid out as a complete one, the
children of node i being 2i + 1 and 2i + 2, so there are no pointers to follow and
each row takes the same number of steps. Refuses categories and linear leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from predictscale.core.series import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """The sum of t trees of one depth d.

    Args:
        feature: Which feature each node asks, shape (t, 2^d - 1). Where an unknown value goes right
            the number is -1 - feature, else it goes left.
        threshold: A value at or below goes left, shape as `feature`.
        leaf: What each leaf adds, shape (t, 2^d).
    """

    feature: Floats
    threshold: Floats
    leaf: Floats

    def __post_init__(self) -> None:
        nodes, leaves = self.feature.shape[1], self.leaf.shape[1]
        if self.threshold.shape != self.feature.shape or leaves != nodes + 1 or leaves & (leaves - 1):
            raise ValueError(
                f"feature, threshold, leaf: shapes {self.feature.shape}, {self.threshold.shape}, "
                f"{self.leaf.shape}; must be (t, 2^d - 1), the same, (t, 2^d)"
            )

    @classmethod
    def mean(cls, forests: "Sequence[Forest]") -> Self:
        """One forest that says the mean of what these say; all of one depth."""
        return cls(
            np.concatenate([forest.feature for forest in forests]),
            np.concatenate([forest.threshold for forest in forests]),
            np.concatenate([forest.leaf for forest in forests]) / len(forests),
        )

    def say(self, rows: Floats) -> Floats:
        """The sum over the trees for each row, shape (n,).

        Args:
            rows: Features, shape (n, p); NaN is unknown.
        """
        trees, nodes = self.feature.shape
        code = self.feature.astype(np.int64).ravel()
        right = code < 0
        column = np.where(right, -1 - code, code)
        threshold = self.threshold.ravel()
        first = np.arange(trees) * nodes
        start = (np.arange(len(rows)) * rows.shape[1])[:, None]
        flat = rows.ravel()
        unknown = bool(np.isnan(flat).any())
        node = np.zeros((len(rows), trees), dtype=np.int64)
        for _ in range(nodes.bit_length()):
            place = node + first
            value = flat.take(start + column.take(place))
            goes = value > threshold.take(place)
            if unknown:
                goes |= np.isnan(value) & right.take(place)
            node *= 2
            node += 1
            node += goes
        told = self.leaf.take(node - nodes + np.arange(trees) * (nodes + 1))
        # Row by row: what is said of one must not depend on how many are asked.
        total: Floats = np.ascontiguousarray(told).sum(axis=1)
        return total
