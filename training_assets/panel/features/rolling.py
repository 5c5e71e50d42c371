"""Windows over a long array: the last n values of every row, combined without a loop over rows.

Belongs here: window arithmetic on plain arrays. Does not: bars, or any feature's formula.

A window is put together from blocks of 1, 2, 4, ... values, so n values take about 2 log2(n) passes over the array. Every value is
made by the same tree of operations from the window's own values and nothing else. Running sums would be faster, but carry the
rounding of every earlier row along, and that makes a row depend on bars outside its window: here a row does not change by one
bit when other symbols, later bars or bars before its window do.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatVector = NDArray[np.float64]
RowVector = NDArray[np.int64]
Block = tuple[FloatVector, ...]
Merge = Callable[[Block, int, Block, int], Block]

# Weight at which the windows of exponential means end.
FORGOTTEN = 1e-4


def shift(values: FloatVector, n_rows: int) -> FloatVector:
    """Values `n_rows` rows earlier; NaN in the first rows of the array. Symbols are not told apart."""
    if n_rows == 0:
        return values
    moved = np.empty_like(values)
    moved[:n_rows] = np.nan
    moved[n_rows:] = values[:-n_rows]
    return moved


def lagged(values: FloatVector, n_bars: int, positions: RowVector) -> FloatVector:
    """Values `n_bars` bars earlier within the symbol.

    Parameters
    ----------
    values : shape (n_rows,), symbol after symbol.
    n_bars : how far back, at least 1.
    positions : shape (n_rows,), bars since the symbol's first.

    Returns
    -------
    Shape (n_rows,); NaN where the symbol has no such bar.
    """
    moved = np.full_like(values, np.nan)
    moved[n_bars:] = values[:-n_bars]
    moved[positions < n_bars] = np.nan
    return moved


def fold_windows(block: Block, window: int, positions: RowVector, merge: Merge) -> Block:
    """Combine the last `window` values of every row.

    Parameters
    ----------
    block : arrays of shape (n_rows,), the state of a window of one value.
    window : number of values, at least 1.
    positions : shape (n_rows,), bars since the symbol's first.
    merge : `merge(recent, n_recent, older, n_older)` is the state of both windows together.

    Returns
    -------
    Arrays of shape (n_rows,); NaN where the symbol has fewer than `window` bars, or the window holds a NaN.
    """
    if window < 1:
        raise ValueError(f"window of {window} bars < 1")
    result: Block = ()
    covered, size = 0, 1
    while covered < window:
        if window & size:
            older = tuple(shift(part, covered) for part in block)
            result = merge(result, covered, older, size) if covered else older
            covered += size
        if covered < window:
            block = merge(block, size, tuple(shift(part, size) for part in block), size)
            size *= 2
    short = positions < window - 1
    return tuple(np.where(short, np.nan, part) for part in result)


def rolling_sum(values: FloatVector, window: int, positions: RowVector) -> FloatVector:
    """Sum of the last `window` values."""
    return fold_windows((values,), window, positions, lambda recent, _n, older, _m: (recent[0] + older[0],))[0]


def rolling_max(values: FloatVector, window: int, positions: RowVector) -> FloatVector:
    """Largest of the last `window` values."""
    return fold_windows((values,), window, positions, lambda recent, _n, older, _m: (np.maximum(recent[0], older[0]),))[0]


def rolling_min(values: FloatVector, window: int, positions: RowVector) -> FloatVector:
    """Smallest of the last `window` values."""
    return fold_windows((values,), window, positions, lambda recent, _n, older, _m: (np.minimum(recent[0], older[0]),))[0]


def rolling_moments(values: FloatVector, window: int, positions: RowVector) -> Block:
    """Mean, and sum of squared deviations from it, of the last `window` values (merged as in Chan, Golub and LeVeque 1983)."""
    return fold_windows((values, np.zeros_like(values)), window, positions, _merge_moments)


def rolling_std(values: FloatVector, window: int, positions: RowVector) -> FloatVector:
    """Sample standard deviation of the last `window` values; zero where they are equal."""
    return np.asarray(np.sqrt(rolling_moments(values, window, positions)[1] / (window - 1)))


def rolling_shape(values: FloatVector, window: int, positions: RowVector) -> tuple[FloatVector, FloatVector]:
    """Skewness and excess kurtosis of the last `window` values, by population moments; NaN where they are equal."""
    zeros = np.zeros_like(values)
    _, second, third, fourth = fold_windows((values, zeros, zeros, zeros), window, positions, _merge_four_moments)
    return np.sqrt(window) * third / (second * np.sqrt(second)), window * fourth / (second * second) - 3.0


def rolling_comoments(first: FloatVector, second: FloatVector, window: int, positions: RowVector) -> Block:
    """Means of both, sums of squares of both, and sum of products, all about the means, of the last `window` pairs of values."""
    zeros = np.zeros_like(first)
    return fold_windows((first, second, zeros, zeros, zeros), window, positions, _merge_comoments)


def rolling_correlation(first: FloatVector, second: FloatVector, window: int, positions: RowVector) -> FloatVector:
    """Correlation of the last `window` pairs of values; NaN where either does not vary."""
    _, _, squares, other_squares, products = rolling_comoments(first, second, window, positions)
    return np.asarray(np.clip(products / np.sqrt(squares * other_squares), -1.0, 1.0))


def rolling_slope(values: FloatVector, window: int, positions: RowVector) -> FloatVector:
    """Slope per bar of the least-squares line through the last `window` values."""
    total, by_age = fold_windows((values, np.zeros_like(values)), window, positions, _merge_by_age)
    # Ages run from 0 (the row itself) upwards, so the slope over time is minus the slope over age.
    return (total * ((window - 1) / 2) - by_age) / ((window**3 - window) / 12)


def rolling_ema(values: FloatVector, decay: float, window: int, positions: RowVector) -> FloatVector:
    """Mean of the last `window` values with weights `decay**age`, which sum to one inside the window."""

    def merge(recent: Block, n_recent: int, older: Block, _n_older: int) -> Block:
        return (recent[0] + decay**n_recent * older[0],)

    return fold_windows((values,), window, positions, merge)[0] * ((1.0 - decay) / (1.0 - decay**window))


def memory_bars(decay: float, forgotten: float = FORGOTTEN) -> int:
    """Bars after which the weight `decay**age` is below `forgotten`."""
    return math.ceil(math.log(forgotten) / math.log(decay))


def _merge_moments(recent: Block, n_recent: int, older: Block, n_older: int) -> Block:
    total = n_recent + n_older
    delta = older[0] - recent[0]
    return recent[0] + delta * (n_older / total), recent[1] + older[1] + delta * delta * (n_recent * n_older / total)


def _merge_comoments(recent: Block, n_recent: int, older: Block, n_older: int) -> Block:
    total = n_recent + n_older
    share, weight = n_older / total, n_recent * n_older / total
    delta, other = older[0] - recent[0], older[1] - recent[1]
    return (
        recent[0] + delta * share,
        recent[1] + other * share,
        recent[2] + older[2] + delta * delta * weight,
        recent[3] + older[3] + other * other * weight,
        recent[4] + older[4] + delta * other * weight,
    )


def _merge_four_moments(recent: Block, n_recent: int, older: Block, n_older: int) -> Block:
    """Source: Pebay 2008, Formulas for robust, one-pass parallel computation of covariances and arbitrary-order moments, eq. 2.1."""
    total = n_recent + n_older
    (mean_a, m2_a, m3_a, m4_a), (mean_b, m2_b, m3_b, m4_b) = recent, older
    delta = mean_b - mean_a
    step = delta / total
    square = step * step  # numpy's general power is twenty times slower than a product
    mean = mean_a + step * n_older
    m2 = m2_a + m2_b + delta * step * (n_recent * n_older)
    m3 = m3_a + m3_b + delta * square * (n_recent * n_older * (n_recent - n_older)) + 3.0 * step * (n_recent * m2_b - n_older * m2_a)
    m4 = (
        m4_a
        + m4_b
        + delta * square * step * (n_recent * n_older * (n_recent**2 - n_recent * n_older + n_older**2))
        + 6.0 * square * (n_recent**2 * m2_b + n_older**2 * m2_a)
        + 4.0 * step * (n_recent * m3_b - n_older * m3_a)
    )
    return mean, m2, m3, m4


def _merge_by_age(recent: Block, n_recent: int, older: Block, _n_older: int) -> Block:
    return recent[0] + older[0], recent[1] + older[1] + n_recent * older[0]
