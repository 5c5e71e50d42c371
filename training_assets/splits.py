"""Purged, embargoed folds on unique timestamps, the splits inside a training window, and the holdout.

Belongs here: which rows a fit may see and which it is scored on. Does not: scores, or anything that reads a feature.

Time is counted in time codes: positions on the panel's common calendar. A row of time code t decides at the close of bar t and
its label is known at the close of bar e, so its label interval is (t, e]; -1 as e means no label. A row may train beside a
test row (u, v] where the intervals are disjoint: e <= u or t >= v. Source: Lopez de Prado 2018, ch. 7; folds are
cut on time codes, so that no timestamp lies on both sides, whatever the symbols.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from config.sections.splits import SplitConfig

Codes = NDArray[np.int32]
Mask = NDArray[np.bool_]

NO_LIMIT = int(np.iinfo(np.int32).max)


class SplitError(ValueError):
    """Time that cannot be cut as asked; the message says what there is, what is needed, and which setting to change."""


@dataclass(frozen=True)
class Fold:
    """One test block of time codes [test_start, test_stop), and what keeps training away from it.

    Attributes
    ----------
    test_start, test_stop : the block.
    train_after_from : first time code after the block that may train, were no label of the block longer than `purge_codes`; None where
        nothing after the block trains (walk-forward).
    purge_codes : rows this close before the block do not train, however short their own labels are.
    gap_codes : kept free between the last test label's end and the first row that trains after it: look-back and embargo.
    label_stop : no row takes part whose label is known at this time code or later; the start of the holdout.
    """

    test_start: int
    test_stop: int
    train_after_from: int | None
    purge_codes: int
    gap_codes: int = 0
    label_stop: int = NO_LIMIT

    @property
    def known_until(self) -> int:
        """Last time code at whose close a label may be known to a fit beside the block."""
        return self.test_start if self.train_after_from is None else self.label_stop - 1

    def train_mask(self, time_codes: Codes, label_end_codes: Codes, lookback_start_codes: Codes | None = None) -> Mask:
        """Rows that may train: labelled, and with label, look-back and embargo clear of every test label of the block.

        Parameters
        ----------
        time_codes, label_end_codes : shape (n_rows,), all rows that are trained or scored together.
        lookback_start_codes : shape (n_rows,) or None, the oldest bar that a row's features see (`lookback_start_codes`). With missing bars a
            look-back spans more of the calendar than it has bars; without this array it is taken to span as many.

        Returns
        -------
        mask : shape (n_rows,).
        """
        usable = (label_end_codes >= 0) & (label_end_codes < self.label_stop)
        before = (label_end_codes <= self.test_start) & (time_codes <= self.test_start - self.purge_codes)
        if self.train_after_from is None:
            return usable & before
        # Missing bars stretch labels over more of the calendar than their horizon: the block ends where its last label does.
        test_ends = label_end_codes[self.test_mask(time_codes, label_end_codes)]
        reach = max(int(test_ends.max(initial=-1)), self.test_stop - 1)
        after = time_codes >= max(self.train_after_from, reach + self.gap_codes)
        if lookback_start_codes is not None:
            after &= lookback_start_codes > reach
        return usable & (before | after)

    def test_mask(self, time_codes: Codes, label_end_codes: Codes) -> Mask:
        """Rows that are scored: inside the block, with a label that is known before the holdout."""
        in_block = (time_codes >= self.test_start) & (time_codes < self.test_stop)
        return in_block & (label_end_codes >= 0) & (label_end_codes < self.label_stop)


@dataclass(frozen=True)
class FoldRows:
    """A fold with its rows, as masks of shape (n_rows,)."""

    fold: Fold
    train: Mask
    test: Mask


def holdout_start(n_times: int, config: SplitConfig) -> int:
    """First time code of the holdout, of `n_times` on the calendar."""
    return round(n_times * (1.0 - config.holdout_fraction))


def pre_holdout_mask(holdout_start_code: int, label_end_codes: Codes) -> Mask:
    """Rows whose label is known before the holdout begins: all that anything before the routing report may read."""
    return (label_end_codes >= 0) & (label_end_codes < holdout_start_code)


def holdout_mask(holdout_start_code: int, time_codes: Codes, label_end_codes: Codes) -> Mask:
    """Labelled rows inside the holdout; rows before it whose label reaches into it belong to neither side."""
    return (label_end_codes >= 0) & (time_codes >= holdout_start_code)


def make_folds(holdout_start_code: int, horizon_bars: int, lookback_bars: int, config: SplitConfig) -> tuple[Fold, ...]:
    """Folds of equal width over the time codes before the holdout.

    Parameters
    ----------
    holdout_start_code : first time code that no fold may touch, by row or by label.
    horizon_bars : label reach of the target; the purge is the larger of it and `splits.purge_bars`.
    lookback_bars : longest feature look-back; k-fold training after a block starts beyond it and `splits.embargo_bars`.

    Raises
    ------
    SplitError
        Fewer time codes than folds.
    """
    purge = max(horizon_bars, config.purge_bars or 0)
    walks = config.scheme == "walk_forward"
    first = round(holdout_start_code * config.min_train_fraction) if walks else 0
    if holdout_start_code - first < config.n_folds:
        raise SplitError(
            f"{holdout_start_code - first} timestamps to test on before the holdout < splits.n_folds {config.n_folds} (config/training.yaml); "
            "supply more history, or lower splits.n_folds, splits.min_train_fraction or splits.holdout_fraction"
        )
    gap = lookback_bars + config.embargo_bars
    edges = np.linspace(first, holdout_start_code, config.n_folds + 1).round().astype(int).tolist()
    return tuple(Fold(start, stop, None if walks else stop + purge + gap, purge, gap, holdout_start_code) for start, stop in pairwise(edges))


def usable_folds(
    folds: tuple[Fold, ...], time_codes: Codes, label_end_codes: Codes, min_train_rows: int, lookback_start_codes: Codes | None = None
) -> tuple[FoldRows, ...]:
    """The folds that have rows to test and at least `min_train_rows` to train on, with their masks.

    A symbol that starts late has no rows before the early blocks: those folds fall away for it, and none may be left.
    """
    rows = (FoldRows(fold, fold.train_mask(time_codes, label_end_codes, lookback_start_codes), fold.test_mask(time_codes, label_end_codes)) for fold in folds)
    return tuple(held for held in rows if held.test.any() and int(np.count_nonzero(held.train)) >= min_train_rows)


def inner_split(time_codes: Codes, label_end_codes: Codes, train_mask: Mask, fraction: float, purge_codes: int = 0) -> tuple[Mask, Mask]:
    """Cut the last `fraction` of a training window's timestamps off, purged, for early stopping and the choice of strengths.

    Parameters
    ----------
    time_codes, label_end_codes : shape (n_rows,).
    train_mask : shape (n_rows,), the rows of the training window.
    fraction : share of its distinct time codes that the inner part takes, in (0, 1).
    purge_codes : rows this close before the inner part are not fitted, however short their own labels are.

    Returns
    -------
    fit_mask : shape (n_rows,), training rows whose label is known by the close of the inner part's first bar, and that lie a purge before it.
    inner_mask : shape (n_rows,), training rows from that bar on. Either is empty where the window has fewer than two timestamps.
    """
    usable = train_mask & (label_end_codes >= 0)
    start = _last_share_start(time_codes[usable], fraction)
    fit = usable & (time_codes < start) & (time_codes <= start - purge_codes) & (label_end_codes <= start)
    return fit, usable & (time_codes >= start)


def oos_split(time_codes: Codes, label_end_codes: Codes, holdout_start_code: int, fraction: float, purge_codes: int = 0) -> tuple[Mask, Mask]:
    """Cut a job's rows before the holdout into the window it is fitted on and the last `fraction` it is scored on.

    Parameters
    ----------
    time_codes, label_end_codes : shape (n_rows,), the job's rows; the share is of their own timestamps, so that a short symbol has both parts.
    holdout_start_code : first time code of the holdout; rows whose label is known there or later are on neither side.
    fraction : `training.oos_fraction`, in (0, 1).
    purge_codes : rows this close before the scored part are not fitted, however short their own labels are.

    Returns
    -------
    fit_mask, oos_mask : shape (n_rows,).
    """
    usable = pre_holdout_mask(holdout_start_code, label_end_codes)
    start = _last_share_start(time_codes[usable], fraction)
    fit = usable & (time_codes < start) & (time_codes <= start - purge_codes) & (label_end_codes <= start)
    return fit, usable & (time_codes >= start)


def lookback_start_codes(time_codes: Codes, symbol_offsets: NDArray[np.int64], lookback_bars: int) -> Codes:
    """Time code of the oldest bar that features of `lookback_bars` bars see from each row; a symbol's first bar where it has fewer.

    Parameters
    ----------
    time_codes : shape (n_rows,), symbol after symbol.
    symbol_offsets : shape (n_symbols + 1,).
    """
    starts = np.repeat(symbol_offsets[:-1], np.diff(symbol_offsets))
    oldest: Codes = time_codes[np.maximum(np.arange(time_codes.size) - max(lookback_bars - 1, 0), starts)]
    return oldest


def _last_share_start(codes: Codes, fraction: float) -> int:
    """First of the last `fraction` of the distinct codes, at least one of them, and not all."""
    if codes.size == 0:
        return 0
    present = np.zeros(int(codes.max()) + 1, bool)
    present[codes] = True
    distinct = np.flatnonzero(present)
    n_last = min(max(1, round(distinct.size * fraction)), max(1, distinct.size - 1))
    return int(distinct[-n_last])
