"""Ranks of every feature on the audited rows, computed once for all targets and detectors.

Belongs here: rank transforms, lags within a symbol, correlations of all features with many columns at once. Does not: any bound or finding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.panel import Panel
from training_assets.panel.targets.windows import behind

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

MIN_PAIRS = 30
FEATURES_AT_ONCE = 32  # whose squares and known rows are held in full width at once
# Trailing moves over so many bars, up to twice the longest horizon and at least to `LEAST_TREND_BARS`.
TREND_BARS = (1, 2, 3, 5, 10, 21, 42, 84, 168, 336)
LEAST_TREND_BARS = 21
# A symbol with fewer rows than this has no ranks of its own worth the name.
MIN_SYMBOL_ROWS = 50


@dataclass(frozen=True)
class Evidence:
    """Features on the audited rows, as ranks.

    Attributes
    ----------
    panel : all rows.
    rows : shape (n,), panel rows before the holdout, symbol after symbol, time ascending, thinned to whole timestamps.
    """

    panel: Panel
    rows: Rows

    @cached_property
    def symbol_codes(self) -> NDArray[np.int64]:
        """Shape (n,), symbol of each audited row."""
        return np.searchsorted(self.panel.symbol_offsets, self.rows, side="right") - 1

    @cached_property
    def ranks(self) -> Floats:
        """Shape (n_features, n), ranks over all audited rows with mean 0 and variance 1; 0 where not known."""
        out = np.empty((len(self.panel.features), self.rows.size), np.float32)
        for into, column in zip(out, self.panel.features, strict=True):
            into[:] = standard_ranks(column[self.rows])
        return np.nan_to_num(out, copy=False)

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Shape (n_features, n), where the feature is known."""
        out = np.empty((len(self.panel.features), self.rows.size), np.bool_)
        for into, column in zip(out, self.panel.features, strict=True):
            np.isfinite(column[self.rows], out=into)
        return out

    @cached_property
    def own_ranks(self) -> Floats:
        """Shape (n_features, n), `ranks` with each symbol's mean taken off and its deviation made 1; 0 where not known."""
        out = np.empty_like(self.ranks)
        for code in range(len(self.panel.symbols)):
            part = self.part(code)
            known, values = self.known[:, part], self.ranks[:, part]
            count = np.maximum(known.sum(axis=1, keepdims=True, dtype=np.float32), np.float32(1.0))
            centred = (values - values.sum(axis=1, keepdims=True) / count) * known
            deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
            out[:, part] = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-4)
        return out

    def part(self, symbol_code: int) -> slice:
        """Positions in `rows` of one symbol."""
        first, last = np.searchsorted(self.rows, self.panel.symbol_offsets[symbol_code : symbol_code + 2])
        return slice(int(first), int(last))

    @cached_property
    def n_times(self) -> int:
        """Distinct timestamps between the first and the last audited row, thinned ones included."""
        codes = self.panel.time_codes[self.rows]
        return int(codes.max() - codes.min()) + 1 if codes.size else 0

    def effective_times(self, horizon_bars: int) -> float:
        """Timestamps whose labels do not overlap: rows of one timestamp count once, since symbols move together."""
        return min(self.n_times / max(horizon_bars, 1), float(np.unique(self.panel.time_codes[self.rows]).size))

    def labels(self, target_code: int) -> NDArray[np.float32]:
        """Shape (n_rows,), the label's ranks (mean 0, variance 1) on every panel row whose label is known before the holdout, NaN elsewhere."""
        ends = self.panel.label_end_codes[target_code]
        usable = (ends >= 0) & (ends < self.panel.holdout_start_code)
        return standard_ranks(np.where(usable, self.panel.labels[target_code], np.nan))

    def own_labels(self, target_code: int) -> Floats:
        """The same within each symbol."""
        return self.within_symbols(self.labels(target_code))

    def within_symbols(self, values: Floats) -> Floats:
        """Shape (n_rows,): values of the whole panel with each symbol's mean taken off and its deviation made 1."""
        out = np.full(values.size, np.nan, np.float32)
        for start, stop in zip(self.panel.symbol_offsets[:-1], self.panel.symbol_offsets[1:], strict=True):
            part = values[start:stop]
            known = np.isfinite(part)
            deviation = part[known].std() if known.sum() > 1 else 0.0
            out[start:stop] = (part - part[known].mean()) / deviation if deviation > 1e-4 else np.nan
        return out

    def lagged(self, values: NDArray[np.floating], lags: Sequence[int]) -> Floats:
        """Shape (n, n_lags): values of the whole panel `lag` bars later in the symbol's own series (earlier where negative), on the audited rows."""
        out = np.full((self.rows.size, len(lags)), np.nan, np.float32)
        first, last = self.panel.symbol_offsets[self.symbol_codes], self.panel.symbol_offsets[self.symbol_codes + 1]
        for position, lag in enumerate(lags):
            moved = self.rows + lag
            inside = (moved >= first) & (moved < last)
            out[inside, position] = values[moved[inside]]
        return out

    def correlations(self, columns: Floats, own: bool = False) -> NDArray[np.float64]:
        """Correlation of every feature with every column over the rows where both are known.

        Parameters
        ----------
        columns : shape (n, n_columns), row-aligned with `rows`, NaN where not known.
        own : within symbols (`own_ranks`) instead of over all rows.

        Returns
        -------
        Shape (n_features, n_columns), in [-1, 1]; 0 where fewer than `MIN_PAIRS` rows are known or nothing varies.
        """
        return _correlations(self.own_ranks if own else self.ranks, self.known, columns)

    def correlations_of_symbol(self, symbol_code: int, column: Floats) -> NDArray[np.float64]:
        """Shape (n_features,): the same for one column on one symbol's rows; 0 below `MIN_SYMBOL_ROWS` rows."""
        part = self.part(symbol_code)
        if part.stop - part.start < MIN_SYMBOL_ROWS:
            return np.zeros(self.ranks.shape[0])
        return _correlations(self.ranks[:, part], self.known[:, part], column[part, None])[:, 0]

    @cached_property
    def bar_returns(self) -> NDArray[np.float64]:
        """Shape (n_rows,), log return of each bar from the symbol's previous close; NaN at a symbol's first bar and in the holdout."""
        close = np.where(self.panel.time_codes < self.panel.holdout_start_code, np.log(np.asarray(self.panel.bar_values[3], np.float64)), np.nan)
        returns = close - behind(close, 1)
        returns[self.panel.symbol_offsets[:-1][np.diff(self.panel.symbol_offsets) > 0]] = np.nan
        return returns

    def trailing_sums(self, values: NDArray[np.float64], n_bars: int) -> NDArray[np.float64]:
        """Shape (n_rows,): sum of the last `n_bars` values of the symbol's own series, the row's among them."""
        known = np.isfinite(values)
        sums, counts = np.r_[0.0, np.cumsum(np.where(known, values, 0.0))], np.r_[0, np.cumsum(known)]
        first = np.arange(values.size) - n_bars + 1
        inside = first >= np.repeat(self.panel.symbol_offsets[:-1], np.diff(self.panel.symbol_offsets))
        last, first = np.arange(values.size) + 1, np.maximum(first, 0)
        return np.asarray(np.where(inside & (counts[last] - counts[first] == n_bars), sums[last] - sums[first], np.nan))

    @cached_property
    def known_trends(self) -> Floats:
        """Shape (n, n_trends), ranks of trailing returns and of trailing absolute returns, all known at the row's close."""
        longest = max(LEAST_TREND_BARS, 2 * max((info.horizon_bars for info in self.panel.target_infos), default=1))
        spans = [n_bars for n_bars in TREND_BARS if n_bars <= longest]
        series = [self.trailing_sums(values, n_bars) for n_bars in spans for values in (self.bar_returns, np.abs(self.bar_returns))]
        return np.stack([standard_ranks(one[self.rows]) for one in series], axis=1)

    @cached_property
    def own_known_trends(self) -> Floats:
        """`known_trends` with each symbol's mean taken off and its deviation made 1."""
        return self.standard_within(self.known_trends.T).T

    def standard_within(self, columns: Floats) -> Floats:
        """Shape (n_columns, n): columns on the audited rows with each symbol's mean taken off and its deviation made 1; NaN where not known.

        A symbol on which fewer than `MIN_PAIRS` values of a column are known, or on which it does not vary, has NaN there.
        """
        out = np.full_like(columns, np.nan)
        for code in range(len(self.panel.symbols)):
            part = columns[:, self.part(code)]
            known = np.isfinite(part)
            count = known.sum(axis=1, keepdims=True)
            centred = part - np.where(known, part, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
            deviation = np.sqrt(np.where(known, centred**2, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1))
            usable = (count >= MIN_PAIRS) & (deviation > 1e-4)
            out[:, self.part(code)] = np.where(usable, centred / np.where(usable, deviation, 1.0), np.nan)
        return out

    def honest_correlation(self, label: Floats, horizon_bars: int) -> float:
        """Largest absolute rank correlation of a label with what is known at its row without any feature: its own past, and trailing moves.

        Near 0 for returns, .4 and more for volatility: how predictable a label is without a leak.
        """
        past = self.lagged(label, (-horizon_bars, -2 * horizon_bars))
        columns = np.concatenate([past, self.known_trends], axis=1)
        return float(_best_of(columns, label[self.rows, None])[0])

    def trend_correlations(self, columns: Floats, n_effective: float) -> NDArray[np.float64]:
        """Shape (n_columns,): multiple correlation, within symbols, of each column with all trailing moves known at the row, adjusted for their number."""
        known = np.isfinite(self.own_known_trends).all(axis=1)
        x = self.own_known_trends[known].astype(np.float64)
        mask = np.isfinite(columns[known])
        y = np.where(mask, columns[known], 0.0).astype(np.float64)
        if x.shape[0] < MIN_PAIRS:
            return np.zeros(columns.shape[1])
        # Rows without a label count as the mean: they are few, and the same for the features held against this number.
        weights = np.linalg.solve(x.T @ x + 1e-6 * x.shape[0] * np.eye(x.shape[1]), x.T @ y)
        explained = (weights * (x.T @ y)).sum(axis=0) / np.maximum((y * y).sum(axis=0), 1e-12)
        spare = max(n_effective - x.shape[1] - 1.0, 1.0)
        adjusted = 1.0 - (1.0 - explained) * (max(n_effective, 2.0) - 1.0) / spare
        single = _best_of(self.own_known_trends, columns)
        return np.asarray(np.maximum(np.sqrt(np.clip(adjusted, 0.0, 1.0)), single))


def standard_ranks(values: NDArray[np.floating]) -> Floats:
    """Midranks of the finite values with mean 0 and variance 1; NaN where not finite or where nothing varies."""
    out = np.full(values.size, np.nan, np.float32)
    known = np.flatnonzero(np.isfinite(values))
    if known.size < 2:
        return out
    order = np.argsort(values[known])
    ordered = values[known][order]
    new = np.r_[True, ordered[1:] != ordered[:-1]]
    starts = np.flatnonzero(new)
    middles = 0.5 * (starts + np.r_[starts[1:], known.size] - 1)
    ranks = np.empty(known.size)
    ranks[order] = middles[np.cumsum(new) - 1]
    ranks -= ranks.mean()
    deviation = ranks.std()
    if deviation > 0:
        out[known] = ranks / deviation
    return out


def _best_of(known_columns: Floats, columns: Floats) -> NDArray[np.float64]:
    known = np.isfinite(known_columns)
    table = _correlations(np.where(known, known_columns, 0.0).T.astype(np.float32), known.T, columns)
    return np.asarray(np.abs(table).max(axis=0, initial=0.0))


def _correlations(z: Floats, known: NDArray[np.bool_], columns: Floats) -> NDArray[np.float64]:
    mask = np.isfinite(columns)
    y, m = np.where(mask, columns, 0.0).astype(np.float32), mask.astype(np.float32)
    out = np.zeros((z.shape[0], columns.shape[1]))
    for first in range(0, z.shape[0], FEATURES_AT_ONCE):
        some = slice(first, first + FEATURES_AT_ONCE)
        out[some] = _correlations_of_some(z[some], known[some].astype(np.float32), y, m)
    return out


def _correlations_of_some(z: Floats, known: Floats, y: Floats, m: Floats) -> NDArray[np.float64]:
    n = (known @ m).astype(np.float64)
    safe = np.maximum(n, 1.0)
    z_mean, y_mean = (z @ m) / safe, (known @ y) / safe
    covariance = (z @ y) / safe - z_mean * y_mean
    z_variance, y_variance = ((z * z) @ m) / safe - z_mean**2, (known @ (y * y)) / safe - y_mean**2
    scale = np.sqrt(np.maximum(z_variance, 0.0) * np.maximum(y_variance, 0.0))
    usable = (n >= MIN_PAIRS) & (scale > 1e-6)
    return np.asarray(np.clip(np.divide(covariance, scale, out=np.zeros_like(covariance), where=usable), -1.0, 1.0))
