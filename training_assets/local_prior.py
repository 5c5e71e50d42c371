"""How much symbols differ in what a pooled model leaves: the prior that the local parts of blends are shrunk by, estimated from all symbols at once.

Belongs here: one number a pooled model. Does not: the local fits (`training_assets.blend_training`), or how far a blend believes them
(`training_assets.ensemble`).

A symbol's history alone is too short to say how much of its residual to believe; thirty histories are not. On the pooled model's out-of-sample
residuals each symbol has linear weights of its own, drawn from a normal distribution around zero whose variance is that of the residual over
`prior_rows`: so many rows of its own a symbol needs until it counts for as much as the prior (the credibility of Buehlmann 1967; empirical Bayes
by maximum marginal likelihood, as Efron & Morris 1975).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.families.losses import SMALLEST_PROBABILITY
from training_assets.families.preprocessing import CLIP_DEVIATIONS, FloatArray
from training_assets.samples import JobRows

LOCAL_PRIOR_ROWS = "local_prior_rows"
OF_SCORED_FIT, OF_FINAL_FIT = "scored_fit", "final_fit"
"""The two priors of a pooled model's card: of the rows before its out-of-sample part, for fits that are scored there, and of all before the holdout."""
PRIOR_ROWS_GRID = np.geomspace(1.0, 1e7, 85)
"""Tried values, a fifth apart; beyond the last one symbols are taken to have nothing of their own."""
MIN_ROWS = 20
SMALLEST_DISPERSION = 0.01


@dataclass(frozen=True)
class _SymbolScores:
    """One symbol's residual scores along the eigenvectors of its information, all float64, shape (n_directions,).

    `squared` : the scores squared, in units of the residual's variance. `variance` : what chance alone would make of that, labels' overlap included.
    """

    information: FloatArray
    squared: FloatArray
    variance: FloatArray


def local_prior_rows(rows: JobRows, positions: NDArray[np.int64], predictions: NDArray[np.float32], task_type: TaskType, horizon_bars: int) -> float | None:
    """Rows of its own that a symbol needs until they weigh as much as the prior that it has nothing of its own.

    Parameters
    ----------
    rows : of a pooled job.
    positions : shape (n,), rows that were predicted out of sample, each once.
    predictions : shape (n,), the pooled model's value or probability of class 1 there.
    horizon_bars : reach of the labels; scores this near to each other may move together.

    Returns
    -------
    Rows, weighted by average uniqueness as a fit weighs them; infinity where the symbols differ by no more than noise, None for multi-class,
    whose blends do without.
    """
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return None
    order = np.argsort(positions, kind="stable")
    ascending, predicted = positions[order], predictions[order].astype(np.float64)
    edges = np.r_[0, np.flatnonzero(np.diff(rows.starts[ascending])) + 1, ascending.size].tolist()
    found = [_residuals(rows, ascending[a:b], predicted[a:b], task_type) for a, b in pairwise(edges) if b - a >= MIN_ROWS]
    symbols = [one for one in found if one is not None]
    shared = _shared_weights(symbols)
    scores = [one.scores(shared, 2 * horizon_bars) for one in symbols]
    if not scores:
        return math.inf
    # One number for the panel: how much more, or less, scores vary by chance than independent rows of these weights would.
    ratios = [float(np.mean(one.variance / one.information)) for one in scores]
    dispersion = max(SMALLEST_DISPERSION, float(np.mean(ratios)))
    likelihoods = sum(_log_likelihoods(one, dispersion) for one in scores)
    best = int(np.argmax(np.asarray(likelihoods)[::-1]))
    return math.inf if best == 0 else dispersion * float(PRIOR_ROWS_GRID[-best])


@dataclass(frozen=True)
class _Residuals:
    """What the pooled model leaves of one symbol's rows, in units of its deviation.

    `z` : shape (n_rows, n_features + 1). `weight`, `curvature`, `residual` : shape (n_rows,); the curvature is the loss's by raw score, times weight.
    """

    z: FloatArray
    weight: FloatArray
    curvature: FloatArray
    residual: FloatArray

    @property
    def information(self) -> FloatArray:
        return np.asarray((self.z * self.curvature[:, None]).T @ self.z)

    @property
    def score(self) -> FloatArray:
        return np.asarray(self.z.T @ (self.weight * self.residual))

    def scores(self, shared: FloatArray, n_lags: int) -> _SymbolScores:
        """Scores left of the weights that all symbols share, along the eigenvectors of the information."""
        information, directions = np.linalg.eigh(self.information)
        told = information > 1e-6 * max(float(information[-1]), 1e-300)
        left = self.weight * self.residual - self.curvature * (self.z @ shared)
        of_row = (self.z @ directions[:, told]) * left[:, None]
        return _SymbolScores(information[told], of_row.sum(axis=0) ** 2, _long_run_variance(of_row, n_lags))


def _shared_weights(symbols: list[_Residuals]) -> FloatArray:
    """Linear weights that all symbols' residuals have in common: what an early pooled model missed is no difference between symbols."""
    information, score = sum(one.information for one in symbols), sum(one.score for one in symbols)
    return np.asarray(np.linalg.lstsq(np.asarray(information), np.asarray(score), rcond=1e-6)[0] if symbols else np.zeros(0))


def _residuals(rows: JobRows, positions: NDArray[np.int64], predicted: FloatArray, task_type: TaskType) -> _Residuals | None:
    z, weight = _standardised(rows.x[positions]), rows.weight[positions].astype(np.float64)
    residual = rows.y[positions].astype(np.float64) - predicted
    if task_type is TaskType.BINARY_CLASSIFICATION:
        chance = np.clip(predicted, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
        return _Residuals(z, weight, weight * chance * (1.0 - chance), residual)
    noise = math.sqrt(float(weight @ residual**2 / weight.sum()))
    return _Residuals(z, weight, weight, residual / noise) if noise > 0.0 else None


def _long_run_variance(of_row: FloatArray, n_lags: int) -> FloatArray:
    """Variance of the sum of rows whose neighbours move together (Newey & West 1987, Bartlett weights); shape (n_columns,)."""
    centred = of_row - of_row.mean(axis=0)
    variance = (centred**2).sum(axis=0)
    for lag in range(1, min(n_lags, centred.shape[0] - 1) + 1):
        variance += 2.0 * (1.0 - lag / (n_lags + 1)) * (centred[lag:] * centred[:-lag]).sum(axis=0)
    return np.asarray(np.maximum(variance, 0.0))


def _log_likelihoods(scores: _SymbolScores, dispersion: float) -> FloatArray:
    """Log marginal likelihood of one symbol's scores at each value of the grid and, last, at infinity; up to a constant.

    Along each eigenvector the score is normal with variance dispersion * information + information^2 / prior rows.
    """
    excess = dispersion + scores.information[:, None] / np.r_[PRIOR_ROWS_GRID, np.inf]
    return np.asarray(-0.5 * (np.log(excess) + (scores.squared / scores.information)[:, None] / excess).sum(axis=0))


def _standardised(x: NDArray[np.float32]) -> FloatArray:
    """Features of one symbol in its own deviations, zero where not known, and a column of ones."""
    values = x.astype(np.float64)
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - np.where(known, values, 0.0).sum(axis=0) / counts, 0.0)
    deviations = np.sqrt((centred**2).sum(axis=0) / counts)
    z = np.clip(np.divide(centred, deviations, out=np.zeros_like(centred), where=deviations > 0.0), -CLIP_DEVIATIONS, CLIP_DEVIATIONS)
    return np.column_stack([z, np.ones(z.shape[0])])
