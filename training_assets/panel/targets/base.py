"""What a target entry is, what a builder returns, and the error that every bad target ends in.

Belongs here: the vocabulary of the registry. Does not: any target, nor how a horizon or a window is read
(`horizons`, `windows`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.panel.panel import Bars

ParamValue: TypeAlias = float | int | str | bool
Params: TypeAlias = Mapping[str, ParamValue]


class TargetError(ValueError):
    """A target that cannot be built or used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Labels:
    """Labels on the rows of `Bars`.

    `values` : shape (n_rows,), NaN where the window is not complete; class codes for classification.
    `end_codes` : shape (n_rows,), position in `Bars.times_ns` of the bar at whose close the label is known, -1 where NaN.
    """

    values: NDArray[np.float64]
    end_codes: NDArray[np.int32]


# build(bars, horizon_bars, params, cross_sessions, max_window_stretch)
BuildLabels: TypeAlias = Callable[[Bars, int, Params, bool, float], Labels]


@dataclass(frozen=True)
class Target:
    """One entry of the target registry: what it predicts and how it is built.

    `build(bars, horizon_bars, params, cross_sessions, max_window_stretch)` returns `Labels`. A label looks ahead from the close of
    its row, which is its entry price; the bars of its window are the `horizon_bars` bars after the row, and thresholds that
    scale it (volatility, quantiles) use bars up to the row only. `classes` are the class values in code order, empty for
    regression; `cross_sectional` entries also use other symbols' labels of the same timestamp. `defaults` names every
    parameter the builder knows, with its value where a configuration gives none.
    """

    name: str
    task_type: TaskType
    classes: tuple[float, ...]
    cross_sectional: bool
    defaults: Params
    build: BuildLabels
    description: str
