"""Purged, embargoed folds on unique timestamps, and the holdout.

Belongs here: which rows a fit may see and which it is scored on. Does not: scores, or anything that reads a feature.
Source: Lopez de Prado 2018, ch. 7; folds are cut on time codes, so that no timestamp lies on both sides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.sections.splits import SplitConfig


@dataclass(frozen=True)
class Fold:
    """One test block of time codes [test_start, test_stop) and the rules that keep training away from it.

    A row trains if its label is known by `test_start - purge_codes`... see `train_mask`; `after_start` is the first time code after the block that may train
    (label reach, look-back and embargo counted); walk-forward folds never train after the block.
    """

    test_start: int
    test_stop: int
    train_after_from: int | None
    purge_codes: int

    def train_mask(self, time_codes: NDArray[np.int32], label_end_codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Rows that may train: labelled, and their label interval, look-back and embargo clear of the test block."""
        labelled = label_end_codes >= 0
        before = (label_end_codes <= self.test_start) & (time_codes + self.purge_codes <= self.test_start)
        if self.train_after_from is None:
            return labelled & before
        return labelled & (before | (time_codes >= self.train_after_from))

    def test_mask(self, time_codes: NDArray[np.int32], label_end_codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Rows that are scored: labelled and inside the block."""
        return (label_end_codes >= 0) & (time_codes >= self.test_start) & (time_codes < self.test_stop)


def holdout_start(n_times: int, config: SplitConfig) -> int:
    """First time code of the holdout."""
    return int(round(n_times * (1.0 - config.holdout_fraction)))


def make_folds(holdout_start_code: int, horizon_bars: int, lookback_bars: int, config: SplitConfig) -> tuple[Fold, ...]:
    """Folds over the time codes before the holdout.

    Parameters
    ----------
    holdout_start_code : first time code no fold may touch.
    horizon_bars : label reach of the target; purge is the larger of it and `splits.purge_bars`.
    lookback_bars : longest feature look-back; k-fold training after a block starts beyond it.
    """
    purge = max(horizon_bars, config.purge_bars or 0)
    first = int(round(holdout_start_code * config.min_train_fraction)) if config.scheme == "walk_forward" else 0
    edges = np.linspace(first, holdout_start_code, config.n_folds + 1).round().astype(int)
    folds = []
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        after = None if config.scheme == "walk_forward" else int(stop) + purge + lookback_bars + config.embargo_bars
        folds.append(Fold(int(start), int(stop), after, purge))
    return tuple(folds)


def pre_holdout_mask(holdout_start_code: int, label_end_codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Rows whose label is known before the holdout begins."""
    return (label_end_codes >= 0) & (label_end_codes < holdout_start_code)
