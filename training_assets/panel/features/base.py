"""What a feature entry is; how builders see the bars."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.panel import Bars

FeatureValues = NDArray[np.float64]


@dataclass(frozen=True)
class Feature:
    """One built-in feature.

    `build` maps bars to an array of shape (n_rows,), row-aligned with them: the value at a row uses bars up to and
    including that row only (known at its close). `cross_sectional` entries also use other symbols' bars of the same time.
    """

    name: str
    inputs: tuple[str, ...]  # of BAR_COLUMNS
    lookback_bars: int
    lag_bars: int
    cross_sectional: bool
    build: Callable[[Bars], FeatureValues]
    description: str
