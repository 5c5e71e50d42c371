"""Windows of bars ahead of, and behind, every row at once, and which of them are complete.

Belongs here: the arithmetic that all builders share. Does not: any target.

Windows are folded by doubling: a window of 2k bars is two neighbouring windows of k, so a window of h bars takes about log2(h)
passes over the panel, and its value depends on the bars in it and on nothing else, to the last bit. (Differences of
running sums would let a change far away move the rounding.) Arrays run over all symbols; what leaks over a symbol's
edge is cut off by `Windows.complete` and `Windows.position`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_assets.panel.panel import Bars
from training_assets.panel.targets.base import Labels

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
Parts = tuple[Values, ...]

OPEN, HIGH, LOW, CLOSE = range(4)


@dataclass(frozen=True)
class Windows:
    """The label windows of one horizon: for a row i, the bars i+1 .. i+horizon_bars of its symbol.

    Attributes
    ----------
    horizon_bars : length of the window in bars of the symbol's own series.
    position : shape (n_rows,), the row's place in its symbol's series, from 0.
    complete : shape (n_rows,), whether the whole window is there: within the symbol's series, within the row's session unless
        labels may cross sessions, and spanning at most `max_window_stretch` horizons of the market's calendar.
    end_codes : shape (n_rows,), time code of the window's last bar, -1 where not complete.
    """

    horizon_bars: int
    position: NDArray[np.int64]
    complete: Mask
    end_codes: NDArray[np.int32]

    def labels(self, values: Values, end_codes: NDArray[np.int32] | None = None) -> Labels:
        """Labels of these windows: null where the window is not complete or the value is not finite.

        `end_codes` replaces the window's own end where a label is known later than that.
        """
        ends = self.end_codes if end_codes is None else end_codes
        known = self.complete & np.isfinite(values)
        return Labels(np.where(known, values, np.nan), np.where(known, ends, -1).astype(np.int32))

    def classes(self, codes: NDArray[np.generic], known: Mask, end_codes: NDArray[np.int32] | None = None) -> Labels:
        """Labels from class codes, null where not `known`."""
        return self.labels(np.where(known, codes, np.nan).astype(np.float64), end_codes)


def label_windows(bars: Bars, horizon_bars: int, cross_sessions: bool, max_window_stretch: float) -> Windows:
    """The label windows of every row of `bars`; see `Windows`."""
    counts = np.diff(bars.symbol_offsets)
    starts = np.repeat(bars.symbol_offsets[:-1], counts)
    remaining = np.repeat(bars.symbol_offsets[1:], counts) - 1 - np.arange(bars.n_rows)
    complete = remaining >= horizon_bars
    last = np.minimum(np.arange(bars.n_rows) + horizon_bars, max(bars.n_rows - 1, 0))
    ends = bars.time_codes[last]
    complete &= (ends - bars.time_codes) <= max_window_stretch * horizon_bars
    if not cross_sessions:
        complete &= bars.session_codes[ends] == bars.session_codes[bars.time_codes]
    return Windows(horizon_bars, np.arange(bars.n_rows) - starts, complete, np.where(complete, ends, -1).astype(np.int32))


def ahead(values: Values, by: int) -> Values:
    """Shape (n_rows,): the value `by` rows later, NaN past the end."""
    moved = np.full_like(values, np.nan)
    if by < values.size:
        moved[: values.size - by] = values[by:]
    return moved


def behind(values: Values, by: int) -> Values:
    """Shape (n_rows,): the value `by` rows earlier, NaN before the start."""
    moved = np.full_like(values, np.nan)
    if by < values.size:
        moved[by:] = values[: values.size - by]
    return moved


def fold_from(parts: Parts, length: int, combine: Callable[[Parts, Parts], Parts]) -> Parts:
    """Combine the `length` values from each row on: rows i .. i+length-1.

    Parameters
    ----------
    parts : arrays of shape (n_rows,) that describe windows of one row.
    combine : associative; makes a window's parts of those of its earlier and its later half.

    Returns
    -------
    parts : the same for windows of `length` rows, NaN where they run past the end.
    """
    window, covered, doubled, width = parts, 0, parts, 1
    while True:
        if length & width:
            piece = doubled if covered == 0 else tuple(ahead(part, covered) for part in doubled)
            window = piece if covered == 0 else combine(window, piece)
            covered += width
        if covered == length:
            return window
        doubled = combine(doubled, tuple(ahead(part, width) for part in doubled))
        width *= 2


def max_ahead(values: Values, length: int) -> Values:
    """Largest value of the `length` rows after each row."""
    return ahead(fold_from((values,), length, lambda left, right: (np.maximum(left[0], right[0]),))[0], 1)


def min_ahead(values: Values, length: int) -> Values:
    """Smallest value of the `length` rows after each row."""
    return -max_ahead(-values, length)


def sum_ahead(values: Values, length: int) -> Values:
    """Sum of the `length` rows after each row."""
    return ahead(_sum_from(values, length), 1)


def sum_behind(values: Values, length: int) -> Values:
    """Sum of the last `length` rows up to and including each row; mind the symbol's edge (`Windows.position`)."""
    return behind(_sum_from(values, length), length - 1)


def bars_to_touch(path: Values, level: Values, horizon_bars: int) -> NDArray[np.int64]:
    """Bars until `path` first stands at or above `level`, in the window after each row.

    Found by descent through windows of halving length, so the cost grows with log2 of the horizon.

    Returns
    -------
    bars : shape (n_rows,), from 1; `horizon_bars + 1` where the window never gets there. Means nothing where the window is not complete.
    """
    peaks = [path]
    while 2 ** len(peaks) <= horizon_bars:
        peaks.append(np.maximum(peaks[-1], ahead(peaks[-1], 2 ** (len(peaks) - 1))))
    rows = np.arange(path.size)
    passed = np.zeros(path.size, np.int64)
    for power in reversed(range(len(peaks))):
        step = 2**power
        below = peaks[power][np.minimum(rows + passed + 1, max(path.size - 1, 0))] < level
        passed += np.where(below & (passed + step <= horizon_bars), step, 0)
    return passed + 1


def bar_returns(bars: Bars, cross_sessions: bool) -> Values:
    """Log return of each bar over the bar before it, known at the row's close; NaN on a symbol's first bar.

    Where labels stay within a session, the first bar of a session counts from its own open: the night is no part of what the
    label can do, and would inflate the volatility that scales it.
    """
    close = np.log(bars.values[CLOSE])
    returns: Values = close - behind(close, 1)
    if not cross_sessions:
        sessions = bars.session_codes[bars.time_codes]
        first = np.r_[True, sessions[1:] != sessions[:-1]] if sessions.size else np.zeros(0, bool)
        returns = np.where(first, close - np.log(bars.values[OPEN]), returns)
    returns[bars.symbol_offsets[:-1][np.diff(bars.symbol_offsets) > 0]] = np.nan
    return returns


def trailing_volatility(bars: Bars, span_bars: int, cross_sessions: bool) -> Values:
    """Root mean square of the last `span_bars` bar returns, the row's own included, per bar.

    Returns
    -------
    volatility : shape (n_rows,), > 0; NaN where fewer than `span_bars` returns are there, or where prices did not move.
    """
    squares = np.square(bar_returns(bars, cross_sessions))
    volatility: Values = np.sqrt(sum_behind(squares, span_bars) / span_bars)
    # A window that reaches over the symbol's edge holds its first bar, whose return is NaN, and is NaN by that.
    known: Values = np.where(volatility > 0, volatility, np.nan)
    return known


def _sum_from(values: Values, length: int) -> Values:
    return fold_from((values,), length, lambda left, right: (left[0] + right[0],))[0]
