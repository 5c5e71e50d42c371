"""Penalised linear models on standardised rows: the solver behind Ridge, ChangePoint, GMMRegime and FTRLProximal.

Belongs here: one closed-form and one gradient solver, and the linear model that several families end in. Does not: what weights the rows get.
Coefficients have shape (n_features + 1, n_outputs); the last row is the intercept, which is penalised only where asked for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.families.base import Sample
from training_assets.families.losses import loss_and_gradient, mean_loss, n_outputs, predictions_of, row_losses
from training_assets.families.preprocessing import FloatArray, Rows, Standardiser, check_offset, load_state, save_state

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Tried strengths: each is added to the diagonal of the weighted mean Gram matrix, whose own diagonal is near 1 on standardised features."""


@dataclass
class LinearModel:
    """A linear raw score on standardised features."""

    family: str
    task_type: TaskType
    standardiser: Standardiser
    coefficients: FloatArray
    with_offset: bool
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """As the protocol says; adds to `sample.offset` where the fit did."""
        check_offset(self.family, sample, self.with_offset)
        raw = raw_scores(self.standardiser.apply(sample.x), self.coefficients)
        if sample.offset is not None:
            raw[:, 0] += sample.offset
        return predictions_of(raw, self.task_type)

    def save(self, folder: Path) -> None:
        document = {"family": self.family, "task_type": self.task_type, "with_offset": self.with_offset, "fit_details": self.fit_details}
        save_state(folder, document, {"coefficients": self.coefficients, **self.standardiser.arrays()})

    @classmethod
    def load(cls, folder: Path) -> "LinearModel":
        document, arrays = load_state(folder)
        standardiser = Standardiser.from_arrays(arrays)
        return cls(document["family"], TaskType(document["task_type"]), standardiser, arrays["coefficients"], document["with_offset"], document["fit_details"])


def raw_scores(z: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Shape (n_rows, n_outputs). Summed row by row, so that a row's prediction does not depend on which rows come with it."""
    return np.asarray(np.einsum("ij,jk->ik", z, coefficients[:-1]) + coefficients[-1])


def fit_path(rows: Rows, task_type: TaskType, n_classes: int, penalties: Sequence[float], penalise_intercept: bool = False) -> list[FloatArray]:
    """Coefficients at each penalty, in the order given: ridge in closed form, logistic and softmax regression by L-BFGS."""
    if task_type is TaskType.REGRESSION:
        return _ridge_path(rows, penalties, penalise_intercept)
    coefficients = np.zeros((rows.z.shape[1] + 1, n_outputs(task_type, n_classes)))
    found = {}
    # From strong to weak, each from the one before: a short way every time.
    for penalty in sorted(set(penalties), reverse=True):
        coefficients = _logistic(rows, task_type, penalty, coefficients, penalise_intercept)
        found[penalty] = coefficients
    return [found[penalty] for penalty in penalties]


def inner_losses(path: Sequence[FloatArray], inner: Rows, task_type: TaskType) -> list[float]:
    """Weighted mean loss of each set of coefficients on the inner fold, offsets included."""
    losses = []
    for coefficients in path:
        raw = raw_scores(inner.z, coefficients)
        raw[:, 0] += inner.offset
        losses.append(mean_loss(raw, inner.y, inner.weight, task_type))
    return losses


def strongest_without_doubt(penalties: Sequence[float], path: Sequence[FloatArray], inner: Rows, task_type: TaskType) -> float:
    """The strongest penalty that is worse than the best on the inner fold by no more than one standard error of the difference.

    The one-standard-error rule of Breiman et al. 1984, on paired row losses: on a short fold with little signal the smallest mean is mostly luck, and
    too weak a penalty costs far more than too strong a one. The weights sum to the effective number of rows.
    """
    by_row = []
    for coefficients in path:
        raw = raw_scores(inner.z, coefficients)
        raw[:, 0] += inner.offset
        by_row.append(row_losses(raw, inner.y, task_type))
    share = inner.weight / inner.weight.sum()
    best = min(by_row, key=lambda losses: float(share @ losses))
    chosen = []
    for penalty, losses in zip(penalties, by_row, strict=True):
        excess = losses - best
        mean = float(share @ excess)
        error = math.sqrt(float(share @ (excess - mean) ** 2) / inner.weight.sum())
        if mean <= error:
            chosen.append(penalty)
    return max(chosen)


def _ridge_path(rows: Rows, penalties: Sequence[float], penalise_intercept: bool) -> list[FloatArray]:
    share = rows.weight / rows.weight.sum()
    label = rows.y - rows.offset
    if penalise_intercept:
        z = np.column_stack([rows.z, np.ones(label.size)])
        gram, cross = (z * share[:, None]).T @ z, z.T @ (share * label)
        return [np.linalg.solve(gram + penalty * np.eye(gram.shape[0]), cross)[:, None] for penalty in penalties]
    z_mean, label_mean = share @ rows.z, float(share @ label)
    centred = (rows.z - z_mean) * np.sqrt(share)[:, None]
    values, vectors = np.linalg.eigh(centred.T @ centred)
    projected = vectors.T @ (centred.T @ (np.sqrt(share) * (label - label_mean)))
    path = []
    for penalty in penalties:
        slopes = vectors @ (projected / (np.maximum(values, 0.0) + penalty))
        path.append(np.append(slopes, label_mean - z_mean @ slopes)[:, None])
    return path


def _logistic(rows: Rows, task_type: TaskType, penalty: float, start: FloatArray, penalise_intercept: bool) -> FloatArray:
    from scipy.optimize import minimize

    penalised = np.full((start.shape[0], 1), penalty)
    penalised[-1] *= penalise_intercept

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        coefficients = flat.reshape(start.shape)
        raw = rows.z @ coefficients[:-1] + coefficients[-1]
        raw[:, 0] += rows.offset
        loss, by_raw = loss_and_gradient(raw, rows.y, rows.weight, task_type)
        gradient = np.vstack([rows.z.T @ by_raw, by_raw.sum(axis=0)]) + penalised * coefficients
        return loss + 0.5 * float((penalised * coefficients**2).sum()), gradient.ravel()

    result = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200, "ftol": 1e-10, "gtol": 1e-7})
    return np.asarray(result.x, dtype=np.float64).reshape(start.shape)
