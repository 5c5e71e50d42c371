"""One pooled ridge model, fast and plain, for what a detector has to score.

Belongs here: the fit and its out-of-sample rank correlation for many label columns and feature subsets. Does not: scores that route anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_assets.splits import Fold

PENALTY_SHARE = 0.1


@dataclass(frozen=True)
class QuickRidge:
    """Normal equations of each fold's training rows.

    Attributes
    ----------
    z : shape (n_features, n), standardised features, 0 where not known.
    labels : shape (n, n_columns), standardised labels, 0 where not known.
    folds : training and test positions of each fold.
    grams, crosses : z z' and z labels over each fold's training rows.
    """

    z: NDArray[np.float32]
    labels: NDArray[np.float32]
    folds: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    grams: tuple[NDArray[np.float64], ...]
    crosses: tuple[NDArray[np.float64], ...]

    @classmethod
    def of_folds(
        cls,
        z: NDArray[np.float32],
        labels: NDArray[np.float32],
        folds: Sequence[Fold],
        time_codes: NDArray[np.int32],
        end_codes: NDArray[np.int32],
        min_train_rows: int,
    ) -> "QuickRidge":
        """Sum the normal equations over each fold's training rows; folds with too few of them, or nothing to test, fall away."""
        pairs = tuple((np.flatnonzero(fold.train_mask(time_codes, end_codes)), np.flatnonzero(fold.test_mask(time_codes, end_codes))) for fold in folds)
        pairs = tuple((train, test) for train, test in pairs if train.size >= min_train_rows and test.size >= 10)
        sums = []
        for train, _ in pairs:
            block = z[:, train]
            sums.append(((block @ block.T).astype(np.float64), (block @ labels[train]).astype(np.float64)))
        return cls(z, labels, pairs, tuple(gram for gram, _ in sums), tuple(cross for _, cross in sums))

    def scores(self, features: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Shape (n_columns,): rank correlation (labels are ranks) of out-of-sample predictions, mean over folds by rows; NaN without a fold.

        Parameters
        ----------
        features : positions of the features used; None for all.
        """
        used = np.arange(self.z.shape[0]) if features is None else features
        if not self.folds or used.size == 0:
            return np.full(self.labels.shape[1], np.nan)
        total, weight = np.zeros(self.labels.shape[1]), 0
        for (train, test), gram, cross in zip(self.folds, self.grams, self.crosses, strict=True):
            system = gram[np.ix_(used, used)] + PENALTY_SHARE * train.size * np.eye(used.size)
            weights = np.linalg.solve(system, cross[used]).astype(np.float32)
            total += _column_correlations(self.z[np.ix_(used, test)].T @ weights, self.labels[test]) * test.size
            weight += test.size
        return total / weight

    def in_sample_losses(self) -> NDArray[np.float64]:
        """Shape (n_features,): what the last fold's training fit of the first column loses without each feature, relative to the label's variance."""
        if not self.folds:
            return np.zeros(self.z.shape[0])
        gram, cross, n = self.grams[-1], self.crosses[-1][:, 0], self.folds[-1][0].size
        inverse = np.linalg.inv(gram + 1e-3 * n * np.eye(gram.shape[0]))
        weights = inverse @ cross
        return np.asarray(weights**2 / np.diag(inverse) / n)


def _column_correlations(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.asarray(np.divide((a * b).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 0), np.float64)
