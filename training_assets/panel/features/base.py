"""What a feature entry is: what it states of itself, and the two promises kept for every one of them.

Belongs here: the entry, the warm-up mask and the removal of values that are not finite. Does not: any formula.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.features.view import BarView
from training_assets.panel.panel import Bars

FeatureValues = NDArray[np.float64]

Clock = Literal["any", "intraday", "sessions"]

# Every feature is a ratio, so a magnitude beyond this is a division by almost nothing and no information.
MAX_MAGNITUDE = 1e6


@dataclass(frozen=True)
class Feature:
    """One built-in feature.

    Attributes
    ----------
    name : unique in the registry, lower case, spans in bars.
    inputs : the bar columns it reads, of `BAR_COLUMNS`; empty for the clock alone.
    lookback_bars : the oldest bar that the value at row r reads is r - lag_bars - lookback_bars of the symbol's own series.
        Cross-sectional entries read other symbols from the same bar count or the same time on, whichever is earlier, and the
        one bar of each just before it, from which its first return is counted. Indicators that smooth recursively never quite
        forget: for them it is the age at which a bar's weight has fallen below `indicators.RECURSION_FORGOTTEN`.
    compute : maps a `BarView` to shape (n_rows,); the value at a row uses bars up to and including that row only, which
        are known at the row's bar close.
    lag_bars : the newest bar read is r - lag_bars.
    cross_sectional : also reads other symbols' bars of the same time.
    clock : bars it has a meaning on: any, those shorter than a day, or those that are cut into several sessions.
    """

    name: str
    inputs: tuple[str, ...]
    lookback_bars: int
    compute: Callable[[BarView], FeatureValues]
    description: str
    lag_bars: int = 0
    cross_sectional: bool = False
    clock: Clock = "any"

    @property
    def reach_bars(self) -> int:
        """Age of the oldest bar read, in bars; so many first rows of each symbol are NaN."""
        return self.lookback_bars + self.lag_bars

    def build(self, source: Bars | BarView) -> FeatureValues:
        """Values on the rows of the bars.

        Parameters
        ----------
        source : bars, or a view of them when several features share its intermediate series.

        Returns
        -------
        Shape (n_rows,), row-aligned, known at each row's bar close; NaN in the first `reach_bars` rows of each symbol and
        where the formula divides by zero; never infinite.
        """
        view = source if isinstance(source, BarView) else BarView(source)
        with np.errstate(all="ignore"):
            values = np.array(self.compute(view), dtype=np.float64)
            values[(view.positions < self.reach_bars) | ~(np.abs(values) <= MAX_MAGNITUDE)] = np.nan
        return values
