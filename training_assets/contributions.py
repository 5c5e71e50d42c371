"""What each row adds to a score, and to the score's error.

Belongs here: rank correlation and AUC by segment, plain and about centres known beforehand, with the rows' influence values. Does not: how uncertain
a score is (`uncertainty`), or which score a target has (`metrics`).

Every score is a mean of per-row contributions, so its error is the mean of the rows' influence values. Source: DeLong, DeLong & Clarke-Pearson 1988.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from config.sections.base import TaskType

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MIN_ROWS_A_SEGMENT = 10
MOST_PADDING = 1.5  # of a table of groups, as a multiple of the rows in it


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
    gathered = None if (groups[1:] >= groups[:-1]).all() else np.argsort(groups, kind="stable")
    if gathered is not None:
        values, groups = values[gathered], groups[gathered]
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    sizes = np.diff(starts, append=n_rows)
    order = _order_within(values, starts, sizes)
    ordered = values[order]
    new_run = np.r_[True, ordered[1:] != ordered[:-1]]
    new_run[starts] = True
    places = np.arange(n_rows) - np.repeat(starts - 1.0, sizes)
    if not new_run.all():
        run_starts = np.flatnonzero(new_run)
        lengths = np.diff(run_starts, append=n_rows)
        places = np.repeat(places[run_starts] + 0.5 * (lengths - 1), lengths)
    ranks = np.empty(n_rows)
    ranks[order if gathered is None else gathered[order]] = places
    return ranks


def _order_within(values: NDArray[np.floating], starts: Codes, sizes: Codes) -> Codes:
    """Positions of the rows, group after group, ascending by value within each; rows of a group lie together, the first at its start.

    Many short sorts cost less than one long one: groups of much the same size are the lines of a table that is sorted along its lines.
    """
    width = int(sizes.max())
    if width * sizes.size > MOST_PADDING * values.size:
        return np.lexsort((values, np.repeat(np.arange(sizes.size), sizes)))
    if (sizes == width).all():
        return np.asarray((np.argsort(values.reshape(-1, width), axis=1) + starts[:, None]).ravel())
    inside = np.arange(width) < sizes[:, None]
    table = np.full(inside.shape, np.inf, values.dtype)
    table[inside] = values
    return np.asarray((np.argsort(table, axis=1) + starts[:, None])[inside])


def rank_correlation(predictions: NDArray[np.floating], labels: NDArray[np.floating], segments: Codes, n_segments: int) -> Contributions:
    """Spearman's rank correlation of each segment with the rows' influence (that of Pearson's on the ranks)."""
    counts = np.bincount(segments, minlength=n_segments)
    z_prediction = standard_scores(grouped_midranks(predictions, segments), segments, counts)
    z_label = standard_scores(grouped_midranks(labels, segments), segments, counts)
    product = z_prediction * z_label
    scores = segment_mean(product, segments, counts)
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
    scores = segment_mean(product, segments, counts)
    scores[counts < MIN_ROWS_A_SEGMENT] = np.nan
    influence = product - scores[segments] * (1.0 + 0.5 * (label**2 - 1.0))
    return Contributions(np.clip(scores, -1.0, 1.0), influence, counts)


def _centred_area(places: Floats, positive: NDArray[np.bool_], base_rates: Floats, segments: Codes, n_segments: int) -> Contributions:
    """0.5 plus the covariance of label and place over the label's variance: the AUC where places are uniform."""
    counts = np.bincount(segments, minlength=n_segments)
    share = segment_mean(positive.astype(float), segments, counts)
    variance = np.where((share > 0) & (share < 1) & (counts >= MIN_ROWS_A_SEGMENT), share * (1.0 - share), np.nan)
    product = 0.5 * (positive - base_rates) * places / variance[segments]
    excess = segment_mean(product, segments, counts)
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
        size = np.sqrt(segment_mean(values**2, segments, counts))
        return np.asarray(values / np.where(size > 0, size, np.nan)[segments])


def standard_scores(ranks: Floats, segments: Codes, counts: Codes) -> Floats:
    """Ranks 1..n of each segment with mean zero and variance one; NaN in constant segments."""
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = ranks - (0.5 * (counts + 1))[segments]
        deviation = np.sqrt(np.bincount(segments, weights=centred**2, minlength=counts.size) / counts)
        return np.asarray(centred / np.where(deviation > 0, deviation, np.nan)[segments])


def segment_mean(values: Floats, segments: Codes, counts: Codes) -> Floats:
    """Mean of each segment, NaN for an empty one; shape (n_segments,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.bincount(segments, weights=values, minlength=counts.size) / np.where(counts > 0, counts, np.nan))
