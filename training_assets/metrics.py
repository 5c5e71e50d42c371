"""Which score a target has, for the pooled side and for one model.

Belongs here: metric by task, its null, the pooled side's one score, the score of one model's predictions. Does not: contributions of rows
(`contributions`) or intervals (`uncertainty`).
"""

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Interval
from training_assets.contributions import Codes, Floats, contributions, grouped_midranks, segment_mean, standard_scores
from training_assets.uncertainty import ScoreTable, score_clustered_by_time, score_groups, score_over_time, with_rows

METRIC_NAMES = {TaskType.REGRESSION: "rank_ic", TaskType.BINARY_CLASSIFICATION: "auc", TaskType.MULTICLASS_CLASSIFICATION: "auc_one_vs_rest"}
# Of scores about centres known before the test window (`contributions.centred_contributions`): a level that moved away from the training window's and was
# foreseen counts in them, so where labels persist they are above the rank correlation within the window.
CENTRED_METRIC_NAMES = {task: f"centred_{name}" for task, name in METRIC_NAMES.items()}
SCORE_NULLS = {TaskType.REGRESSION: 0.0, TaskType.BINARY_CLASSIFICATION: 0.5, TaskType.MULTICLASS_CLASSIFICATION: 0.5}


def score_pooled(
    task_type: TaskType,
    predictions: NDArray[np.floating],
    labels: NDArray[np.floating],
    time_codes: NDArray[np.integer],
    segments: Codes,
    horizon_bars: int,
    confidence: float,
    hac_horizons: float,
    min_symbols: int = 3,
) -> tuple[ScoreTable, str]:
    """The pooled side's one score: rank IC a timestamp for regression, AUC over all rows of a fold for classes.

    Where too few symbols share timestamps for a cross-section, the rank correlation over all rows of a fold stands in. Rows of one
    timestamp are never taken as independent: their influence is summed before the variance over time.

    Parameters
    ----------
    segments : shape (n_rows,), the fold of each row.

    Returns
    -------
    table : one group.
    metric_name : which of the scores it is.
    """
    null = SCORE_NULLS[task_type]
    if task_type is TaskType.REGRESSION:
        per_time = rank_ic_by_time(predictions, labels, time_codes, min_symbols)
        if np.isfinite(per_time).mean() >= 0.5:
            table = score_over_time(per_time, np.ones(per_time.size), labels.size, horizon_bars, null, confidence, hac_horizons)
            return with_rows(table, labels.size), "rank_ic_by_time"
    n_segments = int(segments.max()) + 1 if segments.size else 0
    parts = contributions(task_type, predictions, labels, segments, n_segments)
    return score_clustered_by_time(parts, segments, time_codes, horizon_bars, null, confidence, hac_horizons), METRIC_NAMES[task_type]


def rank_ic_by_time(predictions: NDArray[np.floating], labels: NDArray[np.floating], time_codes: NDArray[np.integer], min_symbols: int) -> Floats:
    """Cross-sectional rank correlation of each timestamp.

    Returns
    -------
    Shape (n distinct times,), time ascending; NaN where fewer than `min_symbols` symbols have a label.
    """
    times, segments = np.unique(time_codes, return_inverse=True)
    counts = np.bincount(segments, minlength=times.size)
    z_prediction = standard_scores(grouped_midranks(predictions, segments), segments, counts)
    z_label = standard_scores(grouped_midranks(labels, segments), segments, counts)
    scores = segment_mean(z_prediction * z_label, segments, counts)
    scores[counts < max(min_symbols, 2)] = np.nan
    return scores


def score_predictions(
    task_type: TaskType,
    labels: NDArray[np.floating],
    predictions: NDArray[np.floating],
    time_codes: NDArray[np.integer],
    symbol_codes: NDArray[np.integer],
    horizon_bars: int,
    pooled: bool,
    confidence: float,
    hac_horizons: float,
) -> Interval:
    """Score one model's predictions on rows it was not fitted on.

    Parameters
    ----------
    labels : shape (n_rows,), NaN rows are left out.
    predictions : shape (n_rows,) or (n_rows, n_classes).
    time_codes, symbol_codes : shape (n_rows,); a symbol's rows contiguous and time ascending.
    pooled : True scores across symbols (`score_pooled`), False scores one symbol's series.
    """
    finite = np.isfinite(labels) & (np.isfinite(predictions) if predictions.ndim == 1 else np.isfinite(predictions).all(axis=1))
    labels, predictions = labels[finite].astype(float), predictions[finite].astype(float)
    fold = np.zeros(labels.size, np.int64)
    if labels.size == 0:
        return Interval(METRIC_NAMES[task_type], None, None, None, 0)
    if pooled:
        table, name = score_pooled(task_type, predictions, labels, time_codes[finite], fold, horizon_bars, confidence, hac_horizons)
    else:
        parts = contributions(task_type, predictions, labels, fold, 1)
        table, name = score_groups(parts, fold, fold, 1, horizon_bars, SCORE_NULLS[task_type], confidence, hac_horizons), METRIC_NAMES[task_type]
    return Interval(
        name,
        _optional(table.score[0]),
        _optional(table.ci_low[0]),
        _optional(table.ci_high[0]),
        int(table.n_rows[0]),
        _optional(table.n_effective[0]),
        _optional(table.p_value[0]),
    )


def _optional(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
