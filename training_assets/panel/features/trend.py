"""Trend: where the price stands against its averages, lines and extremes, and how straight it got there."""

from collections.abc import Callable

import numpy as np

from training_assets.panel.features.base import Feature
from training_assets.panel.features.indicators import indicator, recursion_bars
from training_assets.panel.features.rolling import FloatVector, memory_bars, rolling_moments
from training_assets.panel.features.view import BarView

Formula = Callable[[BarView], FloatVector]


def _sma_distance(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return np.log(view.close / view.mean(view.close, n_bars))

    return compute


def _ema_decay(span_bars: int) -> float:
    return 1.0 - 2.0 / (span_bars + 1.0)


def _ema_distance(span_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return np.log(view.close / view.ema(view.close, _ema_decay(span_bars)))

    return compute


def _sma_cross(fast_bars: int, slow_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return np.log(view.mean(view.close, fast_bars) / view.mean(view.close, slow_bars))

    return compute


def _scaled_slope(n_bars: int) -> Formula:
    """Slope of the log price per bar in volatilities: comparable across symbols."""

    def compute(view: BarView) -> FloatVector:
        return view.slope(view.log_close, n_bars) / view.std(view.returns, n_bars - 1)

    return compute


def _straightness(n_bars: int) -> Formula:
    """Share of the log price's variance that a straight line explains; unsigned, or it would repeat the scaled slope."""

    def compute(view: BarView) -> FloatVector:
        slope = view.slope(view.log_close, n_bars)
        spread = rolling_moments(view.log_close, n_bars, view.positions)[1]
        return np.minimum(slope**2 * ((n_bars**3 - n_bars) / 12) / spread, 1.0)

    return compute


def _efficiency(n_bars: int) -> Formula:
    """Way made good over way travelled, with its sign (Kaufman 1995)."""

    def compute(view: BarView) -> FloatVector:
        return view.total(view.returns, n_bars) / view.total(np.abs(view.returns), n_bars)

    return compute


def _below_high(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return np.log(view.close / view.maximum(view.high, n_bars))

    return compute


def _above_low(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return np.log(view.close / view.minimum(view.low, n_bars))

    return compute


def _macd(output: int) -> Formula:
    """MACD as a fraction of the close; TA-Lib's is in units of price."""
    line = indicator("MACD", ("close",), output=output, fastperiod=12, slowperiod=26, signalperiod=9)

    def compute(view: BarView) -> FloatVector:
        return line(view) / view.close

    return compute


_WILDER_14 = 13.0 / 14.0
_HLC = ("high", "low", "close")

TREND: tuple[Feature, ...] = (
    *(Feature(f"sma_distance_{n}", ("close",), n - 1, _sma_distance(n), f"log of close over its {n}-bar mean") for n in (5, 10, 20, 50, 100, 200)),
    *(
        Feature(f"ema_distance_{n}", ("close",), memory_bars(_ema_decay(n)) - 1, _ema_distance(n), f"log of close over its exponential mean of span {n}")
        for n in (12, 26, 50)
    ),
    *(
        Feature(f"sma_cross_{fast}_{slow}", ("close",), slow - 1, _sma_cross(fast, slow), f"log of the {fast}-bar over the {slow}-bar mean")
        for fast, slow in ((5, 20), (20, 50), (50, 200))
    ),
    *(Feature(f"scaled_slope_{n}", ("close",), n - 1, _scaled_slope(n), f"slope of the log price over {n} bars in volatilities") for n in (10, 21, 63, 126)),
    *(Feature(f"straightness_{n}", ("close",), n - 1, _straightness(n), f"R2 of a line through {n} log prices") for n in (21, 63, 126)),
    *(Feature(f"efficiency_{n}", ("close",), n, _efficiency(n), f"net over travelled way of {n} bars") for n in (10, 21, 63)),
    *(Feature(f"below_high_{n}", ("high", "close"), n - 1, _below_high(n), f"log of close over the highest high of {n} bars") for n in (21, 63, 252)),
    *(Feature(f"above_low_{n}", ("low", "close"), n - 1, _above_low(n), f"log of close over the lowest low of {n} bars") for n in (21, 63, 252)),
    Feature("aroon_25", ("high", "low"), 25, indicator("AROONOSC", ("high", "low"), scale=100.0, flat_bars=26, timeperiod=25), "Aroon oscillator, -1 to 1"),
    Feature("adx_14", _HLC, recursion_bars(_WILDER_14, 2) + 1, indicator("ADX", _HLC, scale=100.0, timeperiod=14), "directional movement index, 0 to 1"),
    Feature("plus_di_14", _HLC, recursion_bars(_WILDER_14) + 1, indicator("PLUS_DI", _HLC, scale=100.0, timeperiod=14), "upward directional indicator, 0 to 1"),
    Feature(
        "minus_di_14", _HLC, recursion_bars(_WILDER_14) + 1, indicator("MINUS_DI", _HLC, scale=100.0, timeperiod=14), "downward directional indicator, 0 to 1"
    ),
    Feature("macd_12_26", ("close",), recursion_bars(_ema_decay(26)), _macd(0), "MACD line over close"),
    Feature("macd_histogram_12_26_9", ("close",), recursion_bars(_ema_decay(26)) + recursion_bars(_ema_decay(9)), _macd(2), "MACD less its signal, over close"),
    Feature(
        "trix_15",
        ("close",),
        recursion_bars(_ema_decay(15), 3) + 1,
        indicator("TRIX", ("close",), timeperiod=15),
        "rate of change of a triple exponential mean, percent",
    ),
)
