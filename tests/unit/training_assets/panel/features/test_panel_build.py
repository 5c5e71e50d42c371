"""The panel built from bars: which columns it has, what it says of the others, and what it costs."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_bars import only_symbol, ragged_bars

from config.schema import Config
from config.sections.features import FeatureConfig
from config.sections.targets import TargetConfig, TargetSpec
from training_assets.panel.build import PanelError, build_features, build_panel
from training_assets.panel.features.registry import FEATURES
from training_assets.panel.panel import Bars, Panel

BARS = ragged_bars(seed=21)
TARGETS = TargetConfig(builtin=(TargetSpec(builder="forward_return", horizon="5b"),))


def _config(**features: object) -> Config:
    return Config(features=FeatureConfig.model_validate(features), targets=TARGETS)


def _with_supplied(bars: Bars) -> Bars:
    rng = np.random.default_rng(0)
    supplied = rng.normal(size=(3, bars.n_rows))
    supplied[0, :2] = np.inf, 1e300
    return replace(bars, supplied_names=("alpha", "log_return_5", "y_next_5b"), supplied=supplied)


def test_daily_bars_get_every_feature_but_those_of_the_time_of_day() -> None:
    built = build_panel(BARS, _config(), "0" * 16)
    left_out = {item.name for item in built.notes.left_out}
    assert left_out == {feature.name for feature in FEATURES if feature.clock != "any"}
    assert built.panel.feature_names == tuple(feature.name for feature in FEATURES if feature.clock == "any")


def test_hourly_bars_get_every_feature() -> None:
    assert build_features(ragged_bars(seed=22, hourly=True), FeatureConfig(), TARGETS).left_out == ()


def test_hourly_bars_of_one_endless_session_get_the_time_of_day_but_no_session() -> None:
    hourly = ragged_bars(seed=22, hourly=True)
    block = build_features(replace(hourly, session_codes=np.zeros_like(hourly.session_codes)), FeatureConfig(), TARGETS)
    assert {item.name for item in block.left_out} == {feature.name for feature in FEATURES if feature.clock == "sessions"}
    assert "time_of_day_sin" in {info.name for info in block.infos}


def test_columns_are_the_features_in_single_precision_with_what_they_state() -> None:
    panel = build_panel(BARS, _config(), "0" * 16).panel
    by_name = {feature.name: feature for feature in FEATURES}
    for column, info in enumerate(panel.feature_infos):
        feature = by_name[info.name]
        assert (info.lookback_bars, info.lag_bars, info.cross_sectional, info.source) == (
            feature.lookback_bars,
            feature.lag_bars,
            feature.cross_sectional,
            "builtin",
        )
        np.testing.assert_array_equal(panel.features[column], feature.build(BARS).astype(np.float32))
    assert panel.features.dtype == np.float32
    assert panel.features[3].flags.c_contiguous


def test_without_volume_the_features_that_need_it_are_left_out_and_named_in_one_line() -> None:
    values = BARS.values.copy()
    values[4] = np.nan
    block = build_panel(replace(BARS, values=values), _config(), "0" * 16)
    need = {feature.name for feature in FEATURES if "volume" in feature.inputs}
    lines = [line for line in block.notes.lines() if "no volume" in line]
    assert need
    assert not need & set(block.panel.feature_names)
    assert len(lines) == 1
    assert all(name in lines[0] for name in need)


def test_supplied_columns_become_features_unless_they_are_targets_and_win_over_a_built_in_of_their_name() -> None:
    bars = _with_supplied(BARS)
    block = build_features(bars, FeatureConfig(supplied_lookback_bars=33), TARGETS)
    supplied = {info.name: info for info in block.infos if info.source == "supplied"}
    assert set(supplied) == {"alpha", "log_return_5"}
    assert supplied["alpha"].lookback_bars == 33
    assert [info.name for info in block.infos].count("log_return_5") == 1
    assert ("log_return_5", "the data supply a column of that name") in {(item.name, item.reason) for item in block.left_out}
    alpha = block.values[[info.name for info in block.infos].index("alpha")]
    assert np.isnan(alpha[:2]).all()
    np.testing.assert_array_equal(alpha[2:], bars.supplied[0, 2:].astype(np.float32))


def test_supplied_features_alone_make_a_panel() -> None:
    block = build_features(_with_supplied(BARS), FeatureConfig(builtin=False, exclude=("log_return_5",)), TARGETS)
    assert [info.name for info in block.infos] == ["alpha"]
    assert block.left_out == ()


def test_include_and_exclude_choose_by_name_and_what_is_not_asked_for_needs_no_note() -> None:
    block = build_features(BARS, FeatureConfig(include=("rsi_14", "log_return_5"), exclude=("rsi_14",)), TARGETS)
    assert [info.name for info in block.infos] == ["log_return_5"]
    assert block.left_out == ()


@pytest.mark.parametrize("key", ["include", "exclude"])
def test_unknown_name_is_refused_with_the_nearest_known_one(key: str) -> None:
    with pytest.raises(PanelError, match=rf"features\.{key}: there is no feature 'log_retrun_21'.*did you mean 'log_return_21'"):
        build_features(BARS, FeatureConfig.model_validate({key: ("log_retrun_21",)}), TARGETS)


def test_look_back_beyond_the_bound_or_the_longest_history_is_left_out() -> None:
    short = build_features(BARS, FeatureConfig(max_lookback_bars=21), TARGETS)
    assert max(info.lookback_bars + info.lag_bars for info in short.infos) == 21
    few = ragged_bars(n_times=60)
    block = build_features(few, FeatureConfig(), TARGETS)
    longest = int(np.diff(few.symbol_offsets).max())
    assert all(info.lookback_bars + info.lag_bars < longest for info in block.infos)
    assert any("more history than the longest symbol" in item.reason for item in block.left_out)


def test_one_symbol_has_no_cross_section() -> None:
    block = build_features(only_symbol(BARS, 0), FeatureConfig(), TARGETS)
    assert not any(info.cross_sectional for info in block.infos)
    assert any("compares symbols" in item.reason for item in block.left_out)


def test_feature_that_is_nowhere_known_is_left_out_not_kept_empty() -> None:
    values = BARS.values.copy()
    values[4] = 0.0
    block = build_features(replace(BARS, values=values), FeatureConfig(), TARGETS)
    assert "vwap_distance_21" in {item.name for item in block.left_out if item.reason == "nowhere known on these bars"}
    assert np.isfinite(block.values).any(axis=1).all()
    assert block.values.shape[0] == len(block.infos)


def test_supplied_column_without_a_value_is_left_out_and_alone_is_refused() -> None:
    bars = replace(BARS, supplied_names=("empty", "full"), supplied=np.stack([np.full(BARS.n_rows, np.nan), np.ones(BARS.n_rows)]))
    block = build_features(bars, FeatureConfig(builtin=False), TARGETS)
    assert [info.name for info in block.infos] == ["full"]
    assert [item.name for item in block.left_out] == ["empty"]
    with pytest.raises(PanelError, match="no feature is left"):
        build_features(bars, FeatureConfig(builtin=False, exclude=("full",)), TARGETS)


def test_no_feature_at_all_is_refused() -> None:
    with pytest.raises(PanelError, match="no feature is left"):
        build_features(BARS, FeatureConfig(builtin=False), TARGETS)


def test_panel_is_the_same_after_writing_and_reading_also_when_features_lie_in_a_scratch_file(tmp_path: Path) -> None:
    in_memory = build_panel(BARS, _config(), "0" * 16).panel
    on_disk = build_panel(BARS, _config(), "0" * 16, folder=tmp_path).panel
    on_disk.write(tmp_path)
    read = Panel.read(tmp_path)
    for panel in (on_disk, read):
        assert panel.feature_infos == in_memory.feature_infos
        assert panel.target_infos == in_memory.target_infos
        assert (panel.symbols, panel.holdout_start_code, panel.data_hash) == (in_memory.symbols, in_memory.holdout_start_code, in_memory.data_hash)
        for name in ("features", "labels", "label_end_codes", "time_codes", "symbol_offsets", "times_ns", "session_codes", "bar_values"):
            np.testing.assert_array_equal(getattr(panel, name), getattr(in_memory, name), err_msg=name)


def test_holdout_starts_at_the_configured_share_of_time() -> None:
    panel = build_panel(BARS, _config(), "0" * 16).panel
    assert panel.holdout_start_code == round(BARS.times_ns.size * 0.85)


def _peak_bytes(bars: Bars, folder: Path | None) -> tuple[int, int]:
    tracemalloc.start()
    try:
        panel = build_panel(bars, _config(), "0" * 16, folder=folder).panel
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    arrays = (panel.features, panel.labels, panel.label_end_codes, panel.bar_values)
    return peak, sum(array.nbytes for array in arrays)


def test_building_takes_at_most_one_and_a_half_times_the_panels_own_bytes() -> None:
    peak, own = _peak_bytes(ragged_bars(seed=23, n_times=4_000), None)
    assert peak <= 1.5 * own


def test_building_into_a_folder_takes_half_the_panels_own_bytes_in_memory(tmp_path: Path) -> None:
    peak, own = _peak_bytes(ragged_bars(seed=23, n_times=4_000), tmp_path)
    assert peak <= 0.5 * own


def test_a_feature_that_does_not_vary_is_left_out_of_planning_and_kept_for_models_of_other_rows() -> None:
    values = BARS.values.copy()
    values[0] = values[3]  # every bar opens where it closes
    bars = replace(BARS, values=values)
    planned = build_panel(bars, _config(), "0" * 16, leave_out_constant=True)
    reasons = {left.name: left.reason for left in planned.notes.left_out}
    assert reasons["intrabar_return"] == "has the one value 0 before the holdout"
    assert "intrabar_return" not in planned.panel.feature_names
    assert "log_return_5" in planned.panel.feature_names
    assert "intrabar_return" in build_panel(bars, _config(), "0" * 16).panel.feature_names
    assert "intrabar_return" in build_panel(BARS, _config(), "0" * 16, leave_out_constant=True).panel.feature_names


def test_a_feature_that_varies_in_the_holdout_alone_is_left_out_of_planning() -> None:
    holdout = build_panel(BARS, _config(), "0" * 16).panel.holdout_start_code
    later = np.where(BARS.time_codes >= holdout, np.arange(BARS.n_rows), np.nan)
    bars = replace(BARS, supplied_names=("later", "late_change"), supplied=np.stack([later, np.nan_to_num(later)]))
    planned = build_panel(bars, _config(), "0" * 16, leave_out_constant=True)
    assert not {"later", "late_change"} & set(planned.panel.feature_names)
    reasons = {left.name: left.reason for left in planned.notes.left_out}
    assert reasons["later"] == "nowhere known before the holdout"
    assert reasons["late_change"] == "has the one value 0 before the holdout"
