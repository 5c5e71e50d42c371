"""How much of its own each label says: average uniqueness of overlapping labels, and the effective sample it adds up to.

Belongs here: weights from label intervals. Does not: labels, or what a fit makes of a weight.

Source: Lopez de Prado 2018, ch. 4. The concurrency of a bar is the number of labels whose interval holds it; the
uniqueness of a label is the mean of 1/concurrency over its interval. Labels of h bars on every row come to about n/h.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def average_uniqueness(time_codes: NDArray[np.int32], label_end_codes: NDArray[np.int32]) -> NDArray[np.float32]:
    """Average uniqueness of the labels of one symbol.

    Parameters
    ----------
    time_codes : shape (n_rows,), the rows' time codes.
    label_end_codes : shape (n_rows,), time code at whose close the label is known, -1 for rows that do not count (no label, or not in the
        fit: overlap with a row nobody uses costs nothing). The interval of a row is (time code, end code].

    Returns
    -------
    uniqueness : shape (n_rows,), in (0, 1]; 0 for rows that do not count.
    """
    uniqueness = np.zeros(time_codes.size, np.float32)
    counts = label_end_codes > time_codes
    if not counts.any():
        return uniqueness
    first, last = time_codes[counts].astype(np.int64), label_end_codes[counts].astype(np.int64)
    origin = int(first.min())
    first, last = first - origin, last - origin
    n_bars = int(last.max()) + 2
    # A label is alive on bars first+1 .. last: one more from the bar after the row, one fewer from the bar after the end.
    concurrency = np.cumsum(np.bincount(first + 1, minlength=n_bars) - np.bincount(last + 1, minlength=n_bars))
    shares = np.cumsum(np.divide(1.0, concurrency, out=np.zeros(n_bars), where=concurrency > 0))
    uniqueness[counts] = (shares[last] - shares[first]) / (last - first)
    return uniqueness


def panel_uniqueness(time_codes: NDArray[np.int32], label_end_codes: NDArray[np.int32], symbol_offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Average uniqueness within each symbol of a panel; see `average_uniqueness`.

    Parameters
    ----------
    time_codes, label_end_codes : shape (n_rows,), symbol after symbol.
    symbol_offsets : shape (n_symbols + 1,); the rows of symbol s are `symbol_offsets[s]:symbol_offsets[s + 1]`.

    Returns
    -------
    uniqueness : shape (n_rows,). Labels of different symbols count as separate, though they move together.
    """
    uniqueness = np.zeros(time_codes.size, np.float32)
    for start, stop in pairwise(symbol_offsets.tolist()):
        uniqueness[start:stop] = average_uniqueness(time_codes[start:stop], label_end_codes[start:stop])
    return uniqueness


def effective_sample_size(uniqueness: NDArray[np.float32]) -> float:
    """Number of labels that do not overlap and say as much: the sum of the uniqueness."""
    return float(uniqueness.sum(dtype=np.float64))
