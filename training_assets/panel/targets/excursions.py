"""Targets on how far a price path goes within the horizon, and how long it stays there.

Belongs here: excursions, drawdowns, swings, time in profit. Does not: which side comes first (`barriers`).

Thresholds are `k` sigmas of the horizon in log price (`barriers.horizon_sigma`). Excursions run from the row's close over the
window's highs or lows; drawdowns over closes, since a bar does not say whether its high came before its low.
"""

import numpy as np

from config.sections.base import TaskType
from training_assets.panel.panel import Bars
from training_assets.panel.targets.barriers import horizon_sigma
from training_assets.panel.targets.base import Labels, Params, Target
from training_assets.panel.targets.windows import CLOSE, HIGH, LOW, Parts, Values, ahead, fold_from, label_windows, max_ahead, min_ahead


def max_drawdown_ahead(path: Values, horizon_bars: int) -> Values:
    """Largest fall of `path` from its running high, over the row and the `horizon_bars` rows after it; at least 0."""

    def combine(early: Parts, late: Parts) -> Parts:
        fall = np.maximum(np.maximum(early[2], late[2]), early[0] - late[1])
        return np.maximum(early[0], late[0]), np.minimum(early[1], late[1]), fall

    return fold_from((path, path, path - path), horizon_bars + 1, combine)[2]


def _beyond(excursion: Values, bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    threshold = horizon_sigma(bars, horizon_bars, params, cross_sessions)
    return windows.classes(excursion >= threshold, np.isfinite(excursion) & np.isfinite(threshold))


def _mfe_beyond(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    excursion = max_ahead(np.log(bars.values[HIGH]), horizon_bars) - np.log(bars.values[CLOSE])
    return _beyond(excursion, bars, horizon_bars, params, cross_sessions, max_window_stretch)


def _mae_beyond(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    excursion = np.log(bars.values[CLOSE]) - min_ahead(np.log(bars.values[LOW]), horizon_bars)
    return _beyond(excursion, bars, horizon_bars, params, cross_sessions, max_window_stretch)


def _mdd_beyond(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    drawdown = max_drawdown_ahead(np.log(bars.values[CLOSE]), horizon_bars)
    return _beyond(drawdown, bars, horizon_bars, params, cross_sessions, max_window_stretch)


def _swing_high(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    peak = max_ahead(bars.values[CLOSE], horizon_bars)
    return windows.classes(peak < bars.values[CLOSE], np.isfinite(peak))


def _swing_low(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    valley = min_ahead(bars.values[CLOSE], horizon_bars)
    return windows.classes(valley > bars.values[CLOSE], np.isfinite(valley))


def _time_in_profit(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    close = bars.values[CLOSE]
    n_above = np.zeros(close.size)
    for step in range(1, min(horizon_bars, close.size) + 1):
        n_above += ahead(close, step) > close
    return windows.labels(n_above / horizon_bars)


_BINARY = (0.0, 1.0)
_DEFAULTS: Params = {"k": 1.0, "volatility_bars": 20}

EXCURSION_TARGETS = (
    Target(
        "mfe_beyond",
        TaskType.BINARY_CLASSIFICATION,
        _BINARY,
        False,
        _DEFAULTS,
        _mfe_beyond,
        "Whether a high goes k sigmas above the entry (favourable excursion).",
    ),
    Target(
        "mae_beyond", TaskType.BINARY_CLASSIFICATION, _BINARY, False, _DEFAULTS, _mae_beyond, "Whether a low goes k sigmas below the entry (adverse excursion)."
    ),
    Target(
        "mdd_beyond", TaskType.BINARY_CLASSIFICATION, _BINARY, False, _DEFAULTS, _mdd_beyond, "Whether closes fall k sigmas from their running high (drawdown)."
    ),
    Target("swing_high", TaskType.BINARY_CLASSIFICATION, _BINARY, False, {}, _swing_high, "Whether every close of the horizon stays below the row's."),
    Target("swing_low", TaskType.BINARY_CLASSIFICATION, _BINARY, False, {}, _swing_low, "Whether every close of the horizon stays above the row's."),
    Target("time_in_profit", TaskType.REGRESSION, (), False, {}, _time_in_profit, "Share of the horizon's closes above the row's, in [0, 1]."),
)
