"""Stages of nested folds: when a row begins to train, when it is tested, and which rows validate.

Belongs here: folds made into stages. Does not: folds (`training_assets.splits`), or anything that reads a feature.

A *stage* is one training window with the rows it is tested on. Training windows are nested, so each row enters at the first stage that may train on it,
and what a later stage adds serves as validation of the models before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_assets.splits import Fold


@dataclass(frozen=True)
class Stages:
    """Which stage a row first trains in, is tested in, and validates.

    `first_train` is `n_stages` for rows that never train; `test` is -1 for rows that are not scored; `validates` marks rows
    that, when they enter training, lie wholly after the training window before (purged).
    """

    n_stages: int
    first_train: NDArray[np.int64]
    test: NDArray[np.int64]
    validates: NDArray[np.bool_]


def nested_stages(folds: Sequence[Fold], time_codes: NDArray[np.int32], label_end_codes: NDArray[np.int32], inner_fraction: float) -> Stages:
    """Stages of nested folds (all of walk-forward, or one of k-fold), led by a warm-up stage that only serves validation.

    Parameters
    ----------
    folds : training windows must grow from one to the next.
    time_codes, label_end_codes : shape (n_rows,); -1 marks rows without a label, which take no part.
    """
    n_stages = len(folds) + 1
    first = np.full(time_codes.size, n_stages, np.int64)
    test = np.full(time_codes.size, -1, np.int64)
    for number in range(len(folds) - 1, -1, -1):
        first[folds[number].train_mask(time_codes, label_end_codes)] = number + 1
        test[folds[number].test_mask(time_codes, label_end_codes)] = number + 1
    trains_first = first == 1
    warm_up = _warm_up_start(time_codes[trains_first], inner_fraction)
    first[trains_first & (label_end_codes <= warm_up) & (time_codes + folds[0].purge_codes <= warm_up)] = 0
    starts = np.array([warm_up, *(fold.test_start for fold in folds)])
    earlier = starts[np.clip(first - 1, 0, n_stages - 1)]
    return Stages(n_stages, first, test, (first > 0) & (first < n_stages) & (time_codes >= earlier))


def _warm_up_start(train_times: NDArray[np.int32], inner_fraction: float) -> int:
    return int(np.quantile(train_times, 1.0 - inner_fraction)) if train_times.size else 0
