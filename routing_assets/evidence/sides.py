"""Predictions of a target's pooled, local and blended sides, in units in which families and symbols can be joined.

Belongs here: deviations in units known before the test window, and the mean of several families' predictions. Does not: which side is fitted by what
(`screening`), the fits, or scores.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from routing_assets.evidence.ridge_screen import KINDS, RidgePredictions

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SidePredictions:
    """Out-of-sample predictions of one target, all on the same rows.

    `rows` : shape (n,), panel rows, symbol after symbol, time ascending; `folds`, `symbols` (n,). `pooled_everywhere` is comparable across symbols, in
    units of its spread in the fold. `pooled`, `local` and `blended` are deviations from the mean prediction over the symbol's own training rows, in
    units of their spread there. All shape (n, n_columns), NaN where there is no model. `label_centres` (n, n_columns) are label means over
    training rows.
    """

    rows: NDArray[np.int64]
    folds: NDArray[np.int64]
    symbols: NDArray[np.int64]
    pooled_everywhere: Floats
    pooled: Floats
    local: Floats
    blended: Floats
    label_centres: Floats


def standardised_sides(ridge: RidgePredictions) -> SidePredictions:
    """The closed form's predictions as sides: each in units of its training rows, the pooled one also comparable across symbols."""
    n_stages = int(ridge.stages.max()) + 1 if ridge.stages.size else 1

    def deviations(kind: str) -> Floats:
        number = KINDS.index(kind)
        centres, sizes = (one[ridge.symbols, ridge.stages, number] for one in (ridge.centres, ridge.sizes))
        return in_training_units(getattr(ridge, kind).astype(float), centres, sizes)

    everywhere = _scaled(_less_fold_mean(ridge.pooled.astype(float), ridge.stages), ridge.stages, n_stages)
    label_centres = ridge.label_centres[ridge.symbols, ridge.stages].astype(float)
    return SidePredictions(ridge.rows, ridge.stages, ridge.symbols, everywhere, deviations("pooled"), deviations("local"), deviations("blended"), label_centres)


def in_training_units(predictions: Floats, centres: Floats, sizes: Floats) -> Floats:
    """Deviations from the mean prediction over the training rows, in units of its spread there; zero where there is no spread, NaN stays."""
    return np.asarray((predictions - centres) / np.where(sizes > 0, sizes, np.inf))


def _scaled(deviations: Floats, segments: NDArray[np.int64], n_segments: int) -> Floats:
    """Deviations in units of their root mean square in the segment (about zero, so that the centre stays); NaN stays."""
    known = np.isfinite(deviations).all(axis=1)
    inside = segments[known]
    counts = np.maximum(np.bincount(inside, minlength=n_segments), 1)
    size = np.sqrt(np.bincount(inside, weights=(deviations[known] ** 2).mean(axis=1), minlength=n_segments) / counts)
    out = np.full(deviations.shape, np.nan)
    out[known] = deviations[known] / np.where(size > 0, size, 1.0)[inside][:, None]
    return out


def _less_fold_mean(values: Floats, folds: NDArray[np.int64]) -> Floats:
    out = values.copy()
    for fold in np.unique(folds):
        part = folds == fold
        out[part] -= np.nanmean(values[part], axis=0) if np.isfinite(values[part]).any() else 0.0
    return out


@dataclass(frozen=True)
class Trees:
    """Predictions of boosted trees on the sides' rows, shape (n, n_columns), and their mean and size over each symbol's training rows, shape
    (n_symbols, n_folds, n_columns); NaN where not fitted."""

    predictions: NDArray[np.float32]
    centres: NDArray[np.float32]
    sizes: NDArray[np.float32]

    @classmethod
    def none(cls, ridge: RidgePredictions) -> "Trees":
        n_columns = ridge.pooled.shape[1]
        shape = (*ridge.label_centres.shape[:2], n_columns)
        return cls(np.full((ridge.rows.size, n_columns), np.nan, np.float32), np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32))

    def in_training_units(self, sides: SidePredictions) -> Floats:
        """Deviations from each symbol's training mean, in units of the spread there; shape (n, n_columns)."""
        centres, sizes = (one[sides.symbols, sides.folds].astype(float) for one in (self.centres, self.sizes))
        return in_training_units(self.predictions.astype(float), centres, sizes)


def with_trees(sides: SidePredictions, pooled: Trees | None, local: Trees | None) -> SidePredictions:
    """Join boosted trees to the closed form on the rows where both predict; the blended side takes the pooled trees."""
    if local is not None:
        sides = replace(sides, local=_mean_of_known(sides.local, local.in_training_units(sides)))
    if pooled is None:
        return sides
    within = pooled.in_training_units(sides)
    n_folds = int(sides.folds.max()) + 1 if sides.folds.size else 1
    everywhere = _scaled(_less_fold_mean(pooled.predictions.astype(float), sides.folds), sides.folds, n_folds)
    return replace(
        sides,
        pooled_everywhere=_mean_of_known(sides.pooled_everywhere, everywhere),
        pooled=_mean_of_known(sides.pooled, within),
        blended=_mean_of_known(sides.blended, within),
    )


def _mean_of_known(first: Floats, second: Floats) -> Floats:
    """The mean where both are known, else the first. Means of unlike predictions are smaller than either; one factor for the whole target mends that."""
    both = np.isfinite(second) & np.isfinite(first)
    mean = 0.5 * (first[both] + second[both])
    size = np.sqrt((mean**2).mean()) if mean.size else 0.0
    joined = first.copy()
    joined[both] = mean * (np.sqrt((first[both] ** 2).mean()) / size if size > 0 else 1.0)
    return joined
