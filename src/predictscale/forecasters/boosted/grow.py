"""Boosting by LightGBM, and its export. The only place that knows the library.

It is imported here, at a fit, and never to answer. Refuses threads and chance: the same rows
grow the same trees on every replica. The settings are few and small because a
fit has seconds, and because windows that overlap are fewer than they look.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats
from predictscale.errors import FitFailed
from predictscale.forecasters.boosted.forest import Forest

_PARAMETERS = {
    "objective": "l2",
    "learning_rate": 0.08,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 127,
    "feature_pre_filter": False,  # one binning serves forests with other least leaves
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


class Size(NamedTuple):
    """How many trees, how deep, and with how many rows in a leaf at least."""

    trees: int
    depth: int
    least_rows: int


def library() -> Any:
    """LightGBM.

    Raises:
        FitFailed: It is not installed.
    """
    try:
        import lightgbm  # noqa: PLC0415 - half a second and optional: whoever does not fit does without
    except ImportError as error:
        raise FitFailed(
            f"boosted trees need LightGBM, which is not here ({error}); pip install predictscale[trees]"
        ) from error
    return lightgbm


class Rows:
    """Features, binned once for all that is grown on parts of them.

    Args:
        features: Shape (n, p); NaN is unknown.
    """

    def __init__(self, features: Floats) -> None:
        self._lightgbm = library()
        self._features = features
        self._binned = self._lightgbm.Dataset(
            features, label=np.zeros(len(features)), params=_PARAMETERS, free_raw_data=False
        )

    def grow(self, targets: Floats, rows: NDArray[np.bool_], size: Size) -> tuple[Forest, Floats]:
        """A forest learned from some rows, and what it says of all of them, shape (n,).

        Args:
            targets: Shape (n,), finite at `rows`.
            rows: Which to learn from, shape (n,).
            size: Of the forest.

        Raises:
            FitFailed: The library raised.
        """
        chosen = np.flatnonzero(rows)
        parameters = {
            **_PARAMETERS,
            "num_leaves": 1 << size.depth,
            "max_depth": size.depth,
            "min_data_in_leaf": size.least_rows,
        }
        try:
            part = self._binned.subset(chosen).construct()
            part.set_label(targets[chosen])
            booster = self._lightgbm.train(parameters, part, size.trees)
            said: Floats = booster.predict(self._features, num_threads=1)
            return _exported(booster.dump_model()["tree_info"], size.depth), said
        except self._lightgbm.basic.LightGBMError as error:
            raise FitFailed(f"LightGBM: {error}") from error


def _exported(trees: list[dict[str, Any]], depth: int) -> Forest:
    """The library's trees in the layout of a `Forest`."""
    nodes = (1 << depth) - 1
    # Where a tree is not that deep its node sends all to the left, whose leaves are all the same.
    feature = np.zeros((len(trees), nodes))
    threshold = np.full((len(trees), nodes), np.inf)
    leaf = np.zeros((len(trees), nodes + 1))
    for place, tree in enumerate(trees):
        _lay(tree["tree_structure"], 0, feature[place], threshold[place], leaf[place])
    return Forest(feature, threshold, leaf)


def _lay(node: dict[str, Any], at: int, feature: Floats, threshold: Floats, leaf: Floats) -> None:
    if "leaf_value" in node:
        first, count = at, 1
        while first < feature.size:
            first, count = 2 * first + 1, 2 * count
        leaf[first - feature.size : first - feature.size + count] = node["leaf_value"]
        return
    limit = node["threshold"]
    # A feature that was never unknown in training counts as 0 where it is, says LightGBM.
    left = node["default_left"] if node["missing_type"] == "NaN" else limit >= 0.0
    feature[at] = node["split_feature"] if left else -1 - node["split_feature"]
    threshold[at] = limit
    _lay(node["left_child"], 2 * at + 1, feature, threshold, leaf)
    _lay(node["right_child"], 2 * at + 2, feature, threshold, leaf)
