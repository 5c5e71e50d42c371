"""How uncertain a score is when labels overlap and symbols share their days.

Belongs here: long-run variance of influence values, intervals, one-sided p-values, joining folds and clustering by time. Does not: scores
themselves (`contributions`), or the correction for many tests (`routing_assets.evidence.significance`).

Labels that overlap make contributions dependent over about one horizon, which a Bartlett-weighted (Newey-West) variance counts. Sources: Newey & West
1987; Lazarus, Lewis, Stock & Watson 2018 for the t reference with few effective observations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from training_assets.contributions import MIN_ROWS_A_SEGMENT, Codes, Contributions, Floats

# Degrees of freedom of the t reference: effective rows over this. Three keeps 12-bar overlapping noise at its nominal level.
EFFECTIVE_ROWS_PER_DEGREE = 3.0


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
    return with_rows(table, n_used)


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


def with_rows(table: ScoreTable, n_rows: int) -> ScoreTable:
    """The table of one group with the number of rows that its score stands on."""
    return ScoreTable(table.score, table.standard_error, table.ci_low, table.ci_high, table.p_value, np.array([n_rows]), table.n_effective)
