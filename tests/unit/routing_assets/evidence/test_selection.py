"""Feature selection held against pure noise, planted features and everything it must not look at."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from config.load import load_config
from config.schema import Config
from routing_assets.evidence.selection import BEATS, BEYOND, LOSES, SELECTION_COLUMNS, TOPPED_UP, canary_bound, given_features, select_features
from routing_assets.evidence.selection_sample import selection_sample, unit_midranks
from tests.panels import BINARY_TARGET, CLASS_TARGET, REGRESSION_TARGET, make_panel
from training_assets.panel.panel import Panel

Floats = NDArray[np.float64]


def config(**values: object) -> Config:
    return load_config(None, [], {key.replace("__", "."): value for key, value in values.items()})


def with_labels(panel: Panel, values: Floats) -> Panel:
    """The panel with other values of its regression target, and the two class targets made from them."""
    known = np.isfinite(panel.labels[0])
    thirds = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3])).astype(float)
    labels = np.stack([values, (values > 0).astype(float), thirds])
    return replace(panel, labels=np.where(known, labels, np.nan).astype(np.float32))


def persistent_panel(seed: int, n_symbols: int = 6, n_bars: int = 900, n_features: int = 40, decay: float = 0.95) -> Panel:
    """Features that are autoregressions, a part of each shared by all symbols, and labels that overlap and share a part as well: all of it noise."""
    panel = make_panel(n_symbols=n_symbols, n_bars=n_bars, n_features=n_features, seed=seed)
    rng = np.random.default_rng([seed, 2])
    shocks = rng.normal(size=(n_features + 1, n_symbols, n_bars)) + rng.normal(size=(n_features + 1, 1, n_bars))
    features = shocks[1:].copy()
    for bar in range(1, n_bars):
        features[..., bar] = decay * features[..., bar - 1] + shocks[1:, :, bar]
    values = np.apply_along_axis(lambda row: np.convolve(row, np.ones(3), "same"), 1, shocks[0])
    return with_labels(replace(panel, features=features.reshape(n_features, -1).astype(np.float32)), values.ravel())


def planted_panel(seed: int, effect: str, n_symbols: int = 20, n_bars: int = 1_180, n_features: int = 40) -> Panel:
    """About 20,000 rows before the holdout; feature f0 carries the label with a rank correlation of 0.05, or through its square alone."""
    panel = make_panel(n_symbols=n_symbols, n_bars=n_bars, n_features=n_features, seed=seed)
    x = np.asarray(panel.features[0], float)
    signal = 0.05 * x if effect == "linear" else 0.25 * (x**2 - 1)
    return with_labels(panel, signal + np.random.default_rng([seed, 3]).normal(size=panel.n_rows))


def one_target(panel: Panel, settings: Config | None = None, target: str = REGRESSION_TARGET) -> pd.DataFrame:
    return select_features(panel, [target], settings or config())


def chosen(frame: pd.DataFrame) -> set[str]:
    return set(frame.loc[frame["selected"], "feature"])


def test_of_forty_persistent_noise_features_fewer_than_one_is_selected_on_average() -> None:
    counts = [len(chosen(one_target(persistent_panel(seed)))) for seed in range(10)]
    print(f"\nselected of 40 noise features: mean {np.mean(counts):.2f}, {counts}")
    assert np.mean(counts) < 1.0
    assert np.median(counts) == 0


def test_white_noise_selects_nothing_to_speak_of_for_every_task() -> None:
    panel = planted_panel(0, "linear", n_symbols=5)
    panel = with_labels(panel, np.random.default_rng(4).normal(size=panel.n_rows))
    frame = select_features(panel, panel.target_names, config())
    assert set(frame["target"]) == set(panel.target_names)
    assert frame["selected"].sum() <= 3


@pytest.mark.parametrize("seed", range(3))
def test_a_feature_with_a_rank_correlation_of_five_hundredths_on_twenty_thousand_rows_is_selected(seed: int) -> None:
    frame = one_target(planted_panel(seed, "linear"))
    assert frame["feature"].iloc[0] == "f0"
    assert "f0" in chosen(frame)
    assert len(chosen(frame)) <= 3


def test_a_feature_that_only_trees_can_use_is_selected_though_its_rank_correlation_is_nothing() -> None:
    frame = one_target(planted_panel(5, "square")).set_index("feature")
    assert frame.loc["f0", "selected"]
    assert frame.loc["f0", "rank_ic"] < 3.0
    assert frame.loc["f0", ["gain", "permutation"]].min() > 4.0


@pytest.mark.parametrize("target", [BINARY_TARGET, CLASS_TARGET])
def test_a_planted_feature_is_selected_for_class_targets(target: str) -> None:
    panel = planted_panel(6, "linear", n_symbols=6)
    values = 0.3 * np.asarray(panel.features[0], float) + np.random.default_rng(7).normal(size=panel.n_rows)
    assert "f0" in chosen(one_target(with_labels(panel, values), target=target))


def test_the_table_is_ordered_bounded_and_the_same_every_time() -> None:
    panel = planted_panel(8, "linear", n_symbols=4)
    frame = select_features(panel, panel.target_names, config())
    pd.testing.assert_frame_equal(frame, select_features(panel, panel.target_names, config()))
    assert tuple(frame.columns) == SELECTION_COLUMNS
    for _, rows in frame.groupby("target"):
        assert rows["consensus"].is_monotonic_decreasing
        assert rows["rank"].tolist() == list(range(1, 41))
        assert (rows.loc[rows["selected"], "consensus"] > rows["canary_bound"].iloc[0]).all()


def test_a_target_is_judged_alike_alone_and_beside_others() -> None:
    panel = planted_panel(9, "linear", n_symbols=4)
    together = select_features(panel, panel.target_names, config())
    alone = one_target(panel, target=CLASS_TARGET)
    pd.testing.assert_frame_equal(together[together["target"] == CLASS_TARGET].reset_index(drop=True), alone)


def test_nothing_of_the_holdout_is_read() -> None:
    panel = planted_panel(10, "linear", n_symbols=4)
    inside = panel.time_codes >= panel.holdout_start_code
    reaching = panel.label_end_codes[0] >= panel.holdout_start_code
    features, labels = np.array(panel.features), np.array(panel.labels)
    features[:, inside], labels[:, inside | reaching] = 1e5, 1e5
    pd.testing.assert_frame_equal(one_target(panel), one_target(replace(panel, features=features, labels=labels)))


def test_constant_missing_and_sparse_features_are_ranked_and_not_selected() -> None:
    panel = planted_panel(11, "linear", n_symbols=4)
    features = np.array(panel.features)
    features[1], features[2], features[3, 1:] = 7.0, np.nan, np.nan
    frame = one_target(replace(panel, features=features)).set_index("feature")
    assert np.isfinite(frame["consensus"]).all()
    assert not frame.loc[["f1", "f2", "f3"], "selected"].any()
    assert (frame.loc[["f1", "f2"], ["rank_ic", "linear", "permutation"]] == 0.0).all(axis=None)


def test_without_automatic_selection_every_feature_is_selected_and_nothing_is_measured() -> None:
    frame = one_target(planted_panel(12, "linear", n_symbols=2), config(features__auto_select=False))
    assert frame[["selected", "given"]].all(axis=None)
    assert frame[["rank_ic", "linear", "gain", "permutation", "consensus", "canary_bound"]].isna().all(axis=None)


def test_a_target_with_too_few_rows_keeps_every_feature() -> None:
    frame = one_target(make_panel(n_symbols=1, n_bars=55), config(splits__min_train_rows=50))
    assert frame["selected"].all()
    assert frame["consensus"].isna().all()


def test_no_target_makes_an_empty_table_with_its_columns() -> None:
    assert tuple(select_features(make_panel(), [], config()).columns) == SELECTION_COLUMNS


def test_the_number_selected_is_capped_at_the_best() -> None:
    panel = planted_panel(13, "linear", n_symbols=6)
    values = np.asarray(panel.features[:10], float).sum(axis=0) + np.random.default_rng(14).normal(size=panel.n_rows)
    frame = one_target(with_labels(panel, values), config(features__top_m=4))
    assert len(chosen(frame)) == 4
    assert chosen(frame) <= {f"f{number}" for number in range(10)}
    assert frame["rank"][frame["selected"]].max() == 4


@pytest.mark.parametrize(("top_m", "n_given"), [(100, 20), (5, 5), (1, 1)])
def test_models_are_given_what_the_table_says_topped_up_where_few_win_and_never_more_than_asked_for(top_m: int, n_given: int) -> None:
    frame = one_target(planted_panel(0, "linear"), config(features__top_m=top_m))
    given = given_features(frame, REGRESSION_TARGET)
    assert given == tuple(frame.loc[frame["given"], "feature"]) == tuple(frame["feature"].head(n_given))
    assert chosen(frame) <= set(given)
    reasons = frame.set_index("feature")["reason"]
    assert (reasons[list(chosen(frame))] == BEATS).all()
    assert (reasons[[name for name in given if name not in chosen(frame)]] == TOPPED_UP).all()
    assert set(reasons[~frame.set_index("feature")["given"]]) <= {LOSES, BEYOND}


def test_where_many_win_nothing_is_added_to_them() -> None:
    panel = planted_panel(13, "linear", n_symbols=6)
    values = np.asarray(panel.features[:25], float).sum(axis=0) + np.random.default_rng(14).normal(size=panel.n_rows)
    frame = one_target(with_labels(panel, values))
    assert len(chosen(frame)) > 20
    assert set(given_features(frame, REGRESSION_TARGET)) == chosen(frame)


def test_the_bound_is_never_below_the_best_canary_and_rises_with_the_number_of_features() -> None:
    canaries = np.random.default_rng(15).exponential(size=60)
    bounds = [canary_bound(canaries, n_features) for n_features in (1, 10, 100, 1_000)]
    assert min(bounds) >= canaries.max()
    assert bounds == sorted(bounds)
    assert bounds[-1] > canaries.max()


def test_canaries_share_the_values_and_the_cross_section_of_features_and_not_their_place() -> None:
    panel = make_panel(n_symbols=4, n_bars=600, n_features=1, seed=16)
    market = np.cumsum(np.random.default_rng(17).normal(size=600))
    panel = replace(panel, features=np.tile(market, 4)[None].astype(np.float32))
    sample = selection_sample(panel, [REGRESSION_TARGET], 5, 10, 20_000, 0)
    times = panel.time_codes[sample.rows]
    for canary in range(1, 6):
        values = pd.Series(sample.z[:, canary])
        assert values.groupby(times).nunique().max() == 1
        assert abs(values.corr(pd.Series(sample.z[:, 0]))) < 0.999
        np.testing.assert_allclose(np.sort(values), np.sort(sample.z[:, 0]), atol=1e-4)


def test_moves_turn_the_calendar_for_all_symbols_alike_and_mark_what_is_not_there() -> None:
    panel = make_panel(n_symbols=3, n_bars=500, n_features=2, late_starts={2: 250}, seed=18)
    sample = selection_sample(panel, [REGRESSION_TARGET], 2, 20, 20_000, 0)
    times, symbols = panel.time_codes[sample.rows].astype(int), panel.symbol_codes[sample.rows]
    n_times = np.unique(times).size
    for move in sample.moves:
        there = move >= 0
        turns = (times[move[there]] - times[there]) % n_times
        assert np.unique(turns).size == 1
        assert 0.19 * n_times <= turns[0] <= 0.81 * n_times
        assert pd.Series(symbols[move[there]]).groupby(symbols[there]).nunique().max() == 1
    assert (sample.moves < 0).any()


def test_a_thinned_sample_keeps_whole_timestamps_and_every_day_of_the_week() -> None:
    panel = make_panel(n_symbols=5, n_bars=1_000, n_features=1, seed=19)
    panel = replace(panel, features=(panel.time_codes % 5)[None].astype(np.float32))
    sample = selection_sample(panel, [REGRESSION_TARGET], 1, 2, 850, 0)
    times = panel.time_codes[sample.rows]
    assert 700 <= sample.rows.size <= 850
    assert set(np.unique(times, return_counts=True)[1]) == {5}
    assert np.unique(sample.z[:, 0]).size == 5


def test_a_target_with_few_labels_is_measured_on_rows_of_its_own() -> None:
    panel = planted_panel(20, "linear", n_symbols=30)
    values = 1.0 * np.asarray(panel.features[0], float) + np.random.default_rng(21).normal(size=panel.n_rows)
    panel = with_labels(panel, values)
    sparse = panel.time_codes % 40 != 0
    labels, ends = np.array(panel.labels), np.array(panel.label_end_codes)
    labels[0, sparse], ends[0, sparse] = np.nan, -1
    frame = select_features(replace(panel, labels=labels, label_end_codes=ends), [REGRESSION_TARGET, BINARY_TARGET], config())
    assert "f0" in chosen(frame[frame["target"] == REGRESSION_TARGET])
    assert "f0" in chosen(frame[frame["target"] == BINARY_TARGET])


def test_unit_midranks_have_unit_variance_and_are_zero_for_a_constant() -> None:
    ranks = unit_midranks(np.array([3.0, 1.0, 1.0, 9.0]))
    assert ranks.mean() == pytest.approx(0.0, abs=1e-6)
    assert ranks.var() == pytest.approx(1.0, abs=1e-6)
    assert ranks[1] == ranks[2] < ranks[0] < ranks[3]
    assert unit_midranks(np.full(5, 2.0)).tolist() == [0.0] * 5
