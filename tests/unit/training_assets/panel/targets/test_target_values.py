"""Known values of each target, worked out by hand or by a plain loop."""

import numpy as np
import pytest
from target_bars import bars_from, flat_candles, one_symbol, random_bars, with_prices

from training_assets.panel.panel import Bars
from training_assets.panel.targets.base import Labels, TargetError
from training_assets.panel.targets.excursions import max_drawdown_ahead
from training_assets.panel.targets.registry import TARGETS, merge_params
from training_assets.panel.targets.windows import bars_to_touch, fold_from, max_ahead, min_ahead, sum_ahead, sum_behind, trailing_volatility

NAN = float("nan")


def build(name: str, bars: Bars, horizon: int, cross_sessions: bool = False, stretch: float = 3.0, **params: float | str) -> Labels:
    target = TARGETS[name]
    return target.build(bars, horizon, merge_params(target, params), cross_sessions, stretch)


def test_forward_return_runs_from_the_rows_own_close() -> None:
    labels = build("forward_return", one_symbol([100.0, 110.0, 99.0, 198.0]), 2)
    np.testing.assert_allclose(labels.values, [-0.01, 0.8, NAN, NAN])
    assert labels.end_codes.tolist() == [2, 3, -1, -1]


def test_forward_return_in_logs_is_the_log_of_the_price_ratio() -> None:
    labels = build("forward_return", one_symbol([100.0, 110.0, 99.0]), 1, log=True)
    np.testing.assert_allclose(labels.values, [np.log(1.1), np.log(0.9), NAN])


def test_forward_direction_of_an_unchanged_price_is_not_up() -> None:
    labels = build("forward_direction", one_symbol([100.0, 101.0, 101.0, 100.0]), 1)
    np.testing.assert_array_equal(labels.values, [1.0, 0.0, 0.0, NAN])


def test_label_is_null_where_its_window_is_incomplete() -> None:
    bars = bars_from({"A": ([0, 1, 2], flat_candles([1.0, 2.0, 3.0])), "B": ([2, 3, 4], flat_candles([5.0, 6.0, 7.0]))}, 5)
    labels = build("forward_return", bars, 2)
    np.testing.assert_allclose(labels.values, [2.0, NAN, NAN, 0.4, NAN, NAN])
    assert labels.end_codes.tolist() == [2, -1, -1, 4, -1, -1]


def test_a_horizon_counts_the_symbols_own_bars_and_a_window_stretched_too_far_is_null() -> None:
    bars = bars_from({"A": ([0, 1, 4, 12], flat_candles([1.0, 2.0, 4.0, 8.0]))}, 13)
    labels = build("forward_return", bars, 1, stretch=3.0)
    np.testing.assert_allclose(labels.values, [1.0, 1.0, NAN, NAN])
    assert labels.end_codes.tolist() == [1, 4, -1, -1]


def test_sessions_cut_labels_off_and_crossing_restores_them() -> None:
    bars = one_symbol([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], interval_minutes=60, session_length=3)
    np.testing.assert_allclose(build("forward_return", bars, 1).values, [1.0, 1.0, NAN, 1.0, 1.0, NAN])
    np.testing.assert_allclose(build("forward_return", bars, 1, cross_sessions=True).values, [1.0, 1.0, 1.0, 1.0, 1.0, NAN])


def test_trailing_volatility_is_the_root_mean_square_of_returns_up_to_the_row() -> None:
    steps = np.array([0.0, 0.1, -0.1, 0.2, 0.0])
    bars = one_symbol(np.exp(np.cumsum(steps)).tolist())
    np.testing.assert_allclose(trailing_volatility(bars, 2, False), [NAN, NAN, 0.1, np.sqrt(0.025), np.sqrt(0.02)])


def test_the_night_is_no_part_of_the_volatility_of_a_label_that_stays_in_its_session() -> None:
    closes = [1.0, 1.1, 1.0, 3.0, 3.3, 3.0]
    bars = one_symbol(closes, interval_minutes=60, session_length=3)
    step = np.log(1.1)
    np.testing.assert_allclose(trailing_volatility(bars, 2, False)[3:], [np.sqrt(step**2 / 2), np.sqrt(step**2 / 2), step])
    assert trailing_volatility(bars, 2, True)[3] > 0.7


def test_volatility_scaled_return_is_in_sigmas_of_the_horizon() -> None:
    closes = np.exp(np.cumsum([0.0, 0.1, -0.1, 0.1, 0.3])).tolist()
    labels = build("volatility_scaled_return", one_symbol(closes), 2, volatility_bars=2)
    np.testing.assert_allclose(labels.values, [NAN, NAN, 0.4 / (0.1 * np.sqrt(2)), NAN, NAN])


def test_ordinal_return_is_the_fifth_of_the_past_returns_known_at_the_row() -> None:
    steps = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.10, 0.055, 0.2, -0.5]
    bars = one_symbol(np.exp(np.cumsum([0.0, *steps])).tolist())
    labels = build("ordinal_return", bars, 1, history_bars=10)
    assert np.isnan(labels.values[:5]).all()
    assert labels.values[10] == 2.0, "0.055 stands above 5 of the 10 past returns: share 0.5"
    assert labels.values[11] == 4.0
    assert labels.values[12] == 0.0


def test_ordinal_return_agrees_with_a_plain_loop() -> None:
    bars = random_bars(seed=8, n_symbols=2, n_times=90)
    labels = build("ordinal_return", bars, 3, history_bars=20)
    codes, close = bars.time_codes, np.log(bars.values[3])
    for start, stop in zip(bars.symbol_offsets[:-1], bars.symbol_offsets[1:], strict=True):
        spans = {row: close[row + 3] - close[row] for row in range(start, stop - 3) if codes[row + 3] - codes[row] <= 9}
        for row in range(start, stop):
            past = [spans[old - 3] for old in range(max(start + 3, row - 19), row + 1) if old - 3 in spans]
            if row in spans and len(past) >= 10:
                assert labels.values[row] == min(4, int(5 * np.mean(np.array(past) < spans[row])))
            else:
                assert np.isnan(labels.values[row])


def four_symbols() -> Bars:
    ends = {"A": 101.0, "B": 102.0, "C": 102.0, "D": 110.0}
    return bars_from({name: ([0, 1], flat_candles([100.0, end])) for name, end in ends.items()}, 2)


def test_cross_sectional_percentile_shares_ties_and_lies_inside_zero_and_one() -> None:
    labels = build("cross_sectional_percentile", four_symbols(), 1)
    np.testing.assert_allclose(labels.values[::2], [0.125, 0.5, 0.5, 0.875])


def test_cross_sectional_z_score_is_the_distance_from_the_median_in_scaled_deviations() -> None:
    labels = build("cross_sectional_z_score", four_symbols(), 1, clip=8.0)
    np.testing.assert_allclose(labels.values[::2], [-0.01 / (1.4826 * 0.005), 0.0, 0.0, 8.0], atol=1e-9)


def test_cross_sectional_z_score_is_null_where_symbols_moved_alike() -> None:
    bars = bars_from({name: ([0, 1], flat_candles([100.0, end])) for name, end in {"A": 101.0, "B": 101.0, "C": 101.0, "D": 110.0}.items()}, 2)
    assert np.isnan(build("cross_sectional_z_score", bars, 1).values).all()


def test_market_excess_return_is_over_the_mean_of_the_timestamp() -> None:
    labels = build("market_excess_return", four_symbols(), 1)
    np.testing.assert_allclose(labels.values[::2], [-0.0275, -0.0175, -0.0175, 0.0625])


def test_a_cross_section_of_too_few_symbols_has_no_label() -> None:
    labels = build("market_excess_return", four_symbols(), 1, min_symbols=5)
    assert np.isnan(labels.values).all()
    assert (labels.end_codes == -1).all()


def test_a_cross_section_holds_complete_labels_only_and_is_known_when_the_last_of_them_is() -> None:
    series = {
        "A": ([0, 1, 3], flat_candles([100.0, 110.0, 1.0])),
        "B": ([0, 1, 3], flat_candles([100.0, 120.0, 1.0])),
        "late": ([0, 3], flat_candles([100.0, 130.0])),
        "gone": ([0], flat_candles([100.0])),
    }
    labels = build("market_excess_return", bars_from(series, 4), 1)
    np.testing.assert_allclose(labels.values[[0, 3, 6]], [-0.1, 0.0, 0.1], atol=1e-12)
    assert labels.end_codes[[0, 3, 6]].tolist() == [3, 3, 3], "A and B are known at 1 by themselves, but the mean holds `late`"
    assert np.isnan(labels.values[8])
    assert np.isnan(labels.values[1]), "two symbols at time 1 are fewer than three"


def test_market_excess_direction_keeps_the_neutral_band_as_a_class() -> None:
    rng = np.random.default_rng(1)
    steps = {name: np.r_[0.0, rng.choice([-0.01, 0.01], 20)] for name in "ABC"}
    last = {"A": 0.2, "B": 0.001, "C": -0.2}
    bars = bars_from({name: (list(range(22)), flat_candles(np.exp(np.cumsum(np.r_[steps[name], last[name]])).tolist())) for name in "ABC"}, 22)
    # The mean return is 0.0138, so B stands 0.0128 below it; one sigma of one bar is 0.01.
    assert build("market_excess_direction", bars, 1, k=2.0).values.reshape(3, 22)[:, 20].tolist() == [2.0, 1.0, 0.0]
    assert build("market_excess_direction", bars, 1, k=1.0).values.reshape(3, 22)[:, 20].tolist() == [2.0, 0.0, 0.0]


def barrier_bars(after: list[float]) -> Bars:
    """Twenty moves of one per cent either way, then the given log prices over the entry at row 20."""
    steps = np.tile([0.01, -0.01], 10)
    before = np.r_[0.0, np.cumsum(steps)]
    return one_symbol(np.exp(np.r_[before, np.array(after)]).tolist())


@pytest.mark.parametrize(
    ("after", "first", "peak", "valley", "bars_until"),
    [
        ([0.0, 0.03, -0.03], 2.0, 1.0, 0.0, 2.0),
        ([-0.03, 0.03, 0.03], 0.0, 0.0, 1.0, 1.0),
        ([0.005, -0.005, 0.01], 1.0, 0.0, 0.0, 4.0),
        ([0.0, 0.0, -0.02], 0.0, 0.0, 1.0, 3.0),
    ],
)
def test_barriers_tell_which_side_is_touched_first_and_when(after: list[float], first: float, peak: float, valley: float, bars_until: float) -> None:
    bars = barrier_bars(after)
    # One sigma of three bars is 0.01 x sqrt(3) = 0.0173.
    assert build("triple_barrier", bars, 3).values[20] == first
    assert build("will_peak", bars, 3).values[20] == peak
    assert build("will_valley", bars, 3).values[20] == valley
    assert build("time_to_hit", bars, 3).values[20] == bars_until
    assert build("triple_barrier", bars, 3).end_codes[20] == 23, "known at the full window's end, however early the touch"


def test_time_to_hit_takes_one_side_and_refuses_another_word() -> None:
    bars = barrier_bars([0.0, 0.03, -0.03])
    assert build("time_to_hit", bars, 3, side="down").values[20] == 3.0
    assert build("time_to_hit", bars, 3, side="up").values[20] == 2.0
    with pytest.raises(TargetError, match=r"params\.side 'left' is none of up, down, either"):
        build("time_to_hit", bars, 3, side="left")


def test_wider_barriers_are_touched_less_often() -> None:
    bars = random_bars(seed=2, n_times=300)
    touched = [np.nanmean(build("triple_barrier", bars, 10, k=k).values != 1.0) for k in (0.5, 1.0, 2.0)]
    assert touched[0] > touched[1] > touched[2] > 0.0


def test_excursions_read_highs_and_lows_and_drawdowns_read_closes() -> None:
    flat = barrier_bars([0.0, 0.0, 0.0])
    spiked = with_prices(flat, highs=[*flat.values[1][:22], np.exp(0.02), 1.0], lows=flat.values[2].tolist())
    dipped = with_prices(flat, lows=[*flat.values[2][:22], np.exp(-0.02), 1.0])
    assert build("mfe_beyond", spiked, 3).values[20] == 1.0
    assert build("mae_beyond", spiked, 3).values[20] == 0.0
    assert build("mae_beyond", dipped, 3).values[20] == 1.0
    assert build("mfe_beyond", dipped, 3).values[20] == 0.0
    assert build("mdd_beyond", dipped, 3).values[20] == 0.0
    assert build("mdd_beyond", barrier_bars([0.01, -0.01, 0.0]), 3).values[20] == 1.0, "0.02 below the running high, though 0.01 below the entry"
    assert build("mae_beyond", barrier_bars([0.01, -0.01, 0.0]), 3).values[20] == 0.0


@pytest.mark.parametrize("horizon", [1, 2, 5, 12])
def test_the_largest_drawdown_agrees_with_a_plain_loop_up_to_the_windows_last_bar(horizon: int) -> None:
    path = np.random.default_rng(horizon).normal(size=60).cumsum()
    found = max_drawdown_ahead(path, horizon)
    for row in range(60 - horizon):
        window = path[row : row + horizon + 1]
        assert found[row] == np.max(np.maximum.accumulate(window) - window)
    assert np.isnan(found[60 - horizon :]).all()


def test_an_excursion_does_not_count_the_rows_own_bar() -> None:
    flat = barrier_bars([0.0, 0.0, 0.0])
    spiked = with_prices(flat, highs=[*flat.values[1][:20], 2.0, 1.0, 1.0, 1.0])
    assert build("mfe_beyond", spiked, 3).values[20] == 0.0


def test_swings_hold_where_no_later_close_reaches_the_rows() -> None:
    bars = one_symbol([3.0, 2.0, 1.0, 2.0, 2.0, 3.0])
    np.testing.assert_array_equal(build("swing_high", bars, 2).values, [1.0, 0.0, 0.0, 0.0, NAN, NAN])
    np.testing.assert_array_equal(build("swing_low", bars, 2).values, [0.0, 0.0, 1.0, 0.0, NAN, NAN])


def test_time_in_profit_is_the_share_of_closes_above_the_entry() -> None:
    np.testing.assert_allclose(build("time_in_profit", one_symbol([2.0, 3.0, 1.0, 2.0, 4.0]), 4).values, [0.5, NAN, NAN, NAN, NAN])


def test_forward_realized_volatility_is_the_root_mean_square_of_the_horizons_returns() -> None:
    bars = one_symbol(np.exp(np.cumsum([0.0, 0.1, -0.3, 0.4])).tolist())
    np.testing.assert_allclose(build("forward_realized_volatility", bars, 2).values, [np.sqrt(0.05), np.sqrt(0.125), NAN, NAN])


def test_forward_range_is_the_log_of_highest_over_lowest_after_the_row() -> None:
    bars = with_prices(one_symbol([10.0, 10.0, 10.0, 10.0]), highs=[90.0, 20.0, 10.0, 10.0], lows=[1.0, 10.0, 5.0, 10.0])
    np.testing.assert_allclose(build("forward_range", bars, 2).values, [np.log(4.0), np.log(2.0), NAN, NAN])


def test_rises_hold_the_horizon_against_as_many_bars_up_to_the_row() -> None:
    steps = [0.0, 0.1, -0.1, 0.2, -0.2, 0.05, 0.05]
    bars = one_symbol(np.exp(np.cumsum(steps)).tolist())
    np.testing.assert_array_equal(build("volatility_rise", bars, 2).values, [NAN, NAN, 1.0, 0.0, 0.0, NAN, NAN])
    np.testing.assert_array_equal(build("range_rise", bars, 2).values, [NAN, NAN, 1.0, 0.0, 0.0, NAN, NAN])


def test_a_range_within_a_session_is_never_held_against_one_over_the_night() -> None:
    bars = one_symbol([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], interval_minutes=60, session_length=4)
    assert np.isfinite(build("range_rise", bars, 1).values).tolist() == [False, True, True, False] * 2
    assert np.isfinite(build("range_rise", bars, 1, cross_sessions=True).values).tolist() == [False, *[True] * 6, False]


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 13, 64])
def test_folded_windows_agree_with_plain_loops(length: int) -> None:
    values = np.random.default_rng(length).normal(size=100)
    for row in range(100):
        after, upto = values[row + 1 : row + 1 + length], values[max(0, row - length + 1) : row + 1]
        complete = row + length < 100
        assert max_ahead(values, length)[row] == after.max() if complete else np.isnan(max_ahead(values, length)[row])
        assert min_ahead(values, length)[row] == after.min() if complete else np.isnan(min_ahead(values, length)[row])
        if complete:
            np.testing.assert_allclose(sum_ahead(values, length)[row], after.sum(), atol=1e-12)
        if row >= length - 1:
            np.testing.assert_allclose(sum_behind(values, length)[row], upto.sum(), atol=1e-12)


def test_folding_keeps_the_order_of_windows_that_do_not_commute() -> None:
    values = np.arange(10.0)
    first, last = fold_from((values, values), 7, lambda early, late: (early[0], late[1]))
    np.testing.assert_array_equal(first[:4], values[:4])
    np.testing.assert_array_equal(last[:4], values[6:])


@pytest.mark.parametrize("horizon", [1, 2, 3, 6, 9, 17])
def test_bars_to_touch_agrees_with_a_plain_search(horizon: int) -> None:
    rng = np.random.default_rng(horizon)
    path, level = rng.normal(size=120), rng.normal(0.8, 0.5, size=120)
    found = bars_to_touch(path, level, horizon)
    for row in range(120 - horizon):
        hits = np.flatnonzero(path[row + 1 : row + 1 + horizon] >= level[row])
        assert found[row] == (hits[0] + 1 if hits.size else horizon + 1)
