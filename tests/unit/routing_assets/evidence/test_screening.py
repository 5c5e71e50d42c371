"""The scoring cascade: out of sample, honest about time, and the same however it is run."""

import os
import signal
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest

from config.load import load_config
from config.schema import Config
from routing_assets.contracts import ScreenOutcome
from routing_assets.evidence.screening import TargetScores, score_targets
from routing_assets.evidence.target_ridges import target_folds_of
from tests.panels import BINARY_TARGET, CLASS_TARGET, REGRESSION_TARGET, Planted, make_panel
from training_assets.panel.panel import Panel

TARGETS = (REGRESSION_TARGET, BINARY_TARGET, CLASS_TARGET)


def settings(*overrides: str) -> Config:
    return load_config(None, ("resources.workers=1", *overrides))


def scores_of(panel: Panel, config: Config, targets: tuple[str, ...] = TARGETS) -> dict[str, TargetScores]:
    return {one.info.name: one for one in score_targets(panel, dict.fromkeys(targets, panel.feature_names), config)}


def planted(pooled: float, local: float, **shape: object) -> Panel:
    return make_panel(n_symbols=6, n_bars=900, planted=Planted(pooled, local, 6.0), **shape)  # type: ignore[arg-type]


def test_a_shared_signal_scores_best_pooled_on_every_task() -> None:
    for name, scores in scores_of(planted(1.0, 0.0), settings()).items():
        assert scores.sides.cross_sectional.p_value[0] < 0.01, name
        assert np.nanmean(scores.sides.local_minus_pooled.score) < 0, name


def test_signals_of_their_own_score_best_locally() -> None:
    scores = scores_of(planted(0.0, 1.5), settings(), (REGRESSION_TARGET,))[REGRESSION_TARGET]
    assert np.nanmean(scores.sides.local_minus_pooled.score) > 0.05
    assert (scores.sides.local.p_value < 0.05).mean() > 0.8


def test_noise_scores_at_the_null() -> None:
    p_values = [scores_of(planted(0.0, 0.0, seed=seed), settings("scoring.families=[Ridge]"), (REGRESSION_TARGET,)) for seed in range(8)]
    local = np.concatenate([one[REGRESSION_TARGET].sides.local.p_value for one in p_values])
    assert (local < 0.05).mean() < 0.15  # 48 pairs; nominal 5%, three standard errors


def test_nothing_from_the_holdout_on_changes_a_score() -> None:
    panel = planted(1.0, 0.5)
    late = panel.time_codes >= panel.holdout_start_code
    spoiled_labels, spoiled_features = panel.labels.copy(), panel.features.copy()
    spoiled_labels[:, late], spoiled_features[:, late] = 0.0, 99.0
    spoiled = replace(panel, labels=spoiled_labels, features=spoiled_features)
    for name, clean in scores_of(panel, settings()).items():
        other = scores_of(spoiled, settings())[name]
        np.testing.assert_array_equal(clean.sides.local.score, other.sides.local.score)
        np.testing.assert_array_equal(clean.sides.cross_sectional.p_value, other.sides.cross_sectional.p_value)


def test_a_later_fold_changes_no_prediction_of_an_earlier_one() -> None:
    panel = planted(1.0, 0.5)
    folds = target_folds_of(panel, REGRESSION_TARGET, panel.feature_names, settings())
    first_only = {REGRESSION_TARGET: folds[:1]}
    features = {REGRESSION_TARGET: panel.feature_names}
    late = panel.time_codes >= folds[0].test_stop
    spoiled_features, spoiled_labels = panel.features.copy(), panel.labels.copy()
    spoiled_features[:, late], spoiled_labels[:, late] = -7.0, 1.0
    before = next(iter(score_targets(panel, features, settings(), first_only)))
    after = next(iter(score_targets(replace(panel, features=spoiled_features, labels=spoiled_labels), features, settings(), first_only)))
    np.testing.assert_array_equal(before.sides.local.score, after.sides.local.score)


def test_worker_processes_give_the_same_scores_as_none(tmp_path: Path) -> None:
    panel = make_panel(n_symbols=32, n_bars=300, planted=Planted(1.0, 1.0, 1.0))
    panel.write(tmp_path)
    mapped = Panel.read(tmp_path)
    alone = scores_of(mapped, settings(), (REGRESSION_TARGET,))[REGRESSION_TARGET]
    together = scores_of(mapped, load_config(None, ("resources.workers=2",)), (REGRESSION_TARGET,))[REGRESSION_TARGET]
    assert alone.gbm_fitted.sum() * 5 > 150, "too few fits for the pool to start"
    np.testing.assert_array_equal(alone.sides.local.score, together.sides.local.score)
    np.testing.assert_array_equal(alone.sides.cross_sectional.score, together.sides.cross_sectional.score)


def test_workers_that_are_killed_in_the_middle_of_their_fits_change_no_score(tmp_path: Path) -> None:
    panel = make_panel(n_symbols=32, n_bars=300, planted=Planted(1.0, 1.0, 1.0))
    panel.write(tmp_path)
    mapped, features = Panel.read(tmp_path), {REGRESSION_TARGET: panel.feature_names}
    killed: list[int] = []

    def kill_all(done: int, total: int, what: str) -> None:
        if done == 10:
            killed.extend(worker.pid for worker in active_children() if worker.pid is not None)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    disturbed = next(iter(score_targets(mapped, features, load_config(None, ("resources.workers=2",)), told=kill_all)))
    alone = scores_of(mapped, settings(), (REGRESSION_TARGET,))[REGRESSION_TARGET]
    assert len(killed) == 2
    np.testing.assert_array_equal(disturbed.gbm_fitted, alone.gbm_fitted)
    np.testing.assert_array_equal(disturbed.sides.local.score, alone.sides.local.score)
    np.testing.assert_array_equal(disturbed.sides.cross_sectional.score, alone.sides.cross_sectional.score)


def test_a_symbol_too_short_to_fit_has_no_local_score_and_no_number_in_its_place() -> None:
    panel = make_panel(n_symbols=4, n_bars=600, late_starts={2: 470}, planted=Planted(1.0, 0.0, 2.0))
    scores = scores_of(panel, settings(), (REGRESSION_TARGET,))[REGRESSION_TARGET]
    assert np.isnan(scores.sides.local.score[2])
    assert np.isfinite(scores.sides.pooled_on_symbol.score[2])
    assert np.isfinite(scores.sides.local.score[[0, 1, 3]]).all()


def test_a_share_of_what_the_screen_refuses_is_carried_through() -> None:
    everything = settings("scoring.screen_max_p=0.0", "scoring.audit_fraction=1.0")
    scores = scores_of(planted(0.0, 0.0), everything, (REGRESSION_TARGET,))[REGRESSION_TARGET]
    assert set(scores.screen_outcomes) == {ScreenOutcome.AUDITED}
    assert scores.gbm_fitted.all()
    nothing = settings("scoring.screen_max_p=0.0", "scoring.audit_fraction=0.0")
    scores = scores_of(planted(0.0, 0.0), nothing, (REGRESSION_TARGET,))[REGRESSION_TARGET]
    assert set(scores.screen_outcomes) == {ScreenOutcome.REFUSED}
    assert not scores.gbm_fitted.any()


def test_about_the_asked_share_of_what_is_refused_is_drawn_whatever_its_scores() -> None:
    panel = make_panel(n_symbols=60, n_bars=300, n_features=2, planted=Planted(0.0, 0.0))
    some, others = (
        scores_of(panel, settings("scoring.audit_fraction=0.3", f"scoring.screen_max_p={bound}"), (REGRESSION_TARGET,))[REGRESSION_TARGET].screen_outcomes
        for bound in (0.0, 0.3)
    )
    assert 8 <= (some == ScreenOutcome.AUDITED).sum() <= 28  # of 60, mean 18, three standard errors 10.6
    refused = others != ScreenOutcome.KEPT
    assert 30 <= refused.sum() < 60
    np.testing.assert_array_equal(others[refused], some[refused])


def test_where_no_trees_are_tried_nothing_is_screened() -> None:
    scores = scores_of(planted(0.0, 0.0), settings("scoring.families=[Ridge]", "scoring.screen_max_p=0.0"), (REGRESSION_TARGET,))[REGRESSION_TARGET]
    assert set(scores.screen_outcomes) == {None}


@pytest.mark.parametrize("scheme", ["walk_forward", "kfold"])
def test_both_schemes_score_every_symbol(scheme: str) -> None:
    for scores in scores_of(planted(1.0, 0.5), settings(f"splits.scheme={scheme}")).values():
        assert np.isfinite(scores.sides.local.score).all()
        assert np.isfinite(scores.sides.blended.score).all()


def test_the_same_panel_gives_the_same_scores_twice() -> None:
    first, second = (scores_of(planted(1.0, 0.5), settings()) for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name].sides.local.score, second[name].sides.local.score)
        np.testing.assert_array_equal(first[name].sides.blended.p_value, second[name].sides.blended.p_value)
