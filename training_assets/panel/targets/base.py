"""What a target entry is, and what a builder returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.panel.panel import Bars


@dataclass(frozen=True)
class Labels:
    """Labels on the rows of `Bars`.

    `values` : shape (n_rows,), NaN where the window is not complete; class codes for classification.
    `end_codes` : shape (n_rows,), position in `Bars.times_ns` of the bar at whose close the label is known, -1 where NaN.
    """

    values: NDArray[np.float64]
    end_codes: NDArray[np.int32]


@dataclass(frozen=True)
class Target:
    """One entry of the target registry: what it predicts and how it is built.

    `build(bars, horizon_bars, params, cross_sessions, max_window_stretch)` returns `Labels`; nothing in a label is older than the row's close, and
    thresholds that scale it (volatility) use bars up to the row only.
    """

    name: str
    task_type: TaskType
    classes: tuple[float, ...]
    cross_sectional: bool
    defaults: Mapping[str, float | int | str | bool]
    build: Callable[..., Labels]
    description: str
