"""Returns and momentum: how far the price has come, over which span, and in which part of the day.

All values are log returns, or those divided by the volatility of the same symbol, so that symbols can be compared.
"""

import math
from collections.abc import Callable

import numpy as np

from training_assets.panel.features.base import Feature
from training_assets.panel.features.rolling import FloatVector
from training_assets.panel.features.view import BarView

Formula = Callable[[BarView], FloatVector]


def log_return(n_bars: int) -> Formula:
    """Log return over the last `n_bars` bars."""

    def compute(view: BarView) -> FloatVector:
        return view.log_close - view.lagged(view.log_close, n_bars)

    return compute


def _skipped_return(n_bars: int, skip_bars: int) -> Formula:
    """Log return from `n_bars` ago to `skip_bars` ago; the skipped month holds the short-term reversal (Jegadeesh and Titman 1993)."""

    def compute(view: BarView) -> FloatVector:
        return view.lagged(view.log_close, skip_bars) - view.lagged(view.log_close, n_bars)

    return compute


def _scaled_return(n_bars: int) -> Formula:
    """Return over the span in units of its own random-walk standard deviation."""

    def compute(view: BarView) -> FloatVector:
        return view.total(view.returns, n_bars) / (view.std(view.returns, n_bars) * math.sqrt(n_bars))

    return compute


def _acceleration(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        recent = view.log_close - view.lagged(view.log_close, n_bars)
        return recent - view.lagged(recent, n_bars)

    return compute


def _gap(view: BarView) -> FloatVector:
    return np.log(view.open / view.lagged(view.close, 1))


def _intrabar(view: BarView) -> FloatVector:
    return np.log(view.close / view.open)


def _scaled_last_return(view: BarView) -> FloatVector:
    return view.returns / view.lagged(view.volatility_21, 1)


def _gap_momentum(view: BarView) -> FloatVector:
    return view.total(_gap(view), 21)


def _intrabar_momentum(view: BarView) -> FloatVector:
    return view.total(_intrabar(view), 21)


def _tug_of_war(view: BarView) -> FloatVector:
    return (_gap_momentum(view) - _intrabar_momentum(view)) / (view.volatility_21 * math.sqrt(21))


def _up_fraction(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        signs = np.where(np.isnan(view.returns), np.nan, np.sign(view.returns))
        return view.mean(signs, n_bars)

    return compute


def _largest_return(view: BarView) -> FloatVector:
    return view.maximum(view.returns, 21) / view.volatility_21


def _smallest_return(view: BarView) -> FloatVector:
    return view.minimum(view.returns, 21) / view.volatility_21


MOMENTUM: tuple[Feature, ...] = (
    *(Feature(f"log_return_{n}", ("close",), n, log_return(n), f"log return over {n} bars") for n in (1, 2, 3, 5, 10, 21, 63, 126, 252)),
    *(Feature(f"scaled_return_{n}", ("close",), n, _scaled_return(n), f"return over {n} bars in its own standard deviations") for n in (126, 252)),
    Feature("momentum_skip_126_21", ("close",), 105, _skipped_return(126, 21), "log return from 126 to 21 bars ago", lag_bars=21),
    Feature("momentum_skip_252_21", ("close",), 231, _skipped_return(252, 21), "log return from 252 to 21 bars ago", lag_bars=21),
    Feature("acceleration_5", ("close",), 10, _acceleration(5), "5-bar return minus the one before it"),
    Feature("acceleration_21", ("close",), 42, _acceleration(21), "21-bar return minus the one before it"),
    Feature("scaled_return_1", ("close",), 22, _scaled_last_return, "last return in the standard deviations of the 21 before it"),
    Feature("gap_return", ("open", "close"), 1, _gap, "log return from the previous close to the open"),
    Feature("intrabar_return", ("open", "close"), 0, _intrabar, "log return from open to close"),
    Feature("gap_momentum_21", ("open", "close"), 21, _gap_momentum, "sum of 21 gap returns"),
    Feature("intrabar_momentum_21", ("open", "close"), 20, _intrabar_momentum, "sum of 21 intrabar returns"),
    Feature("gap_minus_intrabar_21", ("open", "close"), 21, _tug_of_war, "gap less intrabar momentum in volatilities (Lou, Polk and Skouras 2019)"),
    *(Feature(f"sign_mean_{n}", ("close",), n, _up_fraction(n), f"share of rises minus share of falls in {n} bars") for n in (5, 21, 63)),
    Feature("largest_return_21", ("close",), 21, _largest_return, "largest of 21 returns in volatilities (Bali, Cakici and Whitelaw 2011)"),
    Feature("smallest_return_21", ("close",), 21, _smallest_return, "smallest of 21 returns in volatilities"),
)
