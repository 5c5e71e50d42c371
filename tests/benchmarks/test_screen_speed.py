"""How fast pairs are screened, in processor seconds of one thread, each figure beside the plain loop that gives the same kind of number.

A pair is one target on one symbol of
4,000 bars and 60 features, over five walk-forward folds.
"""

from typing import Any

import lightgbm
import numpy as np
import pytest
from lightgbm import LGBMRegressor
from scipy import stats
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge

from config.load import load_config
from routing_assets.evidence.gbm_screen import GbmItem, GbmSetting, fit_item
from routing_assets.evidence.ridge_models import PENALTIES
from routing_assets.evidence.ridge_screen import ridge_predictions
from routing_assets.evidence.selection import select_features
from routing_assets.evidence.stages import nested_stages
from tests.benchmarks.conftest import Against
from tests.panels import REGRESSION_TARGET, Planted, make_panel
from training_assets.contributions import rank_correlation
from training_assets.panel.panel import Panel
from training_assets.splits import make_folds

N_SYMBOLS, N_BARS, N_FEATURES = 6, 4_000, 60
CONFIG = load_config(None, [], {})


@pytest.fixture(scope="module")
def panel() -> Panel:
    return make_panel(n_symbols=N_SYMBOLS, n_bars=N_BARS, n_features=N_FEATURES, planted=Planted(0.05, 0.05), seed=0)


def folds_of(panel: Panel):
    return make_folds(panel.holdout_start_code, 3, 5, CONFIG.splits)


@pytest.mark.parametrize(("n_columns", "least"), [(1, 5), (6, 10)], ids=["one_target", "six_targets"])
def test_ridge_pairs_are_several_times_as_fast_as_a_loop_over_sklearn(panel: Panel, against: Against, n_columns: int, least: int) -> None:
    folds, ends = folds_of(panel), panel.label_end_codes[0]
    rng = np.random.default_rng(1)
    columns = np.asarray(panel.labels[0], float)[:, None] + rng.normal(size=(panel.n_rows, n_columns))
    codes = np.arange(N_FEATURES)

    def screen() -> Any:
        stages = nested_stages(folds, panel.time_codes, ends, CONFIG.splits.inner_fraction)
        return ridge_predictions(panel, columns, codes, stages, CONFIG.scoring.shrinkage_grid, 50)

    def loop() -> None:
        rows = panel.rows_of("S000")
        x, y = np.asarray(panel.features[:, rows], float).T, columns[rows, 0]
        for fold in folds:
            train = fold.train_mask(panel.time_codes[rows], ends[rows])
            test = fold.test_mask(panel.time_codes[rows], ends[rows])
            for penalty in PENALTIES:
                Ridge(alpha=penalty * train.sum()).fit(x[train], y[train]).predict(x[test])

    measured = against(screen, loop, "scikit-learn Ridge in a loop, local alone", "pairs", N_SYMBOLS * n_columns)
    assert measured.ratio > least


def test_rank_correlations_of_many_segments_are_faster_than_a_loop_over_scipy(panel: Panel, against: Against) -> None:
    rows = panel.rows_of("S000")
    x, y = np.asarray(panel.features[:, rows]), np.asarray(panel.labels[0][rows])
    known = np.isfinite(y)
    x, y = x[:, known], y[known]
    n_blocks = 40
    y_many = np.tile(y, N_FEATURES)
    block = np.minimum(np.arange(y.size) * n_blocks // y.size, n_blocks - 1)
    segments = (np.arange(N_FEATURES)[:, None] * n_blocks + block[None, :]).ravel()
    n_segments = N_FEATURES * n_blocks

    def loop() -> list[float]:
        return [stats.spearmanr(x[0][block == b], y[block == b]).statistic for b in range(n_blocks)]

    measured = against(
        lambda: rank_correlation(x.ravel(), y_many, segments, n_segments), loop, "scipy.stats.spearmanr in a loop", "rank ICs", n_segments, n_blocks
    )
    np.testing.assert_allclose(measured.result.scores[:n_blocks], loop(), atol=1e-6)
    assert measured.ratio > 20


def test_tree_pairs_are_faster_than_a_bare_loop_over_all_features(panel: Panel, against: Against) -> None:
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

    measured = against(lambda: fit_item(panel, setting, GbmItem(REGRESSION_TARGET, 0, None)), bare, "lightgbm in a bare loop, all features", "pairs")
    assert measured.result is not None
    assert measured.ratio > 0.7


def test_feature_selection_is_faster_than_scikit_learns_permutation_importance(panel: Panel, against: Against) -> None:
    n_rows = 20_000
    x, y = np.nan_to_num(np.asarray(panel.features[:, :n_rows])).T, np.nan_to_num(np.asarray(panel.labels[0][:n_rows]))
    model = LGBMRegressor(n_estimators=50, num_leaves=8, n_jobs=1, verbose=-1)

    def importance() -> Any:
        return permutation_importance(model.fit(x, y), x[:2_000], y[:2_000], n_repeats=1, n_jobs=1, random_state=0)

    n_targets = len(panel.target_names)
    measured = against(
        lambda: select_features(panel, panel.target_names, CONFIG), importance, "scikit-learn permutation_importance alone", "targets", n_targets, rounds=2
    )
    assert len(measured.result) == N_FEATURES * n_targets
    assert measured.a_second > 0.5
