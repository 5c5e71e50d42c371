"""Volume: how much is traded against the usual, and on which side of the price.

Every value is a ratio to the symbol's own volume, so units of volume do not matter; symbols without volume get NaN.
"""

from collections.abc import Callable

import numpy as np

from training_assets.panel.features.base import Feature
from training_assets.panel.features.oscillators import close_location
from training_assets.panel.features.rolling import FloatVector
from training_assets.panel.features.view import BarView

Formula = Callable[[BarView], FloatVector]

_CLOSE = ("close", "volume")
_HLC = ("high", "low", "close", "volume")


def _contrast(first: FloatVector, second: FloatVector) -> FloatVector:
    """Difference over sum, from -1 to 1: a ratio that a zero on either side does not break; NaN where both are zero."""
    return (first - second) / (first + second)


def _typical_price(view: BarView) -> FloatVector:
    return (view.high + view.low + view.close) / 3.0


def dollar_volume(view: BarView) -> FloatVector:
    """Money traded in the bar."""
    return view.close * view.volume


def _volume_contrast(fast_bars: int, slow_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return _contrast(view.mean(view.volume, fast_bars), view.mean(view.volume, slow_bars))

    return compute


def _volume_z(view: BarView) -> FloatVector:
    return (view.volume - view.mean(view.volume, 63)) / view.std(view.volume, 63)


def _volume_variation(view: BarView) -> FloatVector:
    return view.std(view.volume, 21) / view.mean(view.volume, 21)


def _volume_slope(view: BarView) -> FloatVector:
    return view.slope(view.volume, 21) * 21 / view.mean(view.volume, 21)


def _obv_slope(n_bars: int) -> Formula:
    """Slope of on-balance volume over mean volume.

    Balance itself never forgets; its slope over a window needs the window's signed volumes only. The balance is counted from the
    start of the window, as a slope does not change with a constant.
    """

    def compute(view: BarView) -> FloatVector:
        signed = np.sign(view.returns) * view.volume
        # Weight of the volume that entered `age` bars ago in the slope over n points: (age + 1)(n - 1 - age) / 2 over the ages' spread.
        weights = np.array([(age + 1) * (n_bars - 1 - age) / 2 for age in range(n_bars - 1)])
        slope = np.zeros_like(signed)
        for age, weight in enumerate(weights):
            slope += weight * (view.lagged(signed, age) if age else signed)
        return slope / ((n_bars**3 - n_bars) / 12) / view.mean(view.volume, n_bars)

    return compute


def _signed_share(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return view.total(np.sign(view.returns) * view.volume, n_bars) / view.total(view.volume, n_bars)

    return compute


def _chaikin_flow(view: BarView) -> FloatVector:
    return view.total(close_location(view) * view.volume, 21) / view.total(view.volume, 21)


def _chaikin_oscillator(view: BarView) -> FloatVector:
    flow = close_location(view) * view.volume
    return (view.total(flow, 3) / 3 - view.total(flow, 10) / 10) / view.mean(view.volume, 10)


def _money_flow(view: BarView) -> FloatVector:
    """Money flow index of 14 bars, -1 to 1: money on rising less money on falling typical prices, over both."""
    price = _typical_price(view)
    flow = price * view.volume
    direction = np.sign(price - view.lagged(price, 1))
    return view.total(direction * flow, 14) / view.total(np.abs(direction) * flow, 14)


def _vwap_distance(n_bars: int) -> Formula:
    def compute(view: BarView) -> FloatVector:
        vwap = view.total(_typical_price(view) * view.volume, n_bars) / view.total(view.volume, n_bars)
        return np.log(view.close / vwap)

    return compute


def _force(view: BarView) -> FloatVector:
    """Return times volume, over volatility and mean volume (after Elder 1993)."""
    return view.mean(view.returns * view.volume, 13) / (view.std(view.returns, 13) * view.mean(view.volume, 13))


def _ease_of_movement(view: BarView) -> FloatVector:
    """Move of the bar's middle per range, weighted by how little volume it took (after Arms 1996)."""
    middle = np.log(view.high * view.low) / 2.0
    move = (middle - view.lagged(middle, 1)) * np.log(view.high / view.low)
    return view.mean(move / (view.volume / view.mean(view.volume, 14)), 14) / view.mean(view.true_range**2, 14)


def illiquidity(view: BarView, n_bars: int) -> FloatVector:
    """Mean absolute return per money traded (Amihud 2002); bars without volume are NaN for the whole window."""
    return view.mean(np.abs(view.returns) / dollar_volume(view), n_bars)


def _illiquidity_ratio(view: BarView) -> FloatVector:
    return np.log(illiquidity(view, 21) / illiquidity(view, 126))


def _dollar_volume_contrast(view: BarView) -> FloatVector:
    money = dollar_volume(view)
    return _contrast(view.mean(money, 21), view.mean(money, 126))


def _correlation(n_bars: int, absolute: bool) -> Formula:
    def compute(view: BarView) -> FloatVector:
        return view.correlation(np.abs(view.returns) if absolute else view.returns, view.volume, n_bars)

    return compute


def _weighted_return(view: BarView) -> FloatVector:
    """Volume-weighted less plain mean return of 21 bars, in volatilities."""
    weighted = view.total(view.returns * view.volume, 21) / view.total(view.volume, 21)
    return (weighted - view.mean(view.returns, 21)) / view.volatility_21


VOLUME: tuple[Feature, ...] = (
    *(
        Feature(f"volume_contrast_{fast}_{slow}", ("volume",), slow - 1, _volume_contrast(fast, slow), f"{fast}-bar against {slow}-bar mean volume, -1 to 1")
        for fast, slow in ((1, 21), (5, 21), (5, 63), (21, 126))
    ),
    Feature("volume_z_63", ("volume",), 62, _volume_z, "volume in its standard deviations of 63 bars"),
    Feature("volume_variation_21", ("volume",), 20, _volume_variation, "standard deviation over mean of 21 volumes"),
    Feature("volume_slope_21", ("volume",), 20, _volume_slope, "change of volume over 21 bars by its line, over the mean"),
    *(Feature(f"obv_slope_{n}", _CLOSE, n - 1, _obv_slope(n), f"slope of on-balance volume over {n} bars in mean volumes") for n in (10, 21)),
    *(Feature(f"signed_volume_share_{n}", _CLOSE, n, _signed_share(n), f"volume on rises less on falls, over all, {n} bars") for n in (5, 21, 63)),
    Feature("chaikin_flow_21", _HLC, 20, _chaikin_flow, "Chaikin money flow of 21 bars"),
    Feature("chaikin_oscillator_3_10", _HLC, 9, _chaikin_oscillator, "3-bar less 10-bar accumulation in mean volumes"),
    Feature("money_flow_14", _HLC, 14, _money_flow, "money flow index, -1 to 1"),
    *(Feature(f"vwap_distance_{n}", _HLC, n - 1, _vwap_distance(n), f"log of close over the volume-weighted price of {n} bars") for n in (5, 21, 63)),
    Feature("force_13", _CLOSE, 13, _force, "force index in volatilities and mean volumes"),
    Feature("ease_of_movement_14", _HLC, 26, _ease_of_movement, "ease of movement over squared range"),
    Feature("illiquidity_ratio_21_126", _CLOSE, 126, _illiquidity_ratio, "log of 21-bar over 126-bar illiquidity"),
    Feature("dollar_volume_contrast_21_126", _CLOSE, 125, _dollar_volume_contrast, "21-bar against 126-bar money traded, -1 to 1"),
    Feature("return_volume_correlation_63", _CLOSE, 63, _correlation(63, absolute=False), "correlation of returns with volume"),
    Feature("size_volume_correlation_63", _CLOSE, 63, _correlation(63, absolute=True), "correlation of absolute returns with volume"),
    Feature("volume_weighted_return_21", _CLOSE, 21, _weighted_return, "volume-weighted less plain mean return in volatilities"),
)
