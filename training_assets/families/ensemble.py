"""Ensemble: LightGBM, XGBoost and Ridge stacked by weights learned on purged out-of-fold predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families import lightgbm_model, ridge, xgboost_model
from training_assets.families.base import Family, FitError, FitRequest, FittedModel, Sample
from training_assets.families.losses import loss_and_gradient, mean_loss, predictions_of, raw_of
from training_assets.families.preprocessing import FloatArray, check_offset, check_request, load_state, part_of, save_state, settings_of

NAME = "Ensemble"
TASK_TYPES = frozenset(TaskType)
MIN_ROWS = 300
MEMBERS: Mapping[str, Family] = {family.name: family for family in (lightgbm_model.FAMILY, xgboost_model.FAMILY, ridge.FAMILY)}
FIRST_BLOCK = 0.5
"""Share of the training window before the first out-of-fold block."""
INNER_SHARE = 0.2
"""Last share of each fold's own training rows that its members stop early on."""
DEFAULTS: Mapping[str, Any] = {"n_folds": 2, "shrinkage": 4.0}
BOUNDS = {"n_folds": (1, 50), "shrinkage": (0.0, 1e9)}


@dataclass
class EnsembleModel:
    """Fitted members and their weights, in the order of `MEMBERS`, mixed in raw score."""

    task_type: TaskType
    members: dict[str, FittedModel]
    weights: FloatArray
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """As the protocol says."""
        check_offset(NAME, sample, fitted_with_offset=False)
        raws = np.stack([raw_of(model.predict(sample), self.task_type) for model in self.members.values()])
        return predictions_of(np.einsum("m,mik->ik", self.weights, raws), self.task_type)

    def save(self, folder: Path) -> None:
        for name, model in self.members.items():
            (folder / name).mkdir()
            model.save(folder / name)
        save_state(folder, {"task_type": self.task_type, "fit_details": self.fit_details}, {"weights": self.weights})


def load_ensemble(folder: Path) -> EnsembleModel:
    """Read a model that `EnsembleModel.save` wrote, its members each from a folder of its name."""
    document, arrays = load_state(folder)
    members = {name: family.load(folder / name) for name, family in MEMBERS.items()}
    return EnsembleModel(TaskType(document["task_type"]), members, arrays["weights"], document["fit_details"])


def fit_ensemble(request: FitRequest) -> EnsembleModel:
    """Weigh members by their out-of-fold raw scores inside the training rows, then fit each member on the whole request.

    Wolpert 1992; Breiman 1996 for weights that are not negative. Walk-forward folds, purged by the labels' own ends and by the
    distance that the request keeps between its own two parts. The inner fold only stops the members early, so it is not read for the weights.
    """
    check_request(NAME, request, TASK_TYPES, MIN_ROWS)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    plain = replace(request, hyperparameters={})
    scored, raws = _out_of_fold(plain, settings["n_folds"])
    weights = _stacking_weights(raws, scored, request.task_type, settings["shrinkage"])
    members = {name: _fit_member(family, plain, "whole window") for name, family in MEMBERS.items()}
    y, weight = scored.y.astype(np.float64), scored.weight.astype(np.float64)
    details = {
        "weights": dict(zip(MEMBERS, weights.tolist(), strict=True)),
        "n_rows_out_of_fold": scored.n_rows,
        "out_of_fold_losses": {name: mean_loss(raw, y, weight, request.task_type) for name, raw in zip(MEMBERS, raws, strict=True)},
        "members": {name: model.fit_details for name, model in members.items()},
    }
    return EnsembleModel(request.task_type, members, weights, details)


def walk_forward_parts(request: FitRequest, n_folds: int) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]]:
    """Train, inner and test rows of each fold inside the training rows; whatever a fold learns from is known, and lies a purge, before what it meets.

    A row is known by the end of its label, which on bars scattered over the calendar reaches further than its horizon. The purge is the distance in
    time codes from the last training row to the first inner row, which the request owes to its settings.
    """
    codes, ends = request.train.time_codes, request.train.label_end_codes
    purge = max(1, int(request.inner.time_codes.min()) - int(codes.max()))
    times = np.unique(codes)
    edges = times[np.linspace(FIRST_BLOCK * times.size, times.size - 1, n_folds + 1).astype(np.int64)]
    parts = []
    for start, stop in pairwise(edges.tolist()):
        known = (codes <= start - purge) & (ends <= start)
        cut = np.quantile(codes[known], 1.0 - INNER_SHARE) if known.any() else start
        last = stop == edges[-1]
        parts.append(((codes <= cut - purge) & (ends <= cut), known & (codes >= cut), (codes >= start) & ((codes < stop) | last)))
    return parts


def _out_of_fold(request: FitRequest, n_folds: int) -> tuple[Sample, FloatArray]:
    """The rows met out of fold, and the members' raw scores there, shape (n_members, n_rows, n_outputs)."""
    met = np.zeros(request.train.n_rows, dtype=bool)
    raws: list[FloatArray] = []
    rows: list[NDArray[np.int64]] = []
    for number, (train, inner, test) in enumerate(walk_forward_parts(request, n_folds), start=1):
        fold = replace(request, train=part_of(request.train, train), inner=part_of(request.train, inner))
        scored = part_of(request.train, test)
        raws.append(np.stack([raw_of(_fit_member(family, fold, f"fold {number}").predict(scored), request.task_type) for family in MEMBERS.values()]))
        rows.append(np.flatnonzero(test))
        met |= test
    order = np.argsort(np.concatenate(rows))
    return part_of(request.train, met), np.concatenate(raws, axis=1)[:, order]


def _fit_member(family: Family, request: FitRequest, where: str) -> FittedModel:
    try:
        return family.fit(request)
    except FitError as error:
        raise FitError(f"{NAME}: {where}: {error}") from None


def _stacking_weights(raws: FloatArray, scored: Sample, task_type: TaskType, shrinkage: float) -> FloatArray:
    """Weights of at least 0 with the least loss, drawn towards equal ones as by `shrinkage` pseudo-rows of unit noise."""
    from scipy.optimize import minimize

    y, weight = scored.y.astype(np.float64), scored.weight.astype(np.float64)
    # In units of the label's spread, so that the pull towards equal weights means the same for returns and for percentiles.
    scale = float(y.std()) if task_type is TaskType.REGRESSION and y.std() > 0.0 else 1.0
    raws, y = raws / scale, (y / scale if task_type is TaskType.REGRESSION else y)
    equal = np.full(raws.shape[0], 1.0 / raws.shape[0])
    pull = shrinkage / float(weight.sum())

    def objective(weights: FloatArray) -> tuple[float, FloatArray]:
        loss, by_raw = loss_and_gradient(np.einsum("m,mik->ik", weights, raws), y, weight, task_type)
        return loss + 0.5 * pull * float(((weights - equal) ** 2).sum()), np.einsum("mik,ik->m", raws, by_raw) + pull * (weights - equal)

    result = minimize(objective, equal, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * equal.size, options={"ftol": 1e-12, "gtol": 1e-9})
    return np.asarray(result.x, dtype=np.float64)


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=False,
    defaults=DEFAULTS,
    libraries=("lightgbm", "xgboost", "numpy", "scipy", "safetensors"),
    fit=fit_ensemble,
    load=load_ensemble,
    description="LightGBM, XGBoost and Ridge stacked with non-negative weights learned on purged out-of-fold predictions.",
    min_rows=MIN_ROWS,
)
