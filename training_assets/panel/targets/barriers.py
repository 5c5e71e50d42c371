"""Targets on which barrier a price path touches first, and when.

Belongs here: first touches within the horizon. Does not: how far a path goes (`excursions`).

Barriers stand `k` sigmas of the horizon above and below the row's close, sigma being the trailing volatility a bar times the
root of the horizon (Lopez de Prado 2018, ch. 3, with the volatility of the row). Paths run over closes, so that no bar
touches both and one bad wick touches none. A label counts as known at the end of the full window even where a barrier was
touched early: were early touches known early, the rows left beside a cut would be chosen by their outcome.
"""

import numpy as np

from config.sections.base import TaskType
from training_assets.panel.panel import Bars
from training_assets.panel.targets.base import Labels, Params, Target, TargetError
from training_assets.panel.targets.windows import CLOSE, Mask, Values, Windows, bars_to_touch, label_windows, trailing_volatility

UP, EITHER, DOWN = "up", "either", "down"


def horizon_sigma(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool) -> Values:
    """`k` sigmas of the horizon in log price, from bars up to the row: shape (n_rows,), NaN where not known."""
    sigma = trailing_volatility(bars, int(params["volatility_bars"]), cross_sessions)
    return sigma * (float(params["k"]) * float(np.sqrt(horizon_bars)))


def _touches(bars: Bars, windows: Windows, params: Params, cross_sessions: bool) -> tuple[Values, Values, Mask]:
    """Bars until the upper and until the lower barrier is touched, the horizon and one where never; and where both are known."""
    path = np.log(bars.values[CLOSE])
    width = horizon_sigma(bars, windows.horizon_bars, params, cross_sessions)
    up = bars_to_touch(path, path + width, windows.horizon_bars)
    down = bars_to_touch(-path, -(path - width), windows.horizon_bars)
    return up.astype(np.float64), down.astype(np.float64), np.isfinite(width)


def _triple_barrier(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    up, down, known = _touches(bars, windows, params, cross_sessions)
    return windows.classes(1.0 + (up < down) - (down < up), known)


def _will_peak(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    up, down, known = _touches(bars, windows, params, cross_sessions)
    return windows.classes(up < down, known)


def _will_valley(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    up, down, known = _touches(bars, windows, params, cross_sessions)
    return windows.classes(down < up, known)


def _time_to_hit(bars: Bars, horizon_bars: int, params: Params, cross_sessions: bool, max_window_stretch: float) -> Labels:
    windows = label_windows(bars, horizon_bars, cross_sessions, max_window_stretch)
    up, down, known = _touches(bars, windows, params, cross_sessions)
    sides = {UP: up, DOWN: down, EITHER: np.minimum(up, down)}
    hit = sides.get(str(params["side"]))
    if hit is None:
        raise TargetError(f"time_to_hit: params.side '{params['side']}' is none of {', '.join(sides)}")
    return windows.labels(np.where(known, hit, np.nan))


_DEFAULTS: Params = {"k": 1.0, "volatility_bars": 20}

BARRIER_TARGETS = (
    Target(
        "triple_barrier",
        TaskType.MULTICLASS_CLASSIFICATION,
        (-1.0, 0.0, 1.0),
        False,
        _DEFAULTS,
        _triple_barrier,
        "Barrier touched first: 1 the upper, -1 the lower, 0 neither within the horizon.",
    ),
    Target("will_peak", TaskType.BINARY_CLASSIFICATION, (0.0, 1.0), False, _DEFAULTS, _will_peak, "Whether the upper barrier is touched first."),
    Target("will_valley", TaskType.BINARY_CLASSIFICATION, (0.0, 1.0), False, _DEFAULTS, _will_valley, "Whether the lower barrier is touched first."),
    Target(
        "time_to_hit",
        TaskType.REGRESSION,
        (),
        False,
        {**_DEFAULTS, "side": EITHER},
        _time_to_hit,
        "Bars until the barrier of that side (`up`, `down`, `either`) is touched; the horizon and one where it is not.",
    ),
)
