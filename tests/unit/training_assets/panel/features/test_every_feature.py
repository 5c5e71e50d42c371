"""What every entry of the registry promises, held for every one of them."""

from dataclasses import replace

import numpy as np
import pytest
from feature_bars import only_symbol, ragged_bars, with_values

from training_assets.leakage.truncation import choose_cuts, feature_builder, truncation_findings
from training_assets.panel.features.base import MAX_MAGNITUDE, Feature
from training_assets.panel.features.registry import FEATURES
from training_assets.panel.features.view import BarView
from training_assets.panel.panel import BAR_COLUMNS, Bars

DAILY, HOURLY = ragged_bars(seed=1), ragged_bars(seed=2, hourly=True)
# Smoothed without an end: their look-back is where a bar's weight is forgotten, not where it is zero.
RECURSIVE = ("rsi_", "adx_", "plus_di_", "minus_di_", "macd_", "trix_", "natr_")
# They compare money across symbols, so a symbol's unit of price matters to them, and has to.
COMPARE_MONEY = {"dollar_volume_rank_21", "illiquidity_rank_21"}

every_feature = pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)


def bars_for(feature: Feature) -> Bars:
    return DAILY if feature.clock == "any" else HOURLY


def test_registry_has_at_least_ninety_features_with_unique_names_and_known_inputs() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(names) >= 90
    assert len(set(names)) == len(names)
    for feature in FEATURES:
        assert set(feature.inputs) <= set(BAR_COLUMNS), feature.name
        assert feature.description
        assert feature.name == feature.name.lower()


@every_feature
@pytest.mark.parametrize("bars", [DAILY, HOURLY], ids=["daily", "hourly"])
def test_no_earlier_row_changes_when_the_future_is_removed_or_replaced(feature: Feature, bars: Bars) -> None:
    cuts = choose_cuts(bars, n_random=1, seed=3)
    assert truncation_findings(feature_builder([feature]), bars, cuts, seed=4) == ()


@every_feature
def test_first_rows_of_each_symbol_are_null_and_the_next_is_known(feature: Feature) -> None:
    bars = bars_for(feature)
    values, positions = feature.build(bars), BarView(bars).positions
    assert np.isnan(values[positions < feature.reach_bars]).all()
    known_at_once = np.isfinite(values[positions == feature.reach_bars]).any()
    known_soon = np.isfinite(values[(positions >= feature.reach_bars) & (positions < feature.reach_bars + 40)]).any()
    # Cross-sections fill later, as the symbols start one after the other; the first session has no session before it.
    assert known_soon if feature.cross_sectional or feature.clock != "any" else known_at_once


@every_feature
@pytest.mark.parametrize("time_code", [299, 340, 394])
def test_value_does_not_depend_on_bars_older_than_its_look_back(feature: Feature, time_code: int) -> None:
    bars = bars_for(feature)
    rows = np.flatnonzero(bars.time_codes == time_code)
    old = _older_than_look_back(bars, feature, rows)
    assert old.size
    recursive = feature.name.startswith(RECURSIVE)
    noise = np.exp(np.random.default_rng(5).normal(0.0, 0.02 if recursive else 1.0, old.size))
    before, after = feature.build(bars), feature.build(with_values(bars, old, noise))
    known = rows[np.isfinite(before[rows])]
    assert known.size or feature.cross_sectional
    tolerance = (1e-4 if recursive else 1e-9) * np.nanstd(before)
    np.testing.assert_allclose(after[known], before[known], rtol=0.0, atol=tolerance)


def _older_than_look_back(bars: Bars, feature: Feature, rows: np.ndarray) -> np.ndarray:
    """Rows that a value at `rows`, all of one time, may not depend on."""
    positions = BarView(bars).positions
    reached = rows - np.minimum(feature.reach_bars, positions[rows])
    oldest_code = bars.time_codes[reached].min()
    now = bars.time_codes[rows[0]]
    old = []
    for start, stop in zip(bars.symbol_offsets[:-1], bars.symbol_offsets[1:], strict=True):
        latest = start + np.searchsorted(bars.time_codes[start:stop], now, side="right") - 1
        candidates = np.arange(start, max(latest - feature.reach_bars, start))
        if feature.cross_sectional:
            # The bar just before is read too: the first return of the window is counted from it.
            candidates = candidates[bars.time_codes[candidates] < oldest_code][:-1]
        old.append(candidates)
    return np.concatenate(old)


@every_feature
def test_value_of_a_symbol_does_not_depend_on_other_symbols_unless_it_says_so(feature: Feature) -> None:
    bars = bars_for(feature)
    rows = slice(int(bars.symbol_offsets[2]), int(bars.symbol_offsets[3]))
    together, alone = feature.build(bars)[rows], feature.build(only_symbol(bars, 2))
    if feature.cross_sectional:
        assert np.isfinite(together).any()
        assert np.isnan(alone).all()
    else:
        np.testing.assert_array_equal(together, alone)


@every_feature
def test_value_does_not_depend_on_the_units_of_price_and_volume(feature: Feature) -> None:
    bars = bars_for(feature)
    scales = np.array([1.0, 1000.0, 0.01, 30.0, 7.0, 2.0])
    factors = np.stack([*[scales[bars.symbol_codes]] * 4, 1.0 / scales[::-1][bars.symbol_codes]])
    before, after = feature.build(bars), feature.build(replace(bars, values=bars.values * factors))
    if feature.name in COMPARE_MONEY:
        assert not np.allclose(after, before, equal_nan=True)
    else:
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-7)


def _hostile_bars() -> dict[str, Bars]:
    bars = ragged_bars(seed=6)
    flat, dead, dry, huge, tiny, jumpy, unknown = (bars.values.copy() for _ in range(7))
    flat[:4] = 10.1
    dead[:, 800:1200] = dead[:, 800:801]
    dry[4] = 0.0
    huge[:4] *= 1e12
    huge[4] *= 1e12
    tiny[:4] *= 1e-12
    tiny[4] *= 1e-12
    jumpy[:4, ::2] *= 1e6
    unknown[4, ::3] = np.nan
    unknown[4, 500:] = np.nan
    cases = {"flat": flat, "dead": dead, "dry": dry, "huge": huge, "tiny": tiny, "jumpy": jumpy, "unknown_volume": unknown}
    return {name: replace(bars, values=values) for name, values in cases.items()} | {"one_bar": only_symbol(bars, 5)}


@pytest.mark.parametrize(("case", "bars"), _hostile_bars().items(), ids=lambda part: part if isinstance(part, str) else "")
def test_no_value_is_ever_infinite_or_absurd(case: str, bars: Bars) -> None:
    view = BarView(bars)
    for feature in FEATURES:
        values = feature.build(view)
        assert values.shape == (bars.n_rows,)
        assert not np.isinf(values.astype(np.float32)).any(), (case, feature.name)
        assert np.nanmax(np.abs(values), initial=0.0) <= MAX_MAGNITUDE, (case, feature.name)


def test_building_twice_and_from_a_shared_view_gives_the_same_bits() -> None:
    view = BarView(DAILY)
    for feature in FEATURES:
        np.testing.assert_array_equal(feature.build(DAILY), feature.build(view), err_msg=feature.name)


def test_oscillators_are_null_not_extreme_on_a_price_that_does_not_move() -> None:
    bars = replace(DAILY, values=np.where(np.arange(5)[:, None] < 4, 10.0, DAILY.values))
    for feature in FEATURES:
        if feature.name.startswith(("rsi_", "williams_", "stochastic_k", "cci_", "ultimate_")):
            assert np.isnan(feature.build(bars)).all(), feature.name
