"""Scores out of sample and how uncertain they are.

Belongs here: rank correlation and AUC by group, their influence values, long-run variance over overlapping labels, intervals and
p-values. Does not: gates, thresholds, or the correction for many tests (`routing_assets.significance`).

Every score is a mean of per-row contributions, so its error is the mean of the rows' influence values; labels that overlap make these
dependent over about one horizon, which a Bartlett-weighted (Newey-West) variance counts. Sources: DeLong, DeLong & Clarke-Pearson 1988;
Newey & West 1987; Lazarus, Lewis, Stock & Watson 2018 for the t reference with few effective observations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from config.sections.base import TaskType
from training_assets.contracts import Interval

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

# Degrees of freedom of the t reference: effective rows over this. Three keeps 12-bar overlapping noise at its nominal level.
EFFECTIVE_ROWS_PER_DEGREE = 3.0
MIN_ROWS_A_SEGMENT = 10

METRIC_NAMES = {TaskType.REGRESSION: "rank_ic", TaskType.BINARY_CLASSIFICATION: "auc", TaskType.MULTICLASS_CLASSIFICATION: "auc_one_vs_rest"}
SCORE_NULLS = {TaskType.REGRESSION: 0.0, TaskType.BINARY_CLASSIFICATION: 0.5, TaskType.MULTICLASS_CLASSIFICATION: 0.5}


@dataclass(frozen=True)
class Contributions:
    """A score a segment, and what each row adds to its error.

    Attributes
    ----------
    scores : shape (n_segments,), NaN where a segment has too few rows, a constant prediction or label, or one class only.
    influence : shape (n_rows,), mean zero within a segment; NaN in segments without a score.
    counts : shape (n_segments,), rows a segment.
    """

    scores: Floats
    influence: Floats
    counts: Codes


@dataclass(frozen=True)
class ScoreTable:
    """Scores of many groups with their uncertainty; every array has shape (n_groups,), NaN where there is no score.

    `p_value` is one-sided: how likely a score this high is where the truth is the null.
    """

    score: Floats
    standard_error: Floats
    ci_low: Floats
    ci_high: Floats
    p_value: Floats
    n_rows: Codes
    n_effective: Floats


def grouped_midranks(values: NDArray[np.floating], groups: Codes) -> Floats:
    """Ranks 1..n within each group, ties averaged.

    Parameters
    ----------
    values : shape (n_rows,), finite.
    groups : shape (n_rows,), group of each row, in any order.
    """
    n_rows = values.size
    if n_rows == 0:
        return np.zeros(0)
    order = np.lexsort((values, groups))
    sorted_values, sorted_groups = values[order], groups[order]
    new_group = np.r_[True, sorted_groups[1:] != sorted_groups[:-1]]
    new_run = new_group | np.r_[True, sorted_values[1:] != sorted_values[:-1]]
    run_starts = np.flatnonzero(new_run)
    run_stops = np.r_[run_starts[1:], n_rows]
    group_starts = np.maximum.accumulate(np.where(new_group, np.arange(n_rows), 0))[run_starts]
    midranks = 0.5 * (run_starts + run_stops + 1) - group_starts
    ranks = np.empty(n_rows)
    ranks[order] = np.repeat(midranks, run_stops - run_starts)
    return ranks


def rank_correlation(predictions: NDArray[np.floating], labels: NDArray[np.floating], segments: Codes, n_segments: int) -> Contributions:
    """Spearman's rank correlation of each segment with the rows' influence (that of Pearson's on the ranks)."""
    counts = np.bincount(segments, minlength=n_segments)
    z_prediction = _standard_scores(grouped_midranks(predictions, segments), segments, counts)
    z_label = _standard_scores(grouped_midranks(labels, segments), segments, counts)
    product = z_prediction * z_label
    scores = _segment_mean(product, segments, counts)
    scores[counts < MIN_ROWS_A_SEGMENT] = np.nan
    influence = product - 0.5 * scores[segments] * (z_prediction**2 + z_label**2)
    return Contributions(scores, influence, counts)


def area_under_curve(predictions: NDArray[np.floating], positive: NDArray[np.bool_], segments: Codes, n_segments: int) -> Contributions:
    """AUC of each segment with DeLong's influence values."""
    counts = np.bincount(segments, minlength=n_segments)
    n_positive = np.bincount(segments, weights=positive, minlength=n_segments)
    n_negative = counts - n_positive
    overall = grouped_midranks(predictions, segments)
    within_class = grouped_midranks(predictions, segments * 2 + positive)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = (overall - within_class) / np.where(positive, n_negative[segments], n_positive[segments])
        placement = np.where(positive, below, 1.0 - below)
        scores = np.bincount(segments, weights=np.where(positive, placement, 0.0), minlength=n_segments) / n_positive
        scores[(n_positive < 1) | (n_negative < 1) | (counts < MIN_ROWS_A_SEGMENT)] = np.nan
        share = np.where(positive, n_positive[segments], n_negative[segments]) / counts[segments]
        influence = (placement - scores[segments]) / share
    return Contributions(scores, influence, counts)


def contributions(task_type: TaskType, predictions: NDArray[np.floating], labels: NDArray[np.floating], segments: Codes, n_segments: int) -> Contributions:
    """The task's score a segment: rank correlation, AUC, or the mean over classes of one-versus-rest AUC.

    Parameters
    ----------
    predictions : shape (n_rows,), or (n_rows, n_classes) for multi-class.
    labels : shape (n_rows,), values or class codes.
    segments : shape (n_rows,), the set of rows that are ranked against each other (a symbol's part of one fold), 0..n_segments-1.
    """
    if task_type is TaskType.REGRESSION:
        return rank_correlation(predictions, labels, segments, n_segments)
    if task_type is TaskType.BINARY_CLASSIFICATION:
        return area_under_curve(predictions, labels > 0.5, segments, n_segments)
    return _mean_over_classes([area_under_curve(predictions[:, code], labels == code, segments, n_segments) for code in range(predictions.shape[1])], segments)


def centred_contributions(
    task_type: TaskType, deviations: Floats, labels: NDArray[np.floating], label_centres: Floats, segments: Codes, n_segments: int
) -> Contributions:
    """The task's score a segment, about centres and in units that were known before the segment began.

    A rank taken within a test window centres and scales the prediction by that window's own moments. Where the predictor is persistent and moves
    with the label (a price against its average), those moments are tied to what the label did, and pure random walks score above chance
    (Stambaugh 1999; Kendall 1954). About centres and in units known beforehand, the product of prediction and label has mean zero under
    the null. A prediction enters as its place among the training predictions, in (-1, 1), so that heavy tails weigh no more than in a rank correlation.
    Where the test window is like the training window the score is close to Spearman's correlation or, for classes, to the AUC.

    Parameters
    ----------
    deviations : shape (n_rows, n_columns), prediction less its mean over the training window, in units of its standard deviation there; a
        column, or one a class.
    labels : shape (n_rows,), values or class codes.
    label_centres : shape (n_rows, n_columns), mean of the label, or share of the class, over the training window.
    segments : shape (n_rows,), as in `contributions`.
    """
    places = special.erf(deviations / np.sqrt(2.0))
    if task_type is TaskType.REGRESSION:
        return _centred_correlation(places[:, 0], labels - label_centres[:, 0], segments, n_segments)
    classes = [1] if task_type is TaskType.BINARY_CLASSIFICATION else range(deviations.shape[1])
    each = [_centred_area(places[:, column], labels == code, label_centres[:, column], segments, n_segments) for column, code in enumerate(classes)]
    return _mean_over_classes(each, segments)


def _centred_correlation(places: Floats, labels: Floats, segments: Codes, n_segments: int) -> Contributions:
    counts = np.bincount(segments, minlength=n_segments)
    label = _unit_square(_signed_ranks(labels, segments), segments, counts)
    product = np.sqrt(3.0) * places * label  # a uniform place has variance one third
    scores = _segment_mean(product, segments, counts)
    scores[counts < MIN_ROWS_A_SEGMENT] = np.nan
    influence = product - scores[segments] * (1.0 + 0.5 * (label**2 - 1.0))
    return Contributions(np.clip(scores, -1.0, 1.0), influence, counts)


def _centred_area(places: Floats, positive: NDArray[np.bool_], base_rates: Floats, segments: Codes, n_segments: int) -> Contributions:
    """0.5 plus the covariance of label and place over the label's variance: the AUC where places are uniform."""
    counts = np.bincount(segments, minlength=n_segments)
    share = _segment_mean(positive.astype(float), segments, counts)
    variance = np.where((share > 0) & (share < 1) & (counts >= MIN_ROWS_A_SEGMENT), share * (1.0 - share), np.nan)
    product = 0.5 * (positive - base_rates) * places / variance[segments]
    excess = _segment_mean(product, segments, counts)
    return Contributions(np.clip(0.5 + excess, 0.0, 1.0), product - excess[segments], counts)


def _mean_over_classes(each: list[Contributions], segments: Codes) -> Contributions:
    scores = np.stack([one.scores for one in each])
    known = np.isfinite(scores)
    n_known = known.sum(axis=0)
    divisor = np.where(n_known > 0, n_known, np.nan)
    influence = np.sum([np.nan_to_num(one.influence) for one in each], axis=0) / divisor[segments]
    return Contributions(np.where(known, scores, 0.0).sum(axis=0) / divisor, influence, each[0].counts)


def _signed_ranks(deviations: Floats, segments: Codes) -> Floats:
    """Rank of the magnitude within the segment, 1..n, with the deviation's sign; 0 for no deviation."""
    return np.asarray(np.sign(deviations) * grouped_midranks(np.abs(deviations), segments))


def _unit_square(values: Floats, segments: Codes, counts: Codes) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.sqrt(_segment_mean(values**2, segments, counts))
        return np.asarray(values / np.where(size > 0, size, np.nan)[segments])


def grouped_long_run_variance(influence: Floats, groups: Codes, n_groups: int, lag: int) -> Floats:
    """Bartlett-weighted variance of each group's sum of influence values, divided by nothing.

    Computed as the sum of squares of all windows of `lag + 1` neighbours over `lag + 1`, which is the same number as the
    weighted sum of autocovariances, never negative, and linear in the rows.

    Parameters
    ----------
    influence : shape (n_rows,), rows of a group contiguous and in time order.
    groups : shape (n_rows,), ascending.
    """
    n_rows = influence.size
    if n_rows == 0:
        return np.zeros(n_groups)
    cumulative = np.r_[0.0, np.cumsum(influence)]
    starts = np.searchsorted(groups, np.arange(n_groups), side="left")
    stops = np.searchsorted(groups, np.arange(n_groups), side="right")
    position = np.arange(n_rows)
    row_start, row_stop = starts[groups], stops[groups]
    ending_here = cumulative[position + 1] - cumulative[np.maximum(position - lag, row_start)]
    running_out = np.where(position >= row_stop - lag, cumulative[row_stop] - cumulative[position], 0.0)
    return np.bincount(groups, weights=ending_here**2 + running_out**2, minlength=n_groups) / (lag + 1)


def combine_segments(parts: Contributions, segments: Codes, groups: Codes, n_groups: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Join a group's segments (its folds) into one score, weighted by rows.

    Returns
    -------
    scores : shape (n_groups,).
    influence : shape (n_rows,), about the group's score, so that what differs from fold to fold counts as error (about each fold's own score, up to a
        third of the long-run variance of overlapping labels would be lost in short folds); zero for rows of segments without a score.
    used : shape (n_rows,), rows of segments that have a score.
    """
    used = np.isfinite(parts.influence)
    n_used = np.bincount(groups[used], minlength=n_groups).astype(float)
    total = np.bincount(groups[used], weights=parts.scores[segments[used]], minlength=n_groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = total / np.where(n_used > 0, n_used, np.nan)
    return scores, np.where(used, parts.influence + parts.scores[segments] - scores[groups], 0.0), used


def score_groups(
    parts: Contributions, segments: Codes, groups: Codes, n_groups: int, horizon_bars: int, null: float, confidence: float, hac_horizons: float
) -> ScoreTable:
    """Score, interval and p of every group (a symbol) from the contributions of its segments (its folds).

    Parameters
    ----------
    segments, groups : shape (n_rows,); rows of a group contiguous (groups ascending) and in time order.
    horizon_bars : label overlap; neighbours up to `hac_horizons` times it count as dependent.
    """
    scores, influence, used = combine_segments(parts, segments, groups, n_groups)
    return table_from_influence(scores, influence, used, groups, n_groups, horizon_bars, null, confidence, hac_horizons)


def table_from_influence(
    scores: Floats,
    influence: Floats,
    weights: NDArray[np.floating] | NDArray[np.bool_],
    groups: Codes,
    n_groups: int,
    horizon_bars: int,
    null: float,
    confidence: float,
    hac_horizons: float,
) -> ScoreTable:
    """Interval and p of given scores; see `score_groups`. A difference of two scores has the difference of their influence values and null 0.

    The interval's variance is that of the influence about the score. The p-value's is about the null: both agree where the null holds, and over few
    overlapping labels the second keeps its level far into the tail (12-bar labels, 600 rows: 0.3% below 0.01 instead of 1.5%).

    Parameters
    ----------
    weights : shape (n_rows,), a row's share in the mean, 1 on average; 0 or False for rows that take no part.
    """
    shares = np.asarray(weights, float)
    n_rows = np.bincount(groups[shares > 0], minlength=n_groups)
    lag = max(0, int(np.ceil(hac_horizons * horizon_bars)) - 1) if horizon_bars > 1 else 0
    about_null = influence + shares * np.nan_to_num(scores - null)[groups]
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = np.where(n_rows > 0, n_rows, np.nan)
        # The mean is estimated from the same rows: windows of lag + 1 rows lose that share of their variance.
        lost = 1.0 - np.minimum((lag + 1) / rows, 0.5)
        error = np.sqrt(grouped_long_run_variance(influence, groups, n_groups, lag) / lost) / rows
        error_at_null = np.sqrt(grouped_long_run_variance(about_null, groups, n_groups, lag)) / rows
    return _with_interval(scores, error, error_at_null, n_rows, n_rows / max(horizon_bars, 1), null, confidence)


def score_over_time(per_time: Floats, weights: Floats, n_rows: int, horizon_bars: int, null: float, confidence: float, hac_horizons: float) -> ScoreTable:
    """Score of one series of per-timestamp scores (rank IC a timestamp), equally or otherwise weighted, with Newey-West error.

    Parameters
    ----------
    per_time, weights : shape (n_times,), time ascending; NaN scores are left out.
    """
    known = np.isfinite(per_time) & (weights > 0)
    values, shares = per_time[known], weights[known]
    if values.size < MIN_ROWS_A_SEGMENT:
        nothing = np.array([np.nan])
        return ScoreTable(nothing, nothing, nothing, nothing, nothing, np.array([n_rows]), np.array([values.size / max(horizon_bars, 1)]))
    score = np.average(values, weights=shares)
    shares = shares / shares.mean()
    return table_from_influence(
        np.array([score]), (values - score) * shares, shares, np.zeros(values.size, np.int64), 1, horizon_bars, null, confidence, hac_horizons
    )


def rank_ic_by_time(predictions: NDArray[np.floating], labels: NDArray[np.floating], time_codes: NDArray[np.integer], min_symbols: int) -> Floats:
    """Cross-sectional rank correlation of each timestamp.

    Returns
    -------
    Shape (n distinct times,), time ascending; NaN where fewer than `min_symbols` symbols have a label.
    """
    times, segments = np.unique(time_codes, return_inverse=True)
    counts = np.bincount(segments, minlength=times.size)
    z_prediction = _standard_scores(grouped_midranks(predictions, segments), segments, counts)
    z_label = _standard_scores(grouped_midranks(labels, segments), segments, counts)
    scores = _segment_mean(z_prediction * z_label, segments, counts)
    scores[counts < max(min_symbols, 2)] = np.nan
    return scores


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
            return _with_rows(table, labels.size), "rank_ic_by_time"
    n_segments = int(segments.max()) + 1 if segments.size else 0
    parts = contributions(task_type, predictions, labels, segments, n_segments)
    return score_clustered_by_time(parts, segments, time_codes, horizon_bars, null, confidence, hac_horizons), METRIC_NAMES[task_type]


def score_clustered_by_time(
    parts: Contributions, segments: Codes, time_codes: NDArray[np.integer], horizon_bars: int, null: float, confidence: float, hac_horizons: float
) -> ScoreTable:
    """One score over all segments, weighted by rows; rows of one timestamp count as one observation.

    Parameters
    ----------
    segments, time_codes : shape (n_rows,), in any order.
    """
    one_group = np.zeros(time_codes.size, np.int64)
    scores, influence, used = combine_segments(parts, segments, one_group, 1)
    times, position = np.unique(time_codes[used], return_inverse=True)
    n_times, n_used = times.size, int(used.sum())
    if n_times < MIN_ROWS_A_SEGMENT:
        nothing = np.array([np.nan])
        return ScoreTable(nothing, nothing, nothing, nothing, nothing, np.array([n_used]), np.array([n_times / max(horizon_bars, 1)]))
    by_time = np.bincount(position, weights=influence[used], minlength=n_times) * (n_times / n_used)
    shares = np.bincount(position, minlength=n_times) * (n_times / n_used)
    table = table_from_influence(scores, by_time, shares, np.zeros(n_times, np.int64), 1, horizon_bars, null, confidence, hac_horizons)
    return _with_rows(table, n_used)


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


def one_sided_bound(table: ScoreTable, confidence: float) -> Floats:
    """Upper bound that the true score is below with the given one-sided confidence; shape (n_groups,)."""
    degrees = np.maximum(table.n_effective / EFFECTIVE_ROWS_PER_DEGREE, 2.0)
    return np.asarray(table.score + special.stdtrit(degrees, confidence) * table.standard_error)


def _with_interval(scores: Floats, error: Floats, error_at_null: Floats, n_rows: Codes, n_effective: Floats, null: float, confidence: float) -> ScoreTable:
    degrees = np.maximum(n_effective / EFFECTIVE_ROWS_PER_DEGREE, 2.0)
    half = special.stdtrit(degrees, 0.5 + 0.5 * confidence) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(error_at_null > 0, (scores - null) / error_at_null, np.nan)
    p_value = special.stdtr(degrees, -statistic)
    return ScoreTable(scores, error, scores - half, scores + half, p_value, n_rows, n_effective)


def _with_rows(table: ScoreTable, n_rows: int) -> ScoreTable:
    return ScoreTable(table.score, table.standard_error, table.ci_low, table.ci_high, table.p_value, np.array([n_rows]), table.n_effective)


def _standard_scores(ranks: Floats, segments: Codes, counts: Codes) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = ranks - (0.5 * (counts + 1))[segments]
        deviation = np.sqrt(np.bincount(segments, weights=centred**2, minlength=counts.size) / counts)
        return np.asarray(centred / np.where(deviation > 0, deviation, np.nan)[segments])


def _segment_mean(values: Floats, segments: Codes, counts: Codes) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.bincount(segments, weights=values, minlength=counts.size) / np.where(counts > 0, counts, np.nan))


def _optional(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
