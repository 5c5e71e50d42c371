"""Scores and their uncertainty, held against independent formulas, bootstraps and simulations with a known truth."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from config.sections.base import TaskType
from training_assets.contributions import Contributions, area_under_curve, centred_contributions, contributions, grouped_midranks, rank_correlation
from training_assets.metrics import rank_ic_by_time, score_pooled, score_predictions
from training_assets.uncertainty import (
    ScoreTable,
    dependence_lags,
    grouped_long_run_variance,
    one_sided_bound,
    score_clustered_by_time,
    score_groups,
    score_over_time,
)

REGRESSION, BINARY, MULTI = TaskType.REGRESSION, TaskType.BINARY_CLASSIFICATION, TaskType.MULTICLASS_CLASSIFICATION


def blocks(n_groups: int, n_rows: int) -> NDArray[np.int64]:
    """Group of each row, contiguous."""
    return np.repeat(np.arange(n_groups), n_rows)


def table_of(parts: Contributions, groups: NDArray[np.int64], horizon_bars: int, null: float) -> ScoreTable:
    return score_groups(parts, groups, groups, int(groups.max()) + 1, horizon_bars, null, 0.95, 2.0)


def overlapping(rng: np.random.Generator, n_series: int, n_rows: int, horizon_bars: int) -> NDArray[np.float64]:
    """Moving sums of white noise: labels that share all but one bar with their neighbour."""
    noise = np.cumsum(rng.normal(size=(n_series, n_rows + horizon_bars)), axis=1)
    return noise[:, horizon_bars:] - noise[:, :-horizon_bars]


def persistent(rng: np.random.Generator, n_series: int, n_rows: int, decay: float) -> NDArray[np.float64]:
    """First-order autoregressions, started in equilibrium."""
    values = np.empty((n_series, n_rows))
    values[:, 0] = rng.normal(size=n_series)
    for row in range(1, n_rows):
        values[:, row] = decay * values[:, row - 1] + np.sqrt(1 - decay**2) * rng.normal(size=n_series)
    return values


@pytest.mark.parametrize("seed", range(5))
def test_midranks_within_groups_are_those_of_scipy_whatever_the_order_of_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, values = rng.integers(0, 7, 200), rng.integers(0, 12, 200).astype(float)
    ranks = grouped_midranks(values, groups)
    for group in range(7):
        np.testing.assert_array_equal(ranks[groups == group], stats.rankdata(values[groups == group]))


def test_midranks_of_nothing_are_nothing() -> None:
    assert grouped_midranks(np.zeros(0), np.zeros(0, np.int64)).size == 0


def test_rank_correlation_of_each_segment_is_that_of_scipy_with_ties() -> None:
    rng = np.random.default_rng(1)
    segments = rng.integers(0, 4, 400)
    labels = rng.normal(size=400)
    predictions = np.round(labels + rng.normal(size=400), 1)
    scores = rank_correlation(predictions, labels, segments, 4).scores
    expected = [stats.spearmanr(predictions[segments == s], labels[segments == s]).statistic for s in range(4)]
    np.testing.assert_allclose(scores, expected, atol=1e-12)


def test_area_under_curve_of_each_segment_is_that_of_sklearn_with_ties() -> None:
    rng = np.random.default_rng(2)
    segments, positive = rng.integers(0, 5, 600), rng.random(600) < 0.3
    predictions = np.round(rng.normal(size=600) + 0.5 * positive, 1)
    scores = area_under_curve(predictions, positive, segments, 5).scores
    expected = [roc_auc_score(positive[segments == s], predictions[segments == s]) for s in range(5)]
    np.testing.assert_allclose(scores, expected, atol=1e-12)


def test_multi_class_score_is_the_mean_one_versus_rest_area_of_sklearn() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 500)
    raw = rng.normal(size=(500, 3)) + np.eye(3)[labels]
    probabilities = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    parts = contributions(MULTI, probabilities, labels.astype(float), np.zeros(500, np.int64), 1)
    assert parts.scores[0] == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"), abs=1e-12)
    assert parts.influence.mean() == pytest.approx(0.0, abs=1e-12)


def test_a_class_that_a_segment_lacks_is_left_out_of_its_mean() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 100).astype(float)
    predictions = rng.normal(size=(100, 3))
    score = contributions(MULTI, predictions, labels, np.zeros(100, np.int64), 1).scores[0]
    assert score == pytest.approx(np.mean([roc_auc_score(labels == code, predictions[:, code]) for code in (0, 1)]))


@pytest.mark.parametrize("task", [REGRESSION, BINARY])
def test_the_error_from_influence_values_is_that_of_the_bootstrap(task: TaskType) -> None:
    rng = np.random.default_rng(5)
    n_rows, n_draws = 600, 400
    predictions = rng.normal(size=n_rows)
    labels = 0.5 * predictions + rng.normal(size=n_rows)
    labels = (labels > 0.3).astype(float) if task is BINARY else labels
    table = table_of(contributions(task, predictions, labels, np.zeros(n_rows, np.int64), 1), np.zeros(n_rows, np.int64), 1, 0.0)
    draws = rng.integers(0, n_rows, (n_draws, n_rows)).ravel()
    scores = contributions(task, predictions[draws], labels[draws], blocks(n_draws, n_rows), n_draws).scores
    assert table.standard_error[0] == pytest.approx(scores.std(), rel=0.12)


@pytest.mark.parametrize("lag", [0, 1, 4, 25])
def test_the_window_sum_is_the_bartlett_sum_of_autocovariances(lag: int) -> None:
    rng = np.random.default_rng(6)
    sizes = [40, 25, 0, 60]
    groups = np.repeat(np.arange(4), sizes)
    influence = rng.normal(size=groups.size)
    computed = grouped_long_run_variance(influence, groups, 4, np.full(4, lag))
    for group in range(4):
        own = influence[groups == group]
        direct = (
            sum(own[: own.size - k] @ own[k:] * (1.0 if k == 0 else 2.0) * (1.0 - k / (lag + 1)) for k in range(min(lag, own.size - 1) + 1)) if own.size else 0
        )
        assert computed[group] == pytest.approx(direct, abs=1e-9)


@pytest.mark.parametrize("task", [REGRESSION, BINARY])
@pytest.mark.parametrize("decay", [0.5, 0.95])
def test_persistent_noise_against_overlapping_labels_passes_at_about_its_nominal_rate(task: TaskType, decay: float) -> None:
    rng = np.random.default_rng(7)
    n_series, n_rows, horizon = 800, 1_000, 12
    labels = overlapping(rng, n_series, n_rows, horizon).ravel()
    labels = (labels > 0).astype(float) if task is BINARY else labels
    groups = blocks(n_series, n_rows)
    parts = contributions(task, persistent(rng, n_series, n_rows, decay).ravel(), labels, groups, n_series)
    null = 0.5 if task is BINARY else 0.0
    honest = np.mean(table_of(parts, groups, horizon, null).p_value <= 0.05)
    independent = parts.influence.reshape(n_series, n_rows).std(axis=1) / np.sqrt(n_rows)
    naive = np.mean((parts.scores - null) / independent >= 1.645)
    assert 0.03 <= honest <= 0.10
    assert naive > 2 * honest if decay > 0.9 else naive > honest


@pytest.mark.parametrize(("decay", "most"), [(0.97, 0.09), (0.99, 0.11)])
def test_labels_that_persist_beyond_their_horizon_keep_their_level_far_into_the_tail(decay: float, most: float) -> None:
    """Volatilities persist for months: over three horizons alone 12% and 24% of such noise had p below .05, and 5% and 15% below .01."""
    rng = np.random.default_rng(17)
    n_series, n_rows, horizon = 400, 1_200, 10
    states = np.cumsum(persistent(rng, n_series, n_rows + horizon, decay), axis=1)
    labels = states[:, horizon:] - states[:, :-horizon]
    groups = blocks(n_series, n_rows)
    deviations = persistent(rng, n_series, n_rows, decay).reshape(-1, 1)
    parts = centred_contributions(REGRESSION, deviations, labels.ravel(), np.zeros((groups.size, 1)), groups, n_series)
    p_values = table_of(parts, groups, horizon, 0.0).p_value
    assert np.mean(p_values <= 0.05) <= most
    assert np.mean(p_values <= 0.01) <= 0.02


def test_the_lag_follows_what_persists_and_rests_on_the_overlap_where_nothing_does() -> None:
    rng = np.random.default_rng(18)
    n_series, n_rows, horizon = 200, 1_500, 5
    groups, rows = blocks(n_series, n_rows), np.full(n_series, n_rows)
    overlap = overlapping(rng, n_series, n_rows, horizon).ravel()
    rest = dependence_lags(overlap - overlap.mean(), groups, rows, horizon, 3.0)
    assert np.mean(rest == 3 * horizon - 1) >= 0.9
    lasting = persistent(rng, n_series, n_rows, 0.98).ravel()
    assert np.median(dependence_lags(lasting, groups, rows, horizon, 3.0)) > 100
    assert dependence_lags(lasting, groups, rows, horizon, 3.0).max() <= n_rows // 8


@pytest.mark.parametrize(("task", "truth"), [(REGRESSION, 6 / np.pi * np.arcsin(0.3 / 2)), (BINARY, special.ndtr(0.5 / np.sqrt(2)))])
def test_intervals_cover_the_true_score_as_often_as_they_say(task: TaskType, truth: float) -> None:
    rng = np.random.default_rng(8)
    n_groups, n_rows = 800, 400
    groups = blocks(n_groups, n_rows)
    if task is REGRESSION:
        labels = rng.normal(size=groups.size)
        predictions = 0.3 * labels + np.sqrt(1 - 0.09) * rng.normal(size=groups.size)
    else:
        labels = (rng.random(groups.size) < 0.4).astype(float)
        predictions = 0.5 * labels + rng.normal(size=groups.size)
    table = table_of(contributions(task, predictions, labels, groups, n_groups), groups, 1, 0.0)
    covered = np.mean((table.ci_low <= truth) & (truth <= table.ci_high))
    assert 0.93 <= covered <= 0.97
    assert np.mean(one_sided_bound(table, 0.95) >= truth) == pytest.approx(0.95, abs=0.03)


def test_p_and_interval_of_no_score_are_no_numbers() -> None:
    groups = blocks(4, 20)
    predictions, labels = np.random.default_rng(9).normal(size=(2, 80))
    predictions[:20] = 1.0
    labels[20:40] = 2.0
    table = table_of(contributions(REGRESSION, predictions, labels, groups, 4), groups, 1, 0.0)
    assert np.isnan(table.score[:2]).all()
    assert np.isfinite(table.score[2:]).all()
    for column in (table.standard_error, table.ci_low, table.ci_high, table.p_value):
        assert np.isnan(column[:2]).all()
        assert np.isfinite(column[2:]).all()


def test_one_class_few_rows_and_empty_segments_have_no_area() -> None:
    segments = np.repeat([0, 1, 3], [20, 5, 20])
    labels = np.r_[np.ones(20), 0, 1, 0, 1, 1, np.tile([0.0, 1.0], 10)]
    scores = contributions(BINARY, np.random.default_rng(10).normal(size=45), labels, segments, 4).scores
    assert np.isnan(scores[:3]).all()
    assert np.isfinite(scores[3])


def test_a_constant_prediction_of_classes_scores_exactly_one_half() -> None:
    parts = contributions(BINARY, np.zeros(40), np.tile([0.0, 1.0], 20), np.zeros(40, np.int64), 1)
    assert parts.scores[0] == 0.5


def test_a_perfect_prediction_scores_one_and_its_reverse_minus_one_or_zero() -> None:
    labels, one = np.arange(50.0), np.zeros(50, np.int64)
    assert contributions(REGRESSION, labels, labels, one, 1).scores[0] == pytest.approx(1.0)
    assert contributions(REGRESSION, -labels, labels, one, 1).scores[0] == pytest.approx(-1.0)
    assert contributions(BINARY, -labels, (labels > 20).astype(float), one, 1).scores[0] == 0.0


def test_folds_are_joined_by_rows_and_a_fold_without_a_score_is_left_out() -> None:
    rng = np.random.default_rng(11)
    segments = np.repeat([0, 1, 2], [30, 90, 20])
    labels = rng.normal(size=140)
    predictions = labels + rng.normal(size=140)
    predictions[120:] = 0.0
    parts = contributions(REGRESSION, predictions, labels, segments, 3)
    table = score_groups(parts, segments, np.zeros(140, np.int64), 1, 1, 0.0, 0.95, 2.0)
    assert table.score[0] == pytest.approx((30 * parts.scores[0] + 90 * parts.scores[1]) / 120)
    assert table.n_rows[0] == 120


def test_rank_ic_by_time_is_scipys_at_each_time_and_missing_where_symbols_are_few() -> None:
    rng = np.random.default_rng(12)
    times = np.repeat([3, 5, 9], [6, 2, 8])
    order = rng.permutation(16)
    predictions, labels = rng.normal(size=(2, 16))
    ic = rank_ic_by_time(predictions[order], labels[order], times[order], 3)
    expected = [stats.spearmanr(predictions[times == t], labels[times == t]).statistic for t in (3, 9)]
    np.testing.assert_allclose(ic[[0, 2]], expected, atol=1e-12)
    assert np.isnan(ic[1])


def test_the_error_over_time_is_that_of_newey_and_west_with_the_degrees_lost_to_the_mean() -> None:
    rng = np.random.default_rng(13)
    series = 0.05 + overlapping(rng, 1, 400, 5)[0] / 50
    table = score_over_time(series, np.ones(400), 8_000, 5, 0.0, 0.95, 2.0)
    deviations = series - series.mean()
    lag = 9
    variance = sum((1 if k == 0 else 2) * (1 - k / (lag + 1)) * (deviations[: 400 - k] @ deviations[k:]) for k in range(lag + 1)) / 400**2
    assert table.score[0] == pytest.approx(series.mean())
    assert table.standard_error[0] == pytest.approx(np.sqrt(variance / (1 - (lag + 1) / 400)))


def test_too_few_times_make_no_score_over_time() -> None:
    assert np.isnan(score_over_time(np.full(9, 0.1), np.ones(9), 90, 1, 0.0, 0.95, 2.0).score[0])


def test_symbols_that_move_as_one_count_as_one() -> None:
    rng = np.random.default_rng(14)
    n_times, n_symbols = 300, 20
    labels, predictions = rng.normal(size=(2, n_times))
    times, segments = np.tile(np.arange(n_times), n_symbols), np.zeros(n_times * n_symbols, np.int64)
    copies = contributions(REGRESSION, np.tile(predictions, n_symbols), np.tile(labels, n_symbols), segments, 1)
    alone = contributions(REGRESSION, predictions, labels, segments[:n_times], 1)
    many = score_clustered_by_time(copies, segments, times, 1, 0.0, 0.95, 2.0)
    one = score_clustered_by_time(alone, segments[:n_times], times[:n_times], 1, 0.0, 0.95, 2.0)
    assert many.standard_error[0] == pytest.approx(one.standard_error[0], rel=0.01)


def test_the_pooled_score_falls_back_to_all_rows_where_no_time_has_a_cross_section() -> None:
    rng = np.random.default_rng(15)
    predictions, labels = rng.normal(size=(2, 400))
    segments = np.zeros(400, np.int64)
    _, together = score_pooled(REGRESSION, predictions, labels, np.repeat(np.arange(40), 10), segments, 1, 0.95, 2.0)
    _, apart = score_pooled(REGRESSION, predictions, labels, np.arange(400), segments, 1, 0.95, 2.0)
    assert (together, apart) == ("rank_ic_by_time", "rank_ic")


def test_scoring_one_model_leaves_unlabelled_rows_out_and_reports_null_for_what_has_no_score() -> None:
    rng = np.random.default_rng(16)
    labels = rng.normal(size=120)
    predictions = labels + rng.normal(size=120)
    holed = np.where(np.arange(120) % 4 == 0, np.nan, labels)
    times, symbols = np.arange(120), np.zeros(120, np.int64)
    interval = score_predictions(REGRESSION, holed, predictions, times, symbols, 1, False, 0.95, 2.0)
    keep = np.isfinite(holed)
    assert interval.score == pytest.approx(stats.spearmanr(predictions[keep], labels[keep]).statistic)
    assert interval.n_rows == 90
    nothing = score_predictions(REGRESSION, np.full(120, np.nan), predictions, times, symbols, 1, False, 0.95, 2.0)
    assert (nothing.score, nothing.ci_low, nothing.p_value) == (None, None, None)


def random_walks(rng: np.random.Generator, n_walks: int, n_before: int, n_rows: int, horizon: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minus the level, in units of the time before, and the forward change, of walks that nothing predicts; shape (n_walks, n_rows)."""
    level = np.cumsum(rng.normal(size=(n_walks, n_before + n_rows + horizon)), axis=1)
    before, inside = level[:, :n_before], level[:, n_before : n_before + n_rows]
    return -(inside - before.mean(axis=1, keepdims=True)) / before.std(axis=1, keepdims=True), level[:, n_before + horizon :] - inside


@pytest.mark.parametrize("task", [REGRESSION, BINARY])
def test_centres_and_units_known_before_keep_random_walks_at_chance(task: TaskType) -> None:
    n_walks, n_rows, horizon = 1_000, 150, 5
    deviations, labels = random_walks(np.random.default_rng(17), n_walks, 150, n_rows, horizon)
    groups = blocks(n_walks, n_rows)
    null = 0.5 if task is BINARY else 0.0
    flat = (labels.ravel() > 0).astype(float) if task is BINARY else labels.ravel()
    demeaned = contributions(task, deviations.ravel(), flat, groups, n_walks)
    centred = centred_contributions(task, deviations.reshape(-1, 1), flat, np.full((groups.size, 1), null), groups, n_walks)
    assert demeaned.scores.mean() - null > 20 * demeaned.scores.std() / np.sqrt(n_walks)
    assert abs(centred.scores.mean() - null) < 3 * centred.scores.std() / np.sqrt(n_walks)
    passed = [np.mean(table_of(parts, groups, horizon, null).p_value <= 0.05) for parts in (centred, demeaned)]
    assert passed[0] < 0.12 < 0.4 < passed[1]


def test_scores_about_the_windows_own_means_are_close_to_those_of_ranks() -> None:
    rng = np.random.default_rng(18)
    labels = rng.normal(size=2_000)
    predictions = 0.3 * labels + rng.normal(size=2_000)
    segments = np.zeros(2_000, np.int64)
    about = centred_contributions(
        REGRESSION, ((predictions - predictions.mean()) / predictions.std())[:, None], labels, np.full((2_000, 1), labels.mean()), segments, 1
    )
    assert about.scores[0] == pytest.approx(rank_correlation(predictions, labels, segments, 1).scores[0], abs=0.03)
    up = (labels > 0).astype(float)
    area = centred_contributions(BINARY, ((predictions - np.median(predictions)) / predictions.std())[:, None], up, np.full((2_000, 1), up.mean()), segments, 1)
    assert area.scores[0] == pytest.approx(roc_auc_score(up, predictions), abs=0.03)


def test_centred_multi_class_is_the_mean_of_its_classes() -> None:
    rng = np.random.default_rng(19)
    labels = rng.integers(0, 3, 600).astype(float)
    deviations = rng.normal(size=(600, 3)) + 0.5 * np.eye(3)[labels.astype(int)]
    centres, segments = np.full((600, 3), 1 / 3), np.zeros(600, np.int64)
    together = centred_contributions(MULTI, deviations, labels, centres, segments, 1).scores[0]
    apart = [
        centred_contributions(BINARY, deviations[:, [code]], (labels == code).astype(float), centres[:, [code]], segments, 1).scores[0] for code in range(3)
    ]
    assert together == pytest.approx(np.mean(apart))
    assert together > 0.55


@pytest.mark.parametrize("task", [REGRESSION, BINARY])
def test_centred_scores_of_nothing_have_no_number_and_no_warning(task: TaskType) -> None:
    segments = np.repeat([0, 1], [30, 5])
    labels = np.r_[np.ones(30), 0.0, 1.0, 0.0, 1.0, 1.0]
    with np.errstate(all="raise"):
        constant = centred_contributions(task, np.zeros((35, 1)), labels, np.full((35, 1), 1.0), segments, 3)
    assert np.isnan(constant.scores).all()


@pytest.mark.parametrize("task", [REGRESSION, BINARY])
def test_centred_persistent_noise_passes_at_about_its_nominal_rate(task: TaskType) -> None:
    rng = np.random.default_rng(20)
    n_series, n_rows, horizon = 800, 1_000, 12
    values = overlapping(rng, n_series, n_rows, horizon).ravel()
    labels = (values > 0).astype(float) if task is BINARY else values
    null = 0.5 if task is BINARY else 0.0
    groups = blocks(n_series, n_rows)
    deviations = persistent(rng, n_series, n_rows, 0.95).reshape(-1, 1)
    parts = centred_contributions(task, deviations, labels, np.full((groups.size, 1), null), groups, n_series)
    assert 0.03 <= np.mean(table_of(parts, groups, horizon, null).p_value <= 0.05) <= 0.10
