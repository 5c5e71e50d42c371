"""Targets on how much a price moves within the horizon, whichever way.

Belongs here: realised volatility, range, and whether they rise. Does not: the volatility that scales other targets (`windows`).
"""

import numpy as np

from config.sections.base import TaskType
from training_assets.panel.panel import Bars
from training_assets.panel.targets.base import Labels, Params, Target
from training_assets.panel.targets.windows import HIGH, LOW, Values, bar_returns, behind, label_windows, max_ahead, min_ahead, sum_ahead, trailing_volatility


def realized_volatility_ahead(bars: Bars, horizon_bars: int, cross_sessions: bool) -> Values:
    """Root mean square of the `horizon_bars` bar returns after each row, per bar."""
    return np.sqrt(sum_ahead(np.square(bar_returns(bars, cross_sessions)), horizon_bars) / horizon_bars)


def range_ahead(bars: Bars, horizon_bars: int) -> Values:
    """Log of the highest high over the lowest low of the `horizon_bars` bars after each row."""
    return max_ahead(np.log(bars.values[HIGH]), horizon_bars) - min_ahead(np.log(bars.values[LOW]), horizon_bars)


def _forward_realized_volatility(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    return windows.labels(realized_volatility_ahead(bars, horizon_bars, cross_sessions))


def _forward_range(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    return windows.labels(range_ahead(bars, horizon_bars))


def _volatility_rise(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    later = realized_volatility_ahead(bars, horizon_bars, cross_sessions)
    earlier = trailing_volatility(bars, horizon_bars, cross_sessions)
    return windows.classes(later > earlier, np.isfinite(later) & np.isfinite(earlier))


def _range_rise(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    """Whether the range ahead exceeds that of the last `horizon_bars` bars.

    The trailing range obeys the rules of the label: the window that ends at the row must be complete, so that a night in the one
    is never held against its absence in the other.
    """
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    later = range_ahead(bars, horizon_bars)
    earlier = behind(np.where(windows.complete, later, np.nan), horizon_bars)
    return windows.classes(later > earlier, np.isfinite(later) & np.isfinite(earlier))


_BINARY = (0.0, 1.0)

VOLATILITY_TARGETS = (
    Target(
        "forward_realized_volatility",
        TaskType.REGRESSION,
        (),
        False,
        {},
        _forward_realized_volatility,
        "Root mean square of the horizon's log returns, per bar.",
    ),
    Target("forward_range", TaskType.REGRESSION, (), False, {}, _forward_range, "Log of the horizon's highest high over its lowest low."),
    Target(
        "volatility_rise",
        TaskType.BINARY_CLASSIFICATION,
        _BINARY,
        False,
        {},
        _volatility_rise,
        "Whether the horizon's realised volatility exceeds that of as many bars up to the row.",
    ),
    Target(
        "range_rise", TaskType.BINARY_CLASSIFICATION, _BINARY, False, {}, _range_rise, "Whether the horizon's range exceeds that of as many bars up to the row."
    ),
)
