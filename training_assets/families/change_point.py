"""ChangePoint: a linear model of the market's current segment, with a fading memory of the segments before it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitRequest
from training_assets.families.linear import PENALTIES, LinearModel, fit_path, inner_losses
from training_assets.families.market_features import state_columns
from training_assets.families.preprocessing import FloatArray, Rows, Standardiser, check_request, joined, one_thread, rows_of, settings_of

NAME = "ChangePoint"
TASK_TYPES = frozenset({TaskType.REGRESSION, TaskType.BINARY_CLASSIFICATION})
MIN_ROWS = 100
DEFAULTS: Mapping[str, Any] = {
    "state_features": (),
    "max_state_features": 6,
    "block_times": 10,
    "min_segment_blocks": 6,
    "penalty_scale": 6.0,
    "memories": (0.02, 0.2, 0.5, 1.0),
    "penalties": PENALTIES,
}
BOUNDS = {
    "max_state_features": (1, 100),
    "block_times": (1, 10_000),
    "min_segment_blocks": (2, 10_000),
    "penalty_scale": (0.0, 1e6),
    "memories": (0.0, 1.0),
    "penalties": (1e-9, 1e9),
}


def fit_change_point(request: FitRequest) -> LinearModel:
    """Cut time where past returns and volatility change, weight each row by its segment's age, fit ridge or logistic regression.

    A row that is k segments before the last has its weight times memory^k; a memory of 1 is all history alike. Memory and penalty are chosen on
    the inner fold from fits on the training rows alone, segments cut on these alone; then segments are cut and the model is fitted on both parts. Predictions
    use that last segment's model. Pooled jobs share one segmentation, of the mean over symbols.
    """
    check_request(NAME, request, TASK_TYPES, MIN_ROWS)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    columns = state_columns(NAME, request.train.feature_names, settings["state_features"], settings["max_state_features"])
    with one_thread("scipy.optimize", "ruptures"):
        standardiser = Standardiser.fit(request.train)
        train, inner = rows_of(standardiser, request.train), rows_of(standardiser, request.inner)
        ages = segment_ages(train, columns, settings)
        losses = {}
        for memory in settings["memories"]:
            path = fit_path(aged(train, ages, memory), request.task_type, request.n_classes, settings["penalties"])
            for penalty, loss in zip(settings["penalties"], inner_losses(path, inner, request.task_type), strict=True):
                losses[memory, penalty] = loss
        memory, penalty = min(losses, key=lambda key: losses[key])
        both = joined(train, inner)
        ages = segment_ages(both, columns, settings)
        coefficients = fit_path(aged(both, ages, memory), request.task_type, request.n_classes, (penalty,))[0]
    details = {
        "state_features": [request.train.feature_names[column] for column in columns],
        "segment_starts": [int(both.time_codes[ages == age].min()) for age in range(int(ages.max()), -1, -1)],
        "memory": memory,
        "penalty": penalty,
        "inner_loss": losses[memory, penalty],
        "inner_loss_all_history": min((loss for (kept, _), loss in losses.items() if kept == 1.0), default=None),
    }
    return LinearModel(NAME, request.task_type, standardiser, coefficients, False, details)


def segment_ages(rows: Rows, columns: Sequence[int], settings: Mapping[str, Any]) -> NDArray[np.int64]:
    """Shape (n_rows,): how many change points lie between a row and the end of the window; 0 in the current segment.

    PELT (Killick, Fearnhead & Eckley 2012) with a Gaussian mean cost on block means of the state features and of their sizes; blocks, so that
    overlapping look-backs do not read as changes. The penalty is `penalty_scale` * dimensions * log(blocks) in units of the noise between neighbouring blocks.
    """
    import ruptures

    _, rank = np.unique(rows.time_codes, return_inverse=True)
    block = rank // settings["block_times"]
    n_blocks = int(block.max()) + 1
    if n_blocks < 2 * settings["min_segment_blocks"]:
        return np.zeros(rows.time_codes.size, dtype=np.int64)
    state = _block_means(rows.z[:, columns], block, n_blocks)
    penalty = settings["penalty_scale"] * state.shape[1] * np.log(n_blocks)
    ends = ruptures.KernelCPD(kernel="linear", min_size=settings["min_segment_blocks"]).fit(state).predict(pen=float(penalty))
    return np.asarray(len(ends) - 1 - np.searchsorted(ends, block, side="right"), dtype=np.int64)


def aged(rows: Rows, ages: NDArray[np.int64], memory: float) -> Rows:
    """The rows with weights that fade by `memory` a segment."""
    return replace(rows, weight=rows.weight * memory ** ages.astype(np.float64))


def _block_means(state: FloatArray, block: NDArray[np.int64], n_blocks: int) -> FloatArray:
    """Means of the ranks of each state feature and of its size by block, in units of their noise between neighbouring blocks.

    Ranks, because volatile times are noisy times: on the values themselves they would be cut to pieces.
    """
    both = np.column_stack([state, np.abs(state)]).argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") / state.shape[0]
    sums = np.column_stack([np.bincount(block, both[:, column], n_blocks) for column in range(both.shape[1])])
    means = sums / np.bincount(block, minlength=n_blocks)[:, None]
    # Robust: a break is one large difference among many small ones and must not raise the noise it is held against.
    noise = np.median(np.abs(np.diff(means, axis=0)), axis=0) / (0.6745 * np.sqrt(2.0))
    return np.asarray(means[:, noise > 0.0] / noise[noise > 0.0]) if (noise > 0.0).any() else means


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=False,
    defaults=DEFAULTS,
    libraries=("ruptures", "numpy", "scipy", "safetensors"),
    fit=fit_change_point,
    load=LinearModel.load,
    description="Linear model of the current market segment (PELT on past returns and volatility), earlier segments fading.",
    min_rows=MIN_ROWS,
    reads_state=True,
)
