"""How uncertain a score is when labels overlap and symbols share their days.

Belongs here: long-run variance of influence values, intervals, one-sided p-values, joining folds and clustering by time. Does not: scores
themselves (`contributions`), or the correction for many tests (`routing_assets.evidence.significance`).

Labels that overlap make contributions dependent over about one horizon, and labels that persist (volatilities) over many: a Bartlett-weighted (Newey-West)
variance counts both, over a lag that follows what is found beyond the overlap. Sources: Newey & West 1987; Andrews 1991 for the lag; Lazarus, Lewis, Stock
& Watson 2018 for the t reference with few effective observations.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from training_assets.contributions import MIN_ROWS_A_SEGMENT, Codes, Contributions, Floats

# Degrees of freedom of the t reference: effective rows over this. Three keeps 12-bar overlapping noise at its nominal level.
EFFECTIVE_ROWS_PER_DEGREE = 3.0
FEWEST_DEGREES = 2.0
# Persistence beyond the overlap is looked for at these multiples of the horizon, and believed from so many standard errors on.
PERSISTENCE_HORIZONS = (1, 2, 4)
PERSISTENCE_ERRORS = 2.0
# No lag is longer than this share of the rows: fewer windows than its inverse tell nothing of their own spread.
LONGEST_LAG_SHARE = 0.125


@dataclass(frozen=True)
class ScoreTable:
    """Scores of many groups with their uncertainty; every array has shape (n_groups,), NaN where there is no score.

    `p_value` is one-sided: how likely a score this high is where the truth is the null. `degrees` are those of its t reference.
    """

    score: Floats
    standard_error: Floats
    ci_low: Floats
    ci_high: Floats
    p_value: Floats
    n_rows: Codes
    n_effective: Floats
    degrees: Floats


def grouped_long_run_variance(influence: Floats, groups: Codes, n_groups: int, lags: Codes) -> Floats:
    """Bartlett-weighted variance of each group's sum of influence values, divided by nothing.

    Computed as the sum of squares of all windows of lag + 1 neighbours over lag + 1, which is the same number as the
    weighted sum of autocovariances, never negative, and linear in the rows.

    Parameters
    ----------
    influence : shape (n_rows,), rows of a group contiguous and in time order.
    groups : shape (n_rows,), ascending.
    lags : shape (n_groups,), rows.
    """
    n_rows = influence.size
    if n_rows == 0:
        return np.zeros(n_groups)
    lag = lags[groups]
    cumulative = np.r_[0.0, np.cumsum(influence)]
    starts = np.searchsorted(groups, np.arange(n_groups), side="left")
    stops = np.searchsorted(groups, np.arange(n_groups), side="right")
    position = np.arange(n_rows)
    row_start, row_stop = starts[groups], stops[groups]
    ending_here = cumulative[position + 1] - cumulative[np.maximum(position - lag, row_start)]
    running_out = np.where(position >= row_stop - lag, cumulative[row_stop] - cumulative[position], 0.0)
    return np.bincount(groups, weights=ending_here**2 + running_out**2, minlength=n_groups) / (lags + 1)


def dependence_lags(influence: Floats, groups: Codes, n_rows: Codes, horizon_bars: int, hac_horizons: float) -> Codes:
    """The Bartlett lag of each group, shape (n_groups,): `hac_horizons` horizons, or more where influence values persist beyond the overlap.

    Overlap alone leaves no correlation at a distance of one horizon. What is found there and farther, beyond its error, is taken for that of an
    autoregression of order one, whose best lag for the variance is Andrews' (1991).

    Parameters
    ----------
    influence : shape (n_rows_in_all,), mean zero, rows of a group contiguous and in time order; 0 for rows that take no part.
    n_rows : shape (n_groups,), rows that take part.
    """
    n_groups = n_rows.size
    least = max(0, int(np.ceil(hac_horizons * horizon_bars)) - 1) if horizon_bars > 1 else 0
    with np.errstate(divide="ignore", invalid="ignore"):
        square = np.bincount(groups, weights=influence**2, minlength=n_groups)
        error = np.sqrt((1.0 + 2.0 * (horizon_bars - 1) / 3.0) / n_rows)
        persistence = np.zeros(n_groups)
        for distance in (horizons * horizon_bars for horizons in PERSISTENCE_HORIZONS):
            together = np.where(groups[distance:] == groups[:-distance], influence[distance:] * influence[:-distance], 0.0)
            correlation = np.bincount(groups[distance:], weights=together, minlength=n_groups) / square
            believed = np.where(correlation > PERSISTENCE_ERRORS * error, np.minimum(correlation, 0.999), 0.0)
            persistence = np.maximum(persistence, believed ** (1.0 / distance))
        spread = 4.0 * persistence**2 / (1.0 - persistence**2) ** 2
        wanted = np.ceil(1.1447 * np.cbrt(spread * n_rows))
    lags = np.nan_to_num(np.minimum(wanted, LONGEST_LAG_SHARE * n_rows)).astype(np.int64)
    return np.asarray(np.maximum(lags, least))


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
    horizon_bars : label overlap; neighbours up to `hac_horizons` times it count as dependent, and farther ones where they are found to be.
    """
    scores, influence, used = combine_segments(parts, segments, groups, n_groups)
    return _within_range(table_from_influence(scores, influence, used, groups, n_groups, horizon_bars, null, confidence, hac_horizons), null)


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
    lags = dependence_lags(influence, groups, n_rows, horizon_bars, hac_horizons)
    about_null = influence + shares * np.nan_to_num(scores - null)[groups]
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = np.where(n_rows > 0, n_rows, np.nan)
        # The mean is estimated from the same rows: windows of lag + 1 rows lose that share of their variance.
        lost = 1.0 - np.minimum((lags + 1) / rows, 0.5)
        error = np.sqrt(grouped_long_run_variance(influence, groups, n_groups, lags) / lost) / rows
        error_at_null = np.sqrt(grouped_long_run_variance(about_null, groups, n_groups, lags)) / rows
    n_effective = n_rows / max(horizon_bars, 1)
    degrees = np.maximum(np.minimum(n_effective / EFFECTIVE_ROWS_PER_DEGREE, n_rows / (lags + 1)), FEWEST_DEGREES)
    return _with_interval(scores, error, error_at_null, n_rows, n_effective, degrees, null, confidence)


def score_over_time(per_time: Floats, weights: Floats, n_rows: int, horizon_bars: int, null: float, confidence: float, hac_horizons: float) -> ScoreTable:
    """Score of one series of per-timestamp scores (rank IC a timestamp), equally or otherwise weighted, with Newey-West error.

    Parameters
    ----------
    per_time, weights : shape (n_times,), time ascending; NaN scores are left out.
    """
    known = np.isfinite(per_time) & (weights > 0)
    values, shares = per_time[known], weights[known]
    if values.size < MIN_ROWS_A_SEGMENT:
        return _no_score(n_rows, values.size / max(horizon_bars, 1))
    score = np.average(values, weights=shares)
    shares = shares / shares.mean()
    table = table_from_influence(
        np.array([score]), (values - score) * shares, shares, np.zeros(values.size, np.int64), 1, horizon_bars, null, confidence, hac_horizons
    )
    return _within_range(table, null)


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
        return _no_score(n_used, n_times / max(horizon_bars, 1))
    by_time = np.bincount(position, weights=influence[used], minlength=n_times) * (n_times / n_used)
    shares = np.bincount(position, minlength=n_times) * (n_times / n_used)
    table = table_from_influence(scores, by_time, shares, np.zeros(n_times, np.int64), 1, horizon_bars, null, confidence, hac_horizons)
    return with_rows(_within_range(table, null), n_used)


def one_sided_bound(table: ScoreTable, confidence: float) -> Floats:
    """Upper bound, at most 1, that the true score is below with the given one-sided confidence; shape (n_groups,)."""
    return np.asarray(np.minimum(table.score + special.stdtrit(table.degrees, confidence) * table.standard_error, 1.0))


def _with_interval(
    scores: Floats, error: Floats, error_at_null: Floats, n_rows: Codes, n_effective: Floats, degrees: Floats, null: float, confidence: float
) -> ScoreTable:
    half = special.stdtrit(degrees, 0.5 + 0.5 * confidence) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(error_at_null > 0, (scores - null) / error_at_null, np.nan)
    p_value = special.stdtr(degrees, -statistic)
    return ScoreTable(scores, error, scores - half, scores + half, p_value, n_rows, n_effective, degrees)


def _within_range(table: ScoreTable, null: float) -> ScoreTable:
    """The table of a correlation (null 0) or an area under the curve (null 0.5), its intervals cut at the range of the score."""
    low, high = 2.0 * null - 1.0, 1.0
    return replace(table, ci_low=np.maximum(table.ci_low, low), ci_high=np.minimum(table.ci_high, high))


def _no_score(n_rows: int, n_effective: float) -> ScoreTable:
    nothing = np.array([np.nan])
    return ScoreTable(nothing, nothing, nothing, nothing, nothing, np.array([n_rows]), np.array([n_effective]), nothing)


def with_rows(table: ScoreTable, n_rows: int) -> ScoreTable:
    """The table of one group with the number of rows that its score stands on."""
    return replace(table, n_rows=np.array([n_rows]))
