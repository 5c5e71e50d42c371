"""Oscillators: where the price stands inside its recent range, on scales that are the same for every symbol."""

from collections.abc import Callable

import numpy as np

from training_assets.panel.features.base import Feature
from training_assets.panel.features.indicators import indicator, recursion_bars
from training_assets.panel.features.rolling import FloatVector
from training_assets.panel.features.view import BarView

_HLC = ("high", "low", "close")


def _rsi(n_bars: int) -> Feature:
    return Feature(
        f"rsi_{n_bars}",
        _HLC,
        recursion_bars(1.0 - 1.0 / n_bars) + 1,
        indicator("RSI", ("close",), scale=50.0, centre=50.0, flat_bars=n_bars + 1, timeperiod=n_bars),
        f"relative strength index of {n_bars} bars (Wilder 1978), -1 to 1",
    )


def _stochastic(output: int) -> Callable[[BarView], FloatVector]:
    return indicator("STOCH", _HLC, output=output, scale=50.0, centre=50.0, flat_bars=14, fastk_period=14, slowk_period=3, slowd_period=3)


def _stochastic_spread(view: BarView) -> FloatVector:
    return _stochastic(0)(view) - _stochastic(1)(view)


def close_location(view: BarView) -> FloatVector:
    """Where the close lies in its bar, from -1 at the low to 1 at the high; 0 where the bar has no range."""
    spread = view.high - view.low
    return np.where(spread > 0, (2.0 * view.close - view.high - view.low) / spread, 0.0)


def _close_location_mean(view: BarView) -> FloatVector:
    return view.mean(close_location(view), 10)


def _upper_shadow(view: BarView) -> FloatVector:
    spread = view.high - view.low
    return np.where(spread > 0, (view.high - np.maximum(view.open, view.close)) / spread, 0.0)


def _lower_shadow(view: BarView) -> FloatVector:
    spread = view.high - view.low
    return np.where(spread > 0, (np.minimum(view.open, view.close) - view.low) / spread, 0.0)


OSCILLATORS: tuple[Feature, ...] = (
    _rsi(7),
    _rsi(14),
    _rsi(21),
    Feature("stochastic_k_14_3", _HLC, 17, _stochastic(0), "slow stochastic, -1 to 1"),
    Feature("stochastic_spread_14_3_3", _HLC, 17, _stochastic_spread, "slow stochastic less its own mean"),
    Feature("williams_r_14", _HLC, 13, indicator("WILLR", _HLC, scale=50.0, centre=-50.0, flat_bars=14, timeperiod=14), "Williams %R of 14 bars, -1 to 1"),
    Feature("williams_r_63", _HLC, 62, indicator("WILLR", _HLC, scale=50.0, centre=-50.0, flat_bars=63, timeperiod=63), "Williams %R of 63 bars, -1 to 1"),
    Feature("cci_20", _HLC, 19, indicator("CCI", _HLC, scale=100.0, flat_bars=20, timeperiod=20), "commodity channel index of 20 bars, in hundreds"),
    Feature(
        "ultimate_7_14_28",
        _HLC,
        28,
        indicator("ULTOSC", _HLC, scale=50.0, centre=50.0, flat_bars=29, timeperiod1=7, timeperiod2=14, timeperiod3=28),
        "ultimate oscillator, -1 to 1",
    ),
    Feature("balance_of_power", ("open", *_HLC), 0, indicator("BOP", ("open", *_HLC)), "move of the bar over its range; 0 where it has none"),
    Feature("close_location", _HLC, 0, close_location, "close inside its bar, -1 to 1; 0 where it has no range"),
    Feature("close_location_mean_10", _HLC, 9, _close_location_mean, "mean of 10 close locations"),
    Feature("upper_shadow", ("open", *_HLC), 0, _upper_shadow, "share of the bar's range above its body; 0 where it has none"),
    Feature("lower_shadow", ("open", *_HLC), 0, _lower_shadow, "share of the bar's range below its body; 0 where it has none"),
)
