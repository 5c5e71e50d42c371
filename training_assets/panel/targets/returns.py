"""Targets on the return over the horizon: its size, its sign, its size in sigmas, its rank in the symbol's own past.

Belongs here: what one symbol's close-to-close return says. Does not: other symbols (`cross_section`), the path (`barriers`, `excursions`).
"""

import numpy as np

from config.sections.base import TaskType
from training_assets.panel.panel import Bars
from training_assets.panel.targets.base import Labels, Params, Target
from training_assets.panel.targets.windows import CLOSE, Values, ahead, behind, label_windows, trailing_volatility

N_ORDINAL_BINS = 5


def simple_return(bars: Bars, horizon_bars: int) -> Values:
    """Close `horizon_bars` later over the row's close, less one; mind the symbol's edge (`Windows.complete`)."""
    close = bars.values[CLOSE]
    value: Values = ahead(close, horizon_bars) / close - 1.0
    return value


def log_return(bars: Bars, horizon_bars: int) -> Values:
    """Log of the close `horizon_bars` later over the row's close; mind the symbol's edge (`Windows.complete`)."""
    close: Values = np.log(bars.values[CLOSE])
    return ahead(close, horizon_bars) - close


def _forward_return(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    return windows.labels(log_return(bars, horizon_bars) if params["log"] else simple_return(bars, horizon_bars))


def _forward_direction(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    value = simple_return(bars, horizon_bars)
    return windows.classes(value > 0.0, np.isfinite(value))


def _volatility_scaled_return(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    volatility = trailing_volatility(bars, int(params["volatility_bars"]), cross_sessions)
    return windows.labels(log_return(bars, horizon_bars) / (volatility * np.sqrt(horizon_bars)))


def _ordinal_return(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    """Fifth of the symbol's own past returns that the label's return falls in; ties count half.

    The past are the returns over the same horizon that are known at the row: windows that ended at one of the last
    `history_bars` bars, at least half of them complete.
    """
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    value = np.where(windows.complete, log_return(bars, horizon_bars), np.nan)
    known = behind(value, horizon_bars)  # complete windows end within their symbol, so none comes over its edge
    history_bars = int(params["history_bars"])
    below, n_known = np.zeros(value.size), np.zeros(value.size)
    for lag in range(min(history_bars, value.size)):
        past = np.where(windows.position >= lag, behind(known, lag), np.nan) if lag else known
        below += (past < value) + 0.5 * (past == value)
        n_known += np.isfinite(past)
    enough = np.isfinite(value) & (n_known >= max(N_ORDINAL_BINS, history_bars / 2))
    share = np.divide(below, n_known, out=np.zeros_like(below), where=enough)
    return windows.classes(np.minimum(np.floor(share * N_ORDINAL_BINS), N_ORDINAL_BINS - 1), enough)


RETURN_TARGETS = (
    Target("forward_return", TaskType.REGRESSION, (), False, {"log": False}, _forward_return, "Return from the row's close over the horizon."),
    Target("forward_direction", TaskType.BINARY_CLASSIFICATION, (0.0, 1.0), False, {}, _forward_direction, "Whether that return is above zero."),
    Target(
        "volatility_scaled_return",
        TaskType.REGRESSION,
        (),
        False,
        {"volatility_bars": 20},
        _volatility_scaled_return,
        "Log return over the horizon in sigmas of the horizon: trailing volatility a bar times the root of the horizon.",
    ),
    Target(
        "ordinal_return",
        TaskType.MULTICLASS_CLASSIFICATION,
        (0.0, 1.0, 2.0, 3.0, 4.0),
        False,
        {"history_bars": 252},
        _ordinal_return,
        "Fifth of the symbol's own past returns that the return falls in, 0 the lowest.",
    ),
)
