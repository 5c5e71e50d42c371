"""How fast pairs are screened, in processor seconds of one thread, each figure beside the plain loop that gives the same kind of number.

Run with `OMP_NUM_THREADS=1 python -m pytest tests/benchmarks/test_screen_speed.py -s` for the figures. A pair is one target on one symbol of
4,000 bars and 60 features, over five walk-forward folds.
"""

import time
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from config.load import load_config
from routing_assets.evidence.gbm_screen import GbmItem, GbmSetting, fit_item
from routing_assets.evidence.ridge_models import PENALTIES
from routing_assets.evidence.ridge_screen import ridge_predictions
from routing_assets.evidence.selection import select_features
from routing_assets.evidence.stages import nested_stages
from tests.panels import REGRESSION_TARGET, Planted, make_panel
from training_assets.contributions import rank_correlation
from training_assets.panel.panel import Panel
from training_assets.splits import make_folds

N_SYMBOLS, N_BARS, N_FEATURES, N_COLUMNS = 6, 4_000, 60, 4
CONFIG = load_config(None, [], {})


@pytest.fixture(scope="module")
def panel() -> Panel:
    return make_panel(n_symbols=N_SYMBOLS, n_bars=N_BARS, n_features=N_FEATURES, planted=Planted(0.05, 0.05), seed=0)


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def folds_of(panel: Panel):
    return make_folds(panel.holdout_start_code, 3, 5, CONFIG.splits)


def test_ridge_pairs_are_at_least_ten_times_as_fast_as_a_loop_over_sklearn(panel: Panel) -> None:
    folds, ends = folds_of(panel), panel.label_end_codes[0]
    rng = np.random.default_rng(1)
    columns = np.asarray(panel.labels[0], float)[:, None] + rng.normal(size=(panel.n_rows, N_COLUMNS))
    codes = np.arange(N_FEATURES)

    def screen() -> Any:
        stages = nested_stages(folds, panel.time_codes, ends, CONFIG.splits.inner_fraction)
        return ridge_predictions(panel, columns, codes, stages, CONFIG.scoring.shrinkage_grid, 50)

    def loop() -> None:
        rows = panel.rows_of("S000")
        x, y = np.asarray(panel.features[:, rows], float).T, columns[rows]
        for fold in folds:
            train = fold.train_mask(panel.time_codes[rows], ends[rows])
            test = fold.test_mask(panel.time_codes[rows], ends[rows])
            for column in range(N_COLUMNS):
                for penalty in PENALTIES:
                    Ridge(alpha=penalty * train.sum()).fit(x[train], y[train, column]).predict(x[test])

    screen()
    seconds = min(timed(screen)[0] for _ in range(2))
    baseline = timed(loop)[0]
    ours, theirs = N_SYMBOLS * N_COLUMNS / seconds, N_COLUMNS / baseline
    text = f"{ours:,.0f} pairs/s (pooled, local and blended, {len(PENALTIES)} penalties)"
    print(f"\nridge: {text}; sklearn Ridge loop, local alone: {theirs:,.1f} pairs/s; {ours / theirs:.0f} times")
    assert ours > 10 * theirs


def test_rank_correlations_of_many_segments_are_faster_than_a_loop_over_scipy(panel: Panel) -> None:
    rows = panel.rows_of("S000")
    x, y = np.asarray(panel.features[:, rows]), np.asarray(panel.labels[0][rows])
    known = np.isfinite(y)
    x, y = x[:, known], y[known]
    n_blocks = 40
    y_many = np.tile(y, N_FEATURES)
    block = np.minimum(np.arange(y.size) * n_blocks // y.size, n_blocks - 1)
    segments = (np.arange(N_FEATURES)[:, None] * n_blocks + block[None, :]).ravel()
    n_segments = N_FEATURES * n_blocks
    seconds, parts = timed(lambda: rank_correlation(x.ravel(), y_many, segments, n_segments))
    baseline, expected = timed(lambda: [stats.spearmanr(x[0][block == b], y[block == b]).statistic for b in range(n_blocks)])
    np.testing.assert_allclose(parts.scores[:n_blocks], expected, atol=1e-6)
    ours, theirs = n_segments / seconds, n_blocks / baseline
    print(f"\nrank ICs of 100 rows, with influence values: {ours:,.0f}/s; scipy.spearmanr loop: {theirs:,.0f}/s; {ours / theirs:.0f} times")
    assert ours > 4 * theirs


def test_tree_pairs_are_faster_than_a_bare_loop_over_all_features(panel: Panel) -> None:
    folds, ends, codes = folds_of(panel), panel.label_end_codes[0], np.arange(N_FEATURES)
    setting = GbmSetting(CONFIG, {REGRESSION_TARGET: folds}, {REGRESSION_TARGET: codes})
    x, y = np.asarray(panel.features[:, panel.rows_of("S000")]).T, np.asarray(panel.labels[0][panel.rows_of("S000")])
    times, ends = panel.time_codes[panel.rows_of("S000")], ends[panel.rows_of("S000")]

    def bare() -> None:
        scoring = CONFIG.scoring
        parameters = {"objective": "regression", "num_leaves": scoring.gbm_leaves, "max_bin": scoring.gbm_max_bins, "num_threads": 1, "verbose": -1}
        for fold in folds:
            train, test = fold.train_mask(times, ends), fold.test_mask(times, ends)
            lightgbm.train(parameters, lightgbm.Dataset(x[train], y[train]), scoring.gbm_rounds).predict(x[test], num_threads=1)

    fit_item(panel, setting, GbmItem(REGRESSION_TARGET, 1, None))
    seconds, answer = timed(lambda: fit_item(panel, setting, GbmItem(REGRESSION_TARGET, 0, None)))
    baseline = timed(bare)[0]
    assert answer is not None
    text = f"{1 / seconds:.1f} pairs/s ({seconds / len(folds):.3f} s a fit, the {CONFIG.scoring.gbm_features} strongest features chosen in each fold)"
    print(f"\ntrees: {text}; bare lightgbm loop on all {N_FEATURES}: {1 / baseline:.1f} pairs/s; {baseline / seconds:.1f} times")
    assert seconds < 1.5 * baseline


def test_features_are_selected_in_less_than_two_seconds_a_target(panel: Panel) -> None:
    select_features(panel, [REGRESSION_TARGET], CONFIG)
    seconds, table = timed(lambda: select_features(panel, panel.target_names, CONFIG))
    rows = min(panel.n_rows, 20_000)
    print(f"\nselection: {seconds / len(panel.target_names):.2f} s a target ({rows:,} rows, {N_FEATURES} features, {CONFIG.features.n_canaries} canaries)")
    assert len(table) == N_FEATURES * len(panel.target_names)
    assert seconds < 2.0 * len(panel.target_names)
