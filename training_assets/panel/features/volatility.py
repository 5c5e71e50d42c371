"""Bands and volatility: how wide the price moves, by which estimator, and whether that is more than usual.

Volatilities are per bar, of log returns, not annualised: a fraction of the price, comparable across symbols of one interval.
"""

import math
from collections.abc import Callable

import numpy as np

from training_assets.panel.features.base import Feature
from training_assets.panel.features.indicators import indicator, recursion_bars
from training_assets.panel.features.rolling import FloatVector, memory_bars, rolling_shape
from training_assets.panel.features.view import BarView

Formula = Callable[[BarView], FloatVector]

RISK_METRICS_DECAY = 0.94  # J.P. Morgan 1996, daily data
_HLC = ("high", "low", "close")
_OHLC = ("open", *_HLC)


def _realised(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return view.std(view.returns, n_bars)

    return compute


def _log_ratio(fast_bars: int, slow_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return np.log(view.std(view.returns, fast_bars) / view.std(view.returns, slow_bars))

    return compute


def parkinson_variance(view: BarView) -> FloatVector:
    """Variance of one bar from its range (Parkinson 1980)."""
    return np.log(view.high / view.low) ** 2 / (4.0 * math.log(2.0))


def rogers_satchell_variance(view: BarView) -> FloatVector:
    """Variance of one bar, free of drift (Rogers and Satchell 1991)."""
    up, down = np.log(view.high / view.open), np.log(view.low / view.open)
    move = np.log(view.close / view.open)
    variance: FloatVector = up * (up - move) + down * (down - move)
    return variance


def _garman_klass_variance(view: BarView) -> FloatVector:
    """Garman and Klass 1980, the practical estimator of their equation 20."""
    return 0.5 * np.log(view.high / view.low) ** 2 - (2.0 * math.log(2.0) - 1.0) * np.log(view.close / view.open) ** 2


def _range_volatility(variance: Formula, n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return np.sqrt(np.maximum(view.mean(variance(view), n_bars), 0.0))

    return compute


def yang_zhang(n_bars: int) -> Formula:
    """Volatility that counts gaps and is free of drift (Yang and Zhang 2000)."""
    weight = 0.34 / (1.34 + (n_bars + 1) / (n_bars - 1))

    def compute(view: BarView) -> FloatVector:
        gaps = view.std(np.log(view.open / view.lagged(view.close, 1)), n_bars) ** 2
        moves = view.std(np.log(view.close / view.open), n_bars) ** 2
        return np.sqrt(np.maximum(gaps + weight * moves + (1.0 - weight) * view.mean(rogers_satchell_variance(view), n_bars), 0.0))

    return compute


def _range_over_realised(view: BarView) -> FloatVector:
    return np.log(_range_volatility(parkinson_variance, 21)(view) / view.volatility_21)


def _ewma(view: BarView) -> FloatVector:
    return np.sqrt(view.ema(view.returns**2, RISK_METRICS_DECAY))


def _log_range(view: BarView) -> FloatVector:
    return np.log(view.high / view.low)


def _true_range_ratio(view: BarView) -> FloatVector:
    return view.true_range / view.mean(view.true_range, 21)


def _atr_ratio(view: BarView) -> FloatVector:
    return np.log(view.mean(view.true_range, 5) / view.mean(view.true_range, 63))


def _downside_share(n_bars: int) -> Formula:
    """Share of squared returns that falls make; one half for symmetric returns."""

    def compute(view: BarView) -> FloatVector:
        return view.total(np.minimum(view.returns, 0.0) ** 2, n_bars) / view.total(view.returns**2, n_bars)

    return compute


def _skewness(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return rolling_shape(view.returns, n_bars, view.positions)[0]

    return compute


def _kurtosis(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return rolling_shape(view.returns, n_bars, view.positions)[1]

    return compute


def _volatility_of_volatility(view: BarView) -> FloatVector:
    recent = view.std(view.returns, 5)
    return view.std(recent, 63) / view.mean(recent, 63)


def _volatility_position(view: BarView) -> FloatVector:
    lowest = view.minimum(view.volatility_21, 126)
    return 2.0 * (view.volatility_21 - lowest) / (view.maximum(view.volatility_21, 126) - lowest) - 1.0


def _jump_share(view: BarView) -> FloatVector:
    """One less the ratio of bipower to realised variance: the share of jumps (Barndorff-Nielsen and Shephard 2004)."""
    size = np.abs(view.returns)
    return 1.0 - (math.pi / 2.0) * view.mean(size * view.lagged(size, 1), 20) / view.mean(view.returns**2, 20)


def _autocorrelation(n_bars: int, absolute: bool) -> Formula:
    """Correlation of neighbouring returns, or of their sizes."""

    def compute(view: BarView) -> FloatVector:
        series = np.abs(view.returns) if absolute else view.returns
        return view.correlation(series, view.lagged(series, 1), n_bars)

    return compute


def _variance_ratio(n_bars: int, window: int) -> Formula:
    """Variance of `n_bars` returns over that of as many single ones, less 1: above 0 trends, below reverts (Lo and MacKinlay 1988)."""

    def compute(view: BarView) -> FloatVector:
        return view.std(view.total(view.returns, n_bars), window) ** 2 / (n_bars * view.std(view.returns, window) ** 2) - 1.0

    return compute


def _bollinger_position(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return (view.close - view.mean(view.close, n_bars)) / (2.0 * view.std(view.close, n_bars))

    return compute


def _bollinger_width(view: BarView) -> FloatVector:
    return 4.0 * view.std(view.close, 20) / view.mean(view.close, 20)


def _keltner_position(view: BarView) -> FloatVector:
    return (view.close / view.mean(view.close, 20) - 1.0) / (2.0 * view.mean(view.true_range, 20))


def _squeeze(view: BarView) -> FloatVector:
    return np.log(view.std(view.close, 20) / (view.mean(view.close, 20) * view.mean(view.true_range, 20)))


def _donchian_position(n_bars: int) -> Formula:
    """Close in the channel of the bars before it: beyond 1 in size on a breakout."""

    def compute(view: BarView) -> FloatVector:
        highest, lowest = view.lagged(view.maximum(view.high, n_bars), 1), view.lagged(view.minimum(view.low, n_bars), 1)
        return (2.0 * view.close - highest - lowest) / (highest - lowest)

    return compute


VOLATILITY: tuple[Feature, ...] = (
    *(Feature(f"volatility_{n}", ("close",), n, _realised(n), f"standard deviation of {n} returns") for n in (5, 10, 21, 63, 126)),
    *(
        Feature(f"volatility_ratio_{fast}_{slow}", ("close",), slow, _log_ratio(fast, slow), f"log of {fast}-bar over {slow}-bar volatility")
        for fast, slow in ((5, 21), (21, 63), (21, 126), (63, 252))
    ),
    *(Feature(f"parkinson_{n}", ("high", "low"), n - 1, _range_volatility(parkinson_variance, n), f"range volatility of {n} bars") for n in (5, 21, 63)),
    Feature("garman_klass_21", _OHLC, 20, _range_volatility(_garman_klass_variance, 21), "Garman-Klass volatility of 21 bars"),
    Feature("rogers_satchell_21", _OHLC, 20, _range_volatility(rogers_satchell_variance, 21), "Rogers-Satchell volatility of 21 bars"),
    *(Feature(f"yang_zhang_{n}", _OHLC, n, yang_zhang(n), f"Yang-Zhang volatility of {n} bars") for n in (21, 63)),
    Feature("range_over_realised_21", _HLC, 21, _range_over_realised, "log of Parkinson over close-to-close volatility"),
    Feature("ewma_volatility", ("close",), memory_bars(RISK_METRICS_DECAY), _ewma, "exponentially weighted volatility, decay 0.94"),
    Feature(
        "natr_14", _HLC, recursion_bars(13.0 / 14.0) + 1, indicator("NATR", _HLC, scale=100.0, timeperiod=14), "average true range over close (Wilder 1978)"
    ),
    Feature("log_range", ("high", "low"), 0, _log_range, "log of high over low"),
    Feature("true_range_ratio_21", _HLC, 21, _true_range_ratio, "true range over its mean of 21 bars"),
    Feature("atr_ratio_5_63", _HLC, 63, _atr_ratio, "log of the 5-bar over the 63-bar mean true range"),
    *(Feature(f"downside_share_{n}", ("close",), n, _downside_share(n), f"share of falls in {n} squared returns") for n in (21, 63)),
    *(Feature(f"skewness_{n}", ("close",), n, _skewness(n), f"skewness of {n} returns") for n in (63, 126)),
    *(Feature(f"kurtosis_{n}", ("close",), n, _kurtosis(n), f"excess kurtosis of {n} returns") for n in (63, 126)),
    Feature("volatility_of_volatility_63", ("close",), 67, _volatility_of_volatility, "spread of 63 5-bar volatilities over their mean"),
    Feature("volatility_position_126", ("close",), 146, _volatility_position, "21-bar volatility in its range of 126 bars, -1 to 1"),
    Feature("jump_share_20", ("close",), 21, _jump_share, "share of jumps in realised variance"),
    *(Feature(f"autocorrelation_{n}", ("close",), n + 1, _autocorrelation(n, absolute=False), f"lag-1 autocorrelation of {n} returns") for n in (21, 63)),
    Feature("size_autocorrelation_63", ("close",), 64, _autocorrelation(63, absolute=True), "lag-1 autocorrelation of 63 absolute returns"),
    *(Feature(f"variance_ratio_{n}_126", ("close",), 125 + n, _variance_ratio(n, 126), f"variance ratio of {n} bars, less 1") for n in (5, 10)),
    *(Feature(f"bollinger_position_{n}", ("close",), n - 1, _bollinger_position(n), f"close in its Bollinger bands of {n} bars") for n in (20, 50)),
    Feature("bollinger_width_20", ("close",), 19, _bollinger_width, "width of the Bollinger bands over their middle"),
    Feature("keltner_position_20", _HLC, 20, _keltner_position, "close in its Keltner channel of 20 bars"),
    Feature("squeeze_20", _HLC, 20, _squeeze, "log of Bollinger over Keltner width"),
    *(Feature(f"donchian_position_{n}", _HLC, n, _donchian_position(n), f"close in the channel of the {n} bars before it") for n in (20, 55)),
)
