"""How much symbols differ in what a pooled model leaves: the prior that the local parts of blends are shrunk by, estimated from all symbols at once.

Belongs here: one number a pooled model. Does not: the local fits (`training_assets.blend_training`), or how far a blend believes them
(`training_assets.ensemble`).

A symbol's history alone is too short to say how much of its residual to believe; thirty histories are not. On the pooled model's out-of-sample
residuals each symbol has linear weights of its own, drawn from a normal distribution around zero whose variance is that of the residual over
`prior_rows`: so many rows of its own a symbol needs until it counts for as much as the prior (the credibility of Buehlmann 1967; empirical Bayes
by maximum marginal likelihood, as Efron & Morris 1975).
"""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.families.losses import SMALLEST_PROBABILITY
from training_assets.families.preprocessing import CLIP_DEVIATIONS, FloatArray
from training_assets.samples import JobRows

LOCAL_PRIOR_ROWS = "local_prior_rows"
PRIOR_ROWS_GRID = np.geomspace(1.0, 1e7, 85)
"""Tried values, a fifth apart; beyond the last one symbols are taken to have nothing of their own."""
MIN_ROWS = 20


def local_prior_rows(rows: JobRows, positions: NDArray[np.int64], predictions: NDArray[np.float32], task_type: TaskType) -> float | None:
    """Rows of its own that a symbol needs until they weigh as much as the prior that it has nothing of its own.

    Parameters
    ----------
    rows : of a pooled job.
    positions : shape (n,), rows that were predicted out of sample, each once.
    predictions : shape (n,), the pooled model's value or probability of class 1 there.

    Returns
    -------
    Effective rows (labels that overlap count as the fewer that they are); infinity where the symbols differ by no more than noise, None for
    multi-class, whose blends do without.
    """
    if task_type is TaskType.MULTICLASS_CLASSIFICATION:
        return None
    order = np.argsort(positions, kind="stable")
    ascending, predicted = positions[order], predictions[order].astype(np.float64)
    edges = np.r_[0, np.flatnonzero(np.diff(rows.starts[ascending])) + 1, ascending.size].tolist()
    likelihoods = np.zeros(PRIOR_ROWS_GRID.size + 1)
    for first, last in pairwise(edges):
        if last - first >= MIN_ROWS:
            likelihoods += _log_likelihoods(rows, ascending[first:last], predicted[first:last], task_type)
    best = int(np.argmax(likelihoods[::-1]))
    return math.inf if best == 0 else float(PRIOR_ROWS_GRID[-best])


def _log_likelihoods(rows: JobRows, positions: NDArray[np.int64], predicted: FloatArray, task_type: TaskType) -> FloatArray:
    """Log marginal likelihood of one symbol's residuals at each value of the grid and, last, at infinity; up to a constant."""
    z, weight = _standardised(rows.x[positions]), rows.weight[positions].astype(np.float64)
    residual = rows.y[positions].astype(np.float64) - predicted
    if task_type is TaskType.REGRESSION:
        curvature, noise = weight, float(weight @ residual**2 / weight.sum())
    else:
        chance = np.clip(predicted, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
        curvature, noise = weight * chance * (1.0 - chance), 1.0
    if noise <= 0.0:
        return np.zeros(PRIOR_ROWS_GRID.size + 1)
    information, directions = np.linalg.eigh((z * curvature[:, None]).T @ z)
    told = information > 1e-6 * max(information[-1], 1e-300)
    # Along each eigenvector the score is normal with variance noise * (information + information^2 / prior rows).
    score = (directions.T @ (z.T @ (weight * residual)))[told]
    excess = 1.0 + information[told][:, None] / np.r_[PRIOR_ROWS_GRID, np.inf]
    return np.asarray(-0.5 * (np.log(excess) + (score**2 / (noise * information[told]))[:, None] / excess).sum(axis=0))


def _standardised(x: NDArray[np.float32]) -> FloatArray:
    """Features of one symbol in its own deviations, zero where not known, and a column of ones."""
    values = x.astype(np.float64)
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - np.where(known, values, 0.0).sum(axis=0) / counts, 0.0)
    deviations = np.sqrt((centred**2).sum(axis=0) / counts)
    z = np.clip(np.divide(centred, deviations, out=np.zeros_like(centred), where=deviations > 0.0), -CLIP_DEVIATIONS, CLIP_DEVIATIONS)
    return np.column_stack([z, np.ones(z.shape[0])])
