"""Features against independent formulas, symbol by symbol, in pandas and plain loops."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from feature_bars import ragged_bars

from training_assets.panel.features.registry import FEATURES
from training_assets.panel.panel import BAR_COLUMNS, Bars

BARS = ragged_bars(seed=11)
BY_NAME = {feature.name: feature for feature in FEATURES}


def _frame(bars: Bars, symbol: int) -> pd.DataFrame:
    rows = slice(int(bars.symbol_offsets[symbol]), int(bars.symbol_offsets[symbol + 1]))
    frame = pd.DataFrame(dict(zip(BAR_COLUMNS, bars.values[:, rows], strict=True)), index=bars.times_ns[bars.time_codes[rows]])
    frame["r"] = np.log(frame.close).diff()
    return frame


def _wilder_rsi(frame: pd.DataFrame) -> pd.Series:
    change = frame.close.diff()
    up = change.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    down = (-change).clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    return (up - down) / (up + down)


def _yang_zhang(frame: pd.DataFrame) -> pd.Series:
    gap, move = np.log(frame.open / frame.close.shift()), np.log(frame.close / frame.open)
    up, down = np.log(frame.high / frame.open), np.log(frame.low / frame.open)
    k = 0.34 / (1.34 + 22 / 20)
    return np.sqrt(gap.rolling(21).var() + k * move.rolling(21).var() + (1 - k) * (up * (up - move) + down * (down - move)).rolling(21).mean())


def _straightness(frame: pd.DataFrame) -> pd.Series:
    return np.log(frame.close).rolling(21).apply(lambda part: np.corrcoef(np.arange(21), part)[0, 1] ** 2, raw=True)


def _obv_slope(frame: pd.DataFrame) -> pd.Series:
    balance = (np.sign(frame.r).fillna(0.0) * frame.volume).cumsum()
    slope = balance.rolling(21).apply(lambda part: np.polyfit(np.arange(21), part, 1)[0], raw=True)
    return slope / frame.volume.rolling(21).mean()


def _money_flow(frame: pd.DataFrame) -> pd.Series:
    import talib

    return pd.Series(talib.MFI(*(frame[name].to_numpy() for name in ("high", "low", "close", "volume"))) / 50 - 1, frame.index)


ORACLES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "log_return_5": lambda f: np.log(f.close / f.close.shift(5)),
    "momentum_skip_252_21": lambda f: np.log(f.close.shift(21) / f.close.shift(252)),
    "scaled_return_126": lambda f: f.r.rolling(126).sum() / f.r.rolling(126).std() / math.sqrt(126),
    "gap_return": lambda f: np.log(f.open / f.close.shift()),
    "sma_distance_20": lambda f: np.log(f.close / f.close.rolling(20).mean()),
    "ema_distance_12": lambda f: np.log(f.close / f.close.ewm(span=12, adjust=True).mean()),
    "efficiency_10": lambda f: f.r.rolling(10).sum() / f.r.abs().rolling(10).sum(),
    "straightness_21": _straightness,
    "below_high_63": lambda f: np.log(f.close / f.high.rolling(63).max()),
    "rsi_14": _wilder_rsi,
    "williams_r_14": lambda f: 2 * (f.close - f.low.rolling(14).min()) / (f.high.rolling(14).max() - f.low.rolling(14).min()) - 1,
    "volatility_21": lambda f: f.r.rolling(21).std(),
    "parkinson_21": lambda f: np.sqrt((np.log(f.high / f.low) ** 2).rolling(21).mean() / (4 * math.log(2))),
    "yang_zhang_21": _yang_zhang,
    "autocorrelation_63": lambda f: f.r.rolling(63).corr(f.r.shift()),
    "variance_ratio_5_126": lambda f: f.r.rolling(5).sum().rolling(126).var() / (5 * f.r.rolling(126).var()) - 1,
    "bollinger_position_20": lambda f: (f.close - f.close.rolling(20).mean()) / (2 * f.close.rolling(20).std()),
    "donchian_position_20": lambda f: (
        2 * (f.close - f.low.shift().rolling(20).min()) / (f.high.shift().rolling(20).max() - f.low.shift().rolling(20).min()) - 1
    ),
    "volume_z_63": lambda f: (f.volume - f.volume.rolling(63).mean()) / f.volume.rolling(63).std(),
    "obv_slope_21": _obv_slope,
    "money_flow_14": _money_flow,
    "vwap_distance_21": lambda f: np.log(f.close / (((f.high + f.low + f.close) / 3 * f.volume).rolling(21).sum() / f.volume.rolling(21).sum())),
}


@pytest.mark.parametrize("name", ORACLES)
def test_feature_equals_its_independent_formula(name: str) -> None:
    feature = BY_NAME[name]
    values = feature.build(BARS)
    for symbol in (0, 1, 3):
        rows = slice(int(BARS.symbol_offsets[symbol]), int(BARS.symbol_offsets[symbol + 1]))
        expected = ORACLES[name](_frame(BARS, symbol)).to_numpy().copy()
        expected[: feature.reach_bars] = np.nan
        assert np.isfinite(expected).sum() > 50
        # Smoothed series differ by what they have forgotten; the rest only by rounding.
        tolerance = 1e-4 if name.startswith(("ema_", "rsi_")) else 1e-8
        np.testing.assert_allclose(values[rows], expected, rtol=tolerance, atol=tolerance)


def _long() -> pd.DataFrame:
    frames = [_frame(BARS, symbol).assign(symbol=symbol) for symbol in range(len(BARS.symbols))]
    long = pd.concat(frames).reset_index(names="time")
    known = long.groupby("time").r.transform("count") >= 3
    long["market"] = long.groupby("time").r.transform("mean").where(known)
    return long


def test_market_return_is_the_mean_over_the_symbols_of_the_time() -> None:
    long = _long()
    expected = long.market.where(long.groupby("symbol").cumcount() >= 1)
    np.testing.assert_allclose(BY_NAME["market_return_1"].build(BARS), expected, rtol=1e-12)


def test_rank_runs_from_minus_one_to_one_and_ties_share_their_mean() -> None:
    long = _long()
    moves = np.log(long.close / long.groupby("symbol").close.shift(21))
    groups = moves.groupby(long.time)
    counts = groups.transform("count")
    expected = (2 * (groups.rank(method="average") - 1) / (counts - 1) - 1).where(counts >= 3)
    np.testing.assert_allclose(BY_NAME["return_rank_21"].build(BARS), expected, rtol=1e-12, atol=1e-12)


def test_beta_and_residual_volatility_equal_those_of_a_fitted_line() -> None:
    long = _long()
    beta, residual = BY_NAME["beta_63"].build(BARS), BY_NAME["residual_volatility_63"].build(BARS)
    checked = 0
    for row in range(int(BARS.symbol_offsets[2]) + 80, int(BARS.symbol_offsets[3]), 37):
        window = long.iloc[row - 62 : row + 1]
        if window.market.notna().all():
            slope, intercept = np.polyfit(window.market, window.r, 1)
            assert beta[row] == pytest.approx(slope, rel=1e-8)
            assert residual[row] == pytest.approx((window.r - slope * window.market - intercept).std(ddof=0), rel=1e-8)
            checked += 1
    assert checked >= 3


def test_calendar_knows_weekdays_months_and_pauses() -> None:
    times = pd.to_datetime(BARS.times_ns[BARS.time_codes])
    sine, cosine = BY_NAME["day_of_week_sin"].build(BARS), BY_NAME["day_of_week_cos"].build(BARS)
    np.testing.assert_array_equal(np.round(np.arctan2(sine, cosine) % (2 * math.pi) / (2 * math.pi) * 7), times.dayofweek)
    np.testing.assert_array_equal(BY_NAME["days_into_month"].build(BARS), times.day - 1)
    np.testing.assert_array_equal(BY_NAME["month_turn"].build(BARS), (times.day <= 3) | (times.day == times.days_in_month))
    pause = BY_NAME["pause_before"].build(BARS)
    days = np.r_[np.nan, np.diff(times.to_numpy()) / np.timedelta64(1, "D")]
    inside = np.isfinite(pause)
    np.testing.assert_allclose(np.exp(pause[inside]), days[inside])


def test_session_features_measure_from_the_opening_of_the_day() -> None:
    bars = ragged_bars(seed=12, hourly=True)
    frame = _frame(bars, 0)
    day = pd.to_datetime(frame.index).date
    rows = slice(0, int(bars.symbol_offsets[1]))
    expected_return = np.log(frame.close / frame.groupby(day).open.transform("first")).to_numpy()
    expected_gap = np.log(frame.groupby(day).open.transform("first") / frame.close.shift().groupby(day).transform(lambda part: part.iloc[0])).to_numpy()
    late = np.arange(frame.shape[0]) >= BY_NAME["session_return"].reach_bars
    np.testing.assert_allclose(BY_NAME["session_return"].build(bars)[rows][late], expected_return[late], rtol=1e-12)
    np.testing.assert_allclose(BY_NAME["session_gap"].build(bars)[rows][late], expected_gap[late], rtol=1e-12)
    assert set(np.unique(BY_NAME["session_hours"].build(bars))) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
