"""NGBoost: a full conditional distribution by natural-gradient boosting.

The library fits; its trees are then copied into plain arrays, and those predict, so that a saved model holds numbers only.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitRequest, Sample
from training_assets.families.losses import SMALLEST_PROBABILITY, predictions_of
from training_assets.families.preprocessing import (
    FloatArray,
    Standardiser,
    check_offset,
    check_request,
    load_state,
    one_thread,
    save_state,
    settings_of,
)

NAME = "NGBoost"
TASK_TYPES = frozenset({TaskType.REGRESSION, TaskType.BINARY_CLASSIFICATION})
MIN_ROWS = 100
HALF_WIDTH = 1.6448536269514722
"""Standard deviations from the mean to either end of a normal distribution's central 90% interval."""
DEFAULTS: Mapping[str, Any] = {
    "max_rows": 6_000,
    "max_rounds": 150,
    "early_stopping_rounds": 15,
    "learning_rate": 0.05,
    "max_depth": 3,
    "min_samples_leaf": 30,
}
BOUNDS = {
    "max_rows": (100, 1e9),
    "max_rounds": (1, 100_000),
    "early_stopping_rounds": (1, 100_000),
    "learning_rate": (1e-6, 1.0),
    "max_depth": (1, 12),
    "min_samples_leaf": (1, 1e9),
}
Features32 = NDArray[np.float32]


@dataclass(frozen=True)
class Trees:
    """Every base learner, padded to the largest; `parameters[t]` is the distribution parameter that tree t moves.

    `feature`, `left`, `right` : shape (n_trees, n_nodes), int32; a leaf has feature -1. `threshold`, `value` : same shape, float64. `parameters` :
    shape (n_trees,). `steps` : shape (n_trees,), learning rate times line-search scale. `initial` : shape (n_parameters,).
    """

    feature: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    threshold: FloatArray
    value: FloatArray
    parameters: NDArray[np.int64]
    steps: FloatArray
    initial: FloatArray

    def predict(self, features: Features32) -> FloatArray:
        """Distribution parameters, shape (n_rows, n_parameters); every tree is walked for all rows at once."""
        found = np.tile(self.initial, (features.shape[0], 1))
        rows = np.arange(features.shape[0])
        for tree in range(self.steps.size):
            node = np.zeros(features.shape[0], dtype=np.int32)
            while (inside := self.feature[tree][node] >= 0).any():
                at = node[inside]
                goes_left = features[rows[inside], self.feature[tree][at]] <= self.threshold[tree][at]
                node[inside] = np.where(goes_left, self.left[tree][at], self.right[tree][at])
            found[:, self.parameters[tree]] -= self.steps[tree] * self.value[tree][node]
        return found


@dataclass
class NGBoostModel:
    """Normal (regression, label in units of `label_scale` about `label_mean`) or Bernoulli (binary) distribution of each row."""

    task_type: TaskType
    standardiser: Standardiser
    trees: Trees
    label_mean: float
    label_scale: float
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """Shape (n_rows,): mean of the distribution, or probability of class 1."""
        check_offset(NAME, sample, fitted_with_offset=False)
        parameters = self.trees.predict(self.standardiser.apply(sample.x).astype(np.float32))
        raw = parameters[:, :1]
        if self.task_type is TaskType.REGRESSION:
            raw = self.label_mean + self.label_scale * raw
        return predictions_of(raw, self.task_type)

    def predict_distribution(self, sample: Sample) -> FloatArray:
        """Shape (n_rows, 2): mean and standard deviation of each row's label distribution, in label units."""
        parameters = self.trees.predict(self.standardiser.apply(sample.x).astype(np.float32))
        if self.task_type is TaskType.REGRESSION:
            return np.column_stack([self.label_mean + self.label_scale * parameters[:, 0], self.label_scale * np.exp(parameters[:, 1])])
        probability = predictions_of(parameters[:, :1], self.task_type).astype(np.float64)
        return np.column_stack([probability, np.sqrt(probability * (1.0 - probability))])

    def save(self, folder: Path) -> None:
        document = {"task_type": self.task_type, "label_mean": self.label_mean, "label_scale": self.label_scale, "fit_details": self.fit_details}
        trees = {f"trees_{item.name}": getattr(self.trees, item.name) for item in fields(Trees)}
        save_state(folder, document, {**trees, **self.standardiser.arrays()})


def load_ngboost(folder: Path) -> NGBoostModel:
    """Read a model that `NGBoostModel.save` wrote."""
    document, arrays = load_state(folder)
    trees = Trees(**{item.name: arrays[f"trees_{item.name}"] for item in fields(Trees)})
    standardiser = Standardiser.from_arrays(arrays)
    return NGBoostModel(TaskType(document["task_type"]), standardiser, trees, document["label_mean"], document["label_scale"], document["fit_details"])


def fit_ngboost(request: FitRequest) -> NGBoostModel:
    """Boost mean and log deviation (or log-odds) with natural gradients until the inner log score stops falling.

    Duan et al. 2020. At most `max_rows` rows: every k-th timestamp of the window is kept, all symbols of it.
    """
    check_request(NAME, request, TASK_TYPES, MIN_ROWS)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    kept = thinned(request.train.time_codes, settings["max_rows"])
    standardiser = Standardiser.fit(request.train)
    mean, scale = 0.0, 1.0
    if request.task_type is TaskType.REGRESSION:
        mean, scale = float(request.train.y.mean(dtype=np.float64)), float(request.train.y.std(dtype=np.float64))
    with one_thread("ngboost"):
        library_model = _fit_library(request, settings, kept, standardiser, mean, scale)
    rounds = library_model.best_val_loss_itr + 1
    details = {"rounds": rounds, "n_rows_fitted": int(kept.sum()), "inner_log_score": float(min(library_model.evals_result["val"]["LOGSCORE"]))}
    return NGBoostModel(request.task_type, standardiser, trees_of(library_model, rounds), mean, scale, details)


def thinned(time_codes: NDArray[np.int32], max_rows: int) -> NDArray[np.bool_]:
    """Rows of every k-th timestamp, k the smallest that leaves at most `max_rows`."""
    _, rank = np.unique(time_codes, return_inverse=True)
    step = -(-time_codes.size // max_rows)
    while (kept := rank % step == 0).sum() > max_rows and step < time_codes.size:
        step += 1
    return np.asarray(kept)


def _fit_library(request: FitRequest, settings: Mapping[str, Any], kept: NDArray[np.bool_], standardiser: Standardiser, mean: float, scale: float) -> Any:
    from ngboost import NGBoost
    from ngboost.distns import Bernoulli, Normal
    from sklearn.tree import DecisionTreeRegressor

    base = DecisionTreeRegressor(max_depth=settings["max_depth"], min_samples_leaf=settings["min_samples_leaf"], random_state=request.seed)
    regression = request.task_type is TaskType.REGRESSION
    model = NGBoost(
        Dist=Normal if regression else Bernoulli,
        Base=base,
        n_estimators=settings["max_rounds"],
        learning_rate=settings["learning_rate"],
        random_state=request.seed,
        verbose=False,
    )

    def label(sample: Sample) -> NDArray[Any]:
        return (sample.y.astype(np.float64) - mean) / scale if regression else sample.y.astype(np.int64)

    return model.fit(
        standardiser.apply(request.train.x[kept]).astype(np.float32),
        label(request.train)[kept],
        X_val=standardiser.apply(request.inner.x).astype(np.float32),
        Y_val=label(request.inner),
        sample_weight=request.train.weight[kept].astype(np.float64),
        val_sample_weight=request.inner.weight.astype(np.float64),
        early_stopping_rounds=settings["early_stopping_rounds"],
    )


def trees_of(library_model: Any, rounds: int) -> Trees:
    """The first rounds of a fitted library model as plain arrays."""
    learners = [
        (place, scale, tree.tree_)
        for group, scale in zip(library_model.base_models[:rounds], library_model.scalings[:rounds], strict=True)
        for place, tree in enumerate(group)
    ]
    n_nodes = max(tree.node_count for _, _, tree in learners)

    def padded(name: str, kind: type, fill: float) -> NDArray[Any]:
        table = np.full((len(learners), n_nodes), fill, dtype=kind)
        for row, (_, _, tree) in enumerate(learners):
            table[row, : tree.node_count] = getattr(tree, name).reshape(tree.node_count)
        return table

    # The library marks leaves with feature -2.
    return Trees(
        feature=np.maximum(padded("feature", np.int32, -1), -1),
        left=padded("children_left", np.int32, -1),
        right=padded("children_right", np.int32, -1),
        threshold=padded("threshold", np.float64, 0.0),
        value=padded("value", np.float64, 0.0),
        parameters=np.array([place for place, _, _ in learners], dtype=np.int64),
        steps=np.array([library_model.learning_rate * scale for _, scale, _ in learners]),
        initial=np.atleast_1d(np.asarray(library_model.init_params, dtype=np.float64)),
    )


def told_out_of_sample(model: NGBoostModel, sample: Sample) -> dict[str, Any]:
    """How well the whole distribution does on rows the model was not fitted on: mean log score in nats (lower is better), and for regression the
    share of labels inside the central 90% interval."""
    truth, distribution = sample.y.astype(np.float64), model.predict_distribution(sample)
    if model.task_type is TaskType.BINARY_CLASSIFICATION:
        chances = np.clip(distribution[:, 0], SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
        return {"log_score": float(-np.log(np.where(truth > 0.5, chances, 1.0 - chances)).mean())}
    distance = (truth - distribution[:, 0]) / distribution[:, 1]
    log_score = float((0.5 * distance**2 + np.log(distribution[:, 1] * math.sqrt(2.0 * math.pi))).mean())
    return {"log_score": log_score, "coverage": float((np.abs(distance) <= HALF_WIDTH).mean()), "nominal_coverage": 0.9}


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=False,
    defaults=DEFAULTS,
    libraries=("ngboost", "scikit-learn", "numpy", "safetensors"),
    fit=fit_ngboost,
    load=load_ngboost,
    description="A full conditional distribution (normal or Bernoulli) by natural-gradient boosting; predicts its mean.",
    min_rows=MIN_ROWS,
    told_out_of_sample=told_out_of_sample,
)
