"""FTRLProximal: a linear model learned online through time, one step a timestamp."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitRequest
from training_assets.families.linear import LinearModel, inner_losses
from training_assets.families.losses import sigmoid
from training_assets.families.preprocessing import FloatArray, Rows, Standardiser, check_request, joined, rows_of, settings_of

NAME = "FTRLProximal"
TASK_TYPES = frozenset({TaskType.REGRESSION, TaskType.BINARY_CLASSIFICATION})
MIN_ROWS = 50
DEFAULTS: Mapping[str, Any] = {"alphas": (0.003, 0.01, 0.03, 0.1, 0.3), "beta": 1.0, "l1": 0.1, "l2": 1.0}
BOUNDS = {"alphas": (1e-9, 1e3), "beta": (0.0, 1e9), "l1": (0.0, 1e9), "l2": (0.0, 1e9)}


@dataclass
class Learner:
    """Per-coordinate state of one run: `z` the sum of gradients with their proximal terms, `n` of squared gradients; shape (n_features + 1,)."""

    alpha: float
    beta: float
    l1: FloatArray
    l2: FloatArray
    z: FloatArray
    n: FloatArray

    def weights(self) -> FloatArray:
        """Closed form of the follow-the-regularised-leader step (McMahan et al. 2013, algorithm 1)."""
        shrunk = np.where(np.abs(self.z) <= self.l1, 0.0, self.z - np.sign(self.z) * self.l1)
        return np.asarray(-shrunk / ((self.beta + np.sqrt(self.n)) / self.alpha + self.l2))

    def step(self, gradient: FloatArray, weights: FloatArray) -> None:
        """Take in the gradient at the current weights."""
        sigma = (np.sqrt(self.n + gradient * gradient) - np.sqrt(self.n)) / self.alpha
        self.z += gradient - sigma * weights
        self.n += gradient * gradient


def fit_ftrl(request: FitRequest) -> LinearModel:
    """Walk through time once at each learning rate, keep the one whose last weights do best on the inner fold, and walk on through it.

    McMahan et al. 2013, squared or log loss. All rows of a timestamp become known together and make one step. What predicts is the weight vector
    at the end: newer rows have moved it last.
    """
    check_request(NAME, request, TASK_TYPES, MIN_ROWS)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    standardiser = Standardiser.fit(request.train)
    train, inner = rows_of(standardiser, request.train), rows_of(standardiser, request.inner)
    regression = request.task_type is TaskType.REGRESSION
    mean, scale = (float(train.y.mean()), float(train.y.std())) if regression else (0.0, 1.0)

    def walk(rows: Rows, alpha: float) -> FloatArray:
        weights = _walk(rows, (rows.y - mean) / scale, alpha, settings, regression) * scale
        weights[-1] += mean
        return weights[:, None]

    losses = inner_losses([walk(train, alpha) for alpha in settings["alphas"]], inner, request.task_type)
    alpha = settings["alphas"][int(np.argmin(losses))]
    coefficients = walk(joined(train, inner), alpha)
    details = {"alpha": alpha, "inner_losses": dict(zip(map(str, settings["alphas"]), losses, strict=True)), "n_zero": int((coefficients[:-1] == 0.0).sum())}
    return LinearModel(NAME, request.task_type, standardiser, coefficients, False, details)


def _walk(rows: Rows, y: FloatArray, alpha: float, settings: Mapping[str, Any], regression: bool) -> FloatArray:
    order = np.argsort(rows.time_codes, kind="stable")
    edges = np.flatnonzero(np.r_[True, np.diff(rows.time_codes[order]) > 0, True])
    design = np.column_stack([rows.z, np.ones(y.size)])[order]
    label, weight = y[order], (rows.weight / rows.weight.mean())[order]
    size = design.shape[1]
    # The intercept is not regularised.
    free = np.r_[np.ones(size - 1), 0.0]
    learner = Learner(alpha, settings["beta"], settings["l1"] * free, settings["l2"] * free, np.zeros(size), np.zeros(size))
    for start, stop in pairwise(edges.tolist()):
        weights = learner.weights()
        raw = np.einsum("ij,j->i", design[start:stop], weights)
        error = raw - label[start:stop] if regression else sigmoid(raw) - label[start:stop]
        # The mean over symbols, so that a learning rate means the same for pooled and for local jobs.
        gradient = np.einsum("ij,i->j", design[start:stop], weight[start:stop] * error) / (stop - start)
        learner.step(gradient, weights)
    return learner.weights()


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=True,
    defaults=DEFAULTS,
    libraries=("numpy", "safetensors"),
    fit=fit_ftrl,
    load=LinearModel.load,
    description="Linear model learned online through time with per-coordinate rates (FTRL-Proximal); squared or log loss.",
    min_rows=MIN_ROWS,
)
