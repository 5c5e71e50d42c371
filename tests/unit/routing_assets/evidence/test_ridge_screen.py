"""The closed-form screen held against sklearn's ridge on the same rows, against truncated time, and against a known truth."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from config.sections.splits import SplitConfig
from routing_assets.evidence.ridge_models import PENALTIES
from routing_assets.evidence.ridge_screen import RidgePredictions, ridge_predictions
from routing_assets.evidence.stages import Stages, nested_stages
from tests.panels import Planted, make_panel
from training_assets.panel.panel import Panel
from training_assets.splits import Fold, make_folds

Floats = NDArray[np.float64]
GRID = (0.0, 0.1, 0.25, 0.5, 1.0)
SPLITS = SplitConfig(n_folds=4)
MIN_TRAIN_ROWS = 50


def folds_of(panel: Panel) -> tuple[Fold, ...]:
    return make_folds(panel.holdout_start_code, 3, 5, SPLITS)


def stages_of(panel: Panel) -> Stages:
    return nested_stages(folds_of(panel), panel.time_codes, panel.label_end_codes[0], SPLITS.inner_fraction)


def screened(panel: Panel, grid: Sequence[float] = GRID, min_train_rows: int = MIN_TRAIN_ROWS) -> RidgePredictions:
    columns = np.asarray(panel.labels[0], float)[:, None]
    return ridge_predictions(panel, columns, np.arange(len(panel.feature_infos)), stages_of(panel), grid, min_train_rows)


def by_hand(panel: Panel) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Standardised features (n_rows, n_features), clipped labels, and symbol of each row, all from the rows that every stage trains on."""
    reference = stages_of(panel).first_train == 0
    x = np.asarray(panel.features, float).T
    z = np.clip((x - np.nanmean(x[reference], axis=0)) / np.nanstd(x[reference], axis=0), -6, 6)
    labels = np.asarray(panel.labels[0], float)
    labels = np.clip(labels, *np.nanquantile(labels[reference], [0.01, 0.99]))
    return np.nan_to_num(z), labels, panel.symbol_codes.astype(np.int64)


def sklearn_predictions(z: Floats, labels: Floats, train: NDArray[np.int64], test: NDArray[np.int64]) -> list[Floats]:
    """Predictions at each of the screen's penalties."""
    return [Ridge(alpha=penalty * train.size).fit(z[train], labels[train]).predict(z[test]) for penalty in PENALTIES]


def nearest(candidates: Sequence[Floats], predictions: NDArray[np.float32]) -> float:
    return min(float(np.abs(one - predictions).max()) for one in candidates)


def test_pooled_predictions_are_those_of_sklearn_on_all_symbols_at_one_of_the_penalties() -> None:
    panel = make_panel(n_symbols=3, n_bars=300, planted=Planted(0.5, 0.5), seed=1)
    screen, (z, labels, _) = screened(panel), by_hand(panel)
    for stage, fold in enumerate(folds_of(panel)):
        train = np.flatnonzero(fold.train_mask(panel.time_codes, panel.label_end_codes[0]))
        part = screen.stages == stage
        assert part.sum() > 100
        assert nearest(sklearn_predictions(z, labels, train, screen.rows[part]), screen.pooled[part, 0]) < 1e-4


def prior_variances(z: Floats, labels: Floats, symbols: NDArray[np.int64], first_train: NDArray[np.int64], stage: int) -> Floats:
    """Shape (n_features,), largest 1: mean over symbols, plus its standard error, of products of a feature's covariances in different stretches."""
    means = []
    for symbol in np.unique(symbols):
        stretches = [np.flatnonzero((symbols == symbol) & (first_train == entered)) for entered in range(stage + 1)]
        sums = np.stack([z[rows].T @ (labels[rows] - labels[rows].mean()) for rows in stretches])
        pairs = [(a, b) for a in range(stage + 1) for b in range(stage + 1) if a != b]
        means.append(sum(sums[a] * sums[b] for a, b in pairs) / sum(stretches[a].size * stretches[b].size for a, b in pairs))
    energy = np.maximum(np.mean(means, axis=0), 0.0) + np.std(means, axis=0) / np.sqrt(len(means))
    return np.asarray(energy / energy.max())


def test_local_and_blended_predictions_are_those_of_sklearn_on_the_symbols_own_rows_under_the_panels_prior() -> None:
    panel = make_panel(n_symbols=3, n_bars=300, planted=Planted(0.5, 0.5), seed=2)
    screen, (z, labels, symbols), first_train = screened(panel), by_hand(panel), stages_of(panel).first_train
    for stage, fold in enumerate(folds_of(panel)):
        trains = fold.train_mask(panel.time_codes, panel.label_end_codes[0])
        everyone, scored = np.flatnonzero(trains), screen.stages == stage
        pooled = [Ridge(alpha=penalty * everyone.size).fit(z[everyone], labels[everyone]) for penalty in PENALTIES]
        base = min(pooled, key=lambda model: float(np.abs(model.predict(z[screen.rows[scored]]) - screen.pooled[scored, 0]).max()))
        left = labels - base.predict(z)
        own, residual = (z * np.sqrt(prior_variances(z, one, symbols, first_train, stage + 1)) for one in (labels, left))
        for symbol in range(3):
            train, part = np.flatnonzero(trains & (symbols == symbol)), scored & (symbols[screen.rows] == symbol)
            test = screen.rows[part]
            assert nearest(sklearn_predictions(own, labels, train, test), screen.local[part, 0]) < 1e-3
            blends = [base.predict(z[test]) + share * one for share in GRID for one in sklearn_predictions(residual, left, train, test)]
            assert nearest(blends, screen.blended[part, 0]) < 1e-3


def test_every_scored_row_is_in_the_fold_it_is_said_to_be_and_none_is_in_the_holdout() -> None:
    panel = make_panel(n_symbols=3, n_bars=300, late_starts={1: 150}, seed=3)
    screen = screened(panel)
    expected = np.full(panel.n_rows, -1)
    for number, fold in enumerate(folds_of(panel)):
        expected[fold.test_mask(panel.time_codes, panel.label_end_codes[0])] = number
    np.testing.assert_array_equal(screen.rows, np.flatnonzero(expected >= 0))
    np.testing.assert_array_equal(screen.stages, expected[screen.rows])
    assert panel.label_end_codes[0][screen.rows].max() < panel.holdout_start_code


@pytest.mark.parametrize("stage", [0, 2])
def test_garbage_after_a_stages_training_window_changes_nothing_the_stage_knows(stage: int) -> None:
    panel = make_panel(n_symbols=3, n_bars=300, planted=Planted(0.5, 0.5), late_starts={2: 100}, seed=4)
    fold = folds_of(panel)[stage]
    rng = np.random.default_rng(5)
    features, labels = np.array(panel.features), np.array(panel.labels)
    future_label = panel.label_end_codes[0] > fold.test_start
    labels[0, future_label] = 100.0 * rng.normal(size=int(future_label.sum()))
    future_bar = panel.time_codes >= fold.test_stop
    features[:, future_bar] = 100.0 * rng.normal(size=(features.shape[0], int(future_bar.sum())))
    before, after = screened(panel), screened(replace(panel, features=features, labels=labels))
    early = before.stages <= stage
    for name in ("pooled", "local", "blended"):
        np.testing.assert_array_equal(getattr(before, name)[early], getattr(after, name)[early])
    for name in ("centres", "sizes", "label_centres"):
        np.testing.assert_array_equal(getattr(before, name)[:, : stage + 1], getattr(after, name)[:, : stage + 1])
    assert not np.array_equal(before.pooled[~early], after.pooled[~early], equal_nan=True)


def test_garbage_inside_the_training_window_is_noticed() -> None:
    panel = make_panel(n_symbols=2, n_bars=300, seed=6)
    labels = np.array(panel.labels)
    labels[0, panel.time_codes < 60] *= -1.0
    assert not np.allclose(screened(panel).pooled, screened(replace(panel, labels=labels)).pooled)


def test_a_feature_value_that_is_not_known_counts_as_the_features_mean() -> None:
    panel = make_panel(n_symbols=2, n_bars=300, seed=7)
    features = np.array(panel.features)
    features[1, np.random.default_rng(8).random(panel.n_rows) < 0.3] = np.nan
    holed = replace(panel, features=features)
    reference = stages_of(panel).first_train == 0
    filled = np.where(np.isfinite(features), features, np.nanmean(features[:, reference].astype(float), axis=1, keepdims=True))
    x, (z, labels, _) = screened(holed), by_hand(holed)
    assert np.isfinite(x.pooled).all()
    fold = folds_of(panel)[-1]
    train = np.flatnonzero(fold.train_mask(panel.time_codes, panel.label_end_codes[0]))
    assert nearest(sklearn_predictions(z, labels, train, x.rows[x.stages == 3]), x.pooled[x.stages == 3, 0]) < 1e-4
    assert np.isfinite(filled).all()


def test_features_and_symbols_with_nothing_in_them_leave_the_others_finite() -> None:
    panel = make_panel(n_symbols=3, n_bars=300, n_features=5, seed=9)
    features, labels, ends = np.array(panel.features), np.array(panel.labels), np.array(panel.label_end_codes)
    features[0], features[1] = np.nan, 3.0
    gone = panel.symbol_codes == 1
    labels[:, gone], ends[:, gone] = np.nan, -1
    screen = screened(replace(panel, features=features, labels=labels, label_end_codes=ends))
    assert not np.isin(screen.rows, np.flatnonzero(gone)).any()
    assert np.isfinite(screen.pooled).all()
    assert np.isfinite(screen.local).all()


def test_a_symbol_with_too_few_rows_has_no_local_model_and_its_blend_is_the_pooled_one() -> None:
    panel = make_panel(n_symbols=4, n_bars=400, planted=Planted(0.5, 0.5), late_starts={3: 200}, seed=10)
    screen = screened(panel)
    late = panel.symbol_codes[screen.rows] == 3
    enough = np.array(
        [(fold.train_mask(panel.time_codes, panel.label_end_codes[0]) & (panel.symbol_codes == 3)).sum() >= MIN_TRAIN_ROWS for fold in folds_of(panel)]
    )
    has_model = enough[screen.stages]
    assert np.isnan(screen.local[late & ~has_model]).all()
    assert np.isfinite(screen.local[late & has_model]).all()
    assert (late & ~has_model).any()
    assert (late & has_model).any()
    np.testing.assert_allclose(screen.blended[late & ~has_model], screen.pooled[late & ~has_model], atol=1e-6)
    assert np.isfinite(screen.local[~late]).all()


def test_strengths_come_from_the_grid_low_where_symbols_are_alike_and_high_where_they_differ() -> None:
    alike = screened(make_panel(n_symbols=12, n_bars=500, planted=Planted(0.3, 0.0), seed=11))
    apart = screened(make_panel(n_symbols=12, n_bars=500, planted=Planted(0.0, 0.3), seed=11))
    assert set(np.r_[alike.strengths, apart.strengths]) <= set(GRID)
    assert apart.strengths.mean() > 0.8
    assert alike.strengths.mean() < apart.strengths.mean() - 0.3


def test_a_grid_of_zero_is_the_pooled_model() -> None:
    screen = screened(make_panel(n_symbols=3, n_bars=300, planted=Planted(0.2, 0.8), seed=12), grid=(0.0,))
    np.testing.assert_allclose(screen.blended, screen.pooled, atol=1e-6)
    assert (screen.strengths == 0.0).all()


def test_columns_of_several_labels_are_fitted_as_if_each_were_alone() -> None:
    panel = make_panel(n_symbols=3, n_bars=300, planted=Planted(0.5, 0.5), seed=13)
    first = np.asarray(panel.labels[0], float)
    both = ridge_predictions(panel, np.stack([first, first**2], axis=1), np.arange(4), stages_of(panel), GRID, MIN_TRAIN_ROWS)
    alone = screened(panel)
    for name in ("pooled", "local", "blended"):
        np.testing.assert_allclose(getattr(both, name)[:, [0]], getattr(alone, name), atol=1e-5)


def signal_share(heterogeneity: float, n_bars: int, seed: int) -> dict[str, float]:
    """Share of the true signal's variance that each kind of prediction explains: 30 symbols, 20 features, signal 1% of the label's variance."""
    panel = make_panel(n_symbols=30, n_bars=n_bars, n_features=20, seed=seed)
    rng = np.random.default_rng([seed, 14])
    weights = np.sqrt(1 - heterogeneity) * rng.normal(size=(1, 20)) + np.sqrt(heterogeneity) * rng.normal(size=(30, 20))
    signal = (weights[panel.symbol_codes] * np.asarray(panel.features, float).T).sum(axis=1) / np.sqrt(20)
    labels = np.where(np.isfinite(panel.labels[0]), 0.1 * signal + rng.normal(size=panel.n_rows), np.nan).astype(np.float32)
    screen = screened(replace(panel, labels=np.stack([labels] * 3)))
    truth = 0.1 * signal[screen.rows]
    return {kind: 1 - float(np.mean((truth - getattr(screen, kind)[:, 0]) ** 2) / np.mean(truth**2)) for kind in ("pooled", "local", "blended")}


@pytest.mark.parametrize(("n_bars", "tolerance"), [(1_200, 0.10), (2_500, 0.02)])
@pytest.mark.parametrize("heterogeneity", [0.25, 0.5])
def test_between_alike_and_apart_the_blend_explains_about_as_much_as_the_better_of_the_two(heterogeneity: float, n_bars: int, tolerance: float) -> None:
    shares = [signal_share(heterogeneity, n_bars, seed) for seed in range(4)]
    mean = {kind: np.mean([one[kind] for one in shares]) for kind in shares[0]}
    print(f"\nheterogeneity {heterogeneity}, {n_bars} bars: { ({kind: round(float(value), 3) for kind, value in mean.items()}) }")
    assert mean["blended"] >= (1 - tolerance) * max(mean["pooled"], mean["local"])


@pytest.mark.parametrize(("heterogeneity", "better"), [(0.0, "pooled"), (1.0, "local")])
def test_at_the_ends_the_blend_gives_up_little_to_the_right_model(heterogeneity: float, better: str) -> None:
    shares = [signal_share(heterogeneity, 2_500, seed) for seed in range(3)]
    mean = {kind: np.mean([one[kind] for one in shares]) for kind in shares[0]}
    print(f"\nheterogeneity {heterogeneity}: { ({kind: round(float(value), 3) for kind, value in mean.items()}) }")
    assert mean[better] == max(mean["pooled"], mean["local"])
    assert mean["blended"] >= mean[better] - 0.05
