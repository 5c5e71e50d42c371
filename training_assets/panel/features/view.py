"""What feature formulas see: bars, the series many formulas share, and windows that stay inside a symbol.

Belongs here: series that several features read, computed once for the bars given and kept with the view. Does not: any feature.
A view lives as long as one build; nothing is kept anywhere else.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.features import rolling
from training_assets.panel.features.rolling import FloatVector, RowVector
from training_assets.panel.panel import BAR_COLUMNS, Bars

# A cross-section of fewer symbols has no ranks or dispersion worth the name.
MIN_SYMBOLS = 3


@dataclass(frozen=True)
class BarView:
    """Bars with shared series; every array has shape (n_rows,), row-aligned with the bars, unless it says otherwise."""

    bars: Bars

    @property
    def open(self) -> FloatVector:
        return self.column("open")

    @property
    def high(self) -> FloatVector:
        return self.column("high")

    @property
    def low(self) -> FloatVector:
        return self.column("low")

    @property
    def close(self) -> FloatVector:
        return self.column("close")

    @property
    def volume(self) -> FloatVector:
        return self.column("volume")

    def column(self, name: str) -> FloatVector:
        """One of `BAR_COLUMNS` by name."""
        values: FloatVector = self.bars.values[BAR_COLUMNS.index(name)]
        return values

    @cached_property
    def positions(self) -> RowVector:
        """Bars since the symbol's first."""
        offsets = self.bars.symbol_offsets
        return np.arange(self.bars.n_rows) - np.repeat(offsets[:-1], np.diff(offsets))

    @cached_property
    def log_close(self) -> FloatVector:
        return np.log(self.close)

    @cached_property
    def returns(self) -> FloatVector:
        """Log return from the symbol's previous close."""
        return self.log_close - self.lagged(self.log_close, 1)

    @cached_property
    def true_range(self) -> FloatVector:
        """Range of the bar with the previous close in it, as a fraction of the previous close (Wilder 1978)."""
        previous = self.lagged(self.close, 1)
        return (np.maximum(self.high, previous) - np.minimum(self.low, previous)) / previous

    @cached_property
    def volatility_21(self) -> FloatVector:
        """Standard deviation of the last 21 returns; reaches 21 bars back."""
        return self.std(self.returns, 21)

    @cached_property
    def market_by_time(self) -> FloatVector:
        """Shape (n_times,): mean return over the symbols that have a bar at the time; NaN below `MIN_SYMBOLS`."""
        return self.cross_mean_by_time(self.returns)

    @cached_property
    def market_returns(self) -> FloatVector:
        """The market's return at the row's time."""
        return self.market_by_time[self.bars.time_codes]

    def lagged(self, values: FloatVector, n_bars: int) -> FloatVector:
        """Values `n_bars` bars earlier in the symbol's own series."""
        return rolling.lagged(values, n_bars, self.positions)

    def total(self, values: FloatVector, window: int) -> FloatVector:
        return rolling.rolling_sum(values, window, self.positions)

    def mean(self, values: FloatVector, window: int) -> FloatVector:
        return rolling.rolling_sum(values, window, self.positions) / window

    def std(self, values: FloatVector, window: int) -> FloatVector:
        return rolling.rolling_std(values, window, self.positions)

    def maximum(self, values: FloatVector, window: int) -> FloatVector:
        return rolling.rolling_max(values, window, self.positions)

    def minimum(self, values: FloatVector, window: int) -> FloatVector:
        return rolling.rolling_min(values, window, self.positions)

    def slope(self, values: FloatVector, window: int) -> FloatVector:
        return rolling.rolling_slope(values, window, self.positions)

    def correlation(self, first: FloatVector, second: FloatVector, window: int) -> FloatVector:
        return rolling.rolling_correlation(first, second, window, self.positions)

    def ema(self, values: FloatVector, decay: float) -> FloatVector:
        """Exponential mean that ends where the weight is forgotten: `rolling.memory_bars(decay)` bars."""
        return rolling.rolling_ema(values, decay, rolling.memory_bars(decay), self.positions)

    def cross_mean_by_time(self, values: FloatVector) -> FloatVector:
        """Shape (n_times,): mean over the symbols known at each time; NaN below `MIN_SYMBOLS`."""
        known = np.isfinite(values)
        codes, n_times = self.bars.time_codes, self.bars.times_ns.size
        counts = np.bincount(codes[known], minlength=n_times)
        totals = np.bincount(codes[known], weights=values[known], minlength=n_times)
        return np.where(counts >= MIN_SYMBOLS, totals / np.maximum(counts, 1), np.nan)

    def cross_mean(self, values: FloatVector) -> FloatVector:
        """Mean over the symbols known at the row's time."""
        return self.cross_mean_by_time(values)[self.bars.time_codes]

    def cross_std(self, values: FloatVector) -> FloatVector:
        """Standard deviation over the symbols known at the row's time."""
        squared = (values - self.cross_mean(values)) ** 2
        return np.sqrt(self.cross_mean(squared))

    def cross_rank(self, values: FloatVector) -> FloatVector:
        """Rank among the symbols known at the row's time, from -1 (smallest) to 1; ties share their mean rank; NaN below `MIN_SYMBOLS`."""
        ranks = np.full(values.size, np.nan)
        rows = np.flatnonzero(np.isfinite(values))
        if rows.size == 0:
            return ranks
        codes = self.bars.time_codes[rows]
        order = np.lexsort((values[rows], codes))
        codes, rows = codes[order], rows[order]
        starts, counts = _runs(np.r_[True, codes[1:] != codes[:-1]])
        ordered = values[rows]
        tie_starts, tie_counts = _runs(np.r_[True, (codes[1:] != codes[:-1]) | (ordered[1:] != ordered[:-1])])
        middle = np.repeat(tie_starts + (tie_counts - 1) / 2, tie_counts)
        size = np.repeat(counts, counts)
        place = (middle - np.repeat(starts, counts)) / np.maximum(size - 1, 1)
        ranks[rows] = np.where(size >= MIN_SYMBOLS, 2.0 * place - 1.0, np.nan)
        return ranks


def _runs(first: NDArray[np.bool_]) -> tuple[RowVector, RowVector]:
    """Start and length of each run, from flags that mark where one begins."""
    starts = np.flatnonzero(first)
    return starts, np.diff(np.append(starts, first.size))
