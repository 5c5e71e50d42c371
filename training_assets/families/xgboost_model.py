"""XGBoost: gradient-boosted trees with second-order leaf weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitRequest, Sample
from training_assets.families.losses import predictions_of
from training_assets.families.preprocessing import FloatArray, check_offset, check_request, known_values, load_state, save_state, settings_of

NAME = "XGBoost"
MODEL_FILE = "model.ubj"
TASK_TYPES = frozenset(TaskType)
MIN_ROWS = 50
DEFAULTS: Mapping[str, Any] = {
    "max_rounds": 300,
    "early_stopping_rounds": 30,
    "learning_rate": 0.05,
    "max_depth": 4,
    "max_bin": 64,
    "min_child_weight": 10.0,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
}
BOUNDS = {
    "max_rounds": (1, 100_000),
    "early_stopping_rounds": (1, 100_000),
    "learning_rate": (1e-6, 1.0),
    "max_depth": (1, 16),
    "max_bin": (2, 65_535),
    "min_child_weight": (0.0, 1e9),
    "colsample_bytree": (1e-3, 1.0),
    "reg_lambda": (0.0, 1e12),
}
_OBJECTIVES = {
    TaskType.REGRESSION: ("reg:squarederror", "rmse"),
    TaskType.BINARY_CLASSIFICATION: ("binary:logistic", "logloss"),
    TaskType.MULTICLASS_CLASSIFICATION: ("multi:softprob", "mlogloss"),
}
# With an offset the margin is given row by row and a base of its own would be added on top of nothing: zero in raw score.
_NEUTRAL_BASE = {TaskType.REGRESSION: 0.0, TaskType.BINARY_CLASSIFICATION: 0.5}


@dataclass
class XGBoostModel:
    """A booster as universal binary JSON; what predicts in memory is what `save` writes."""

    task_type: TaskType
    content: bytes
    booster: Any
    with_offset: bool
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """As the protocol says; adds to `sample.offset` where the fit did."""
        check_offset(NAME, sample, self.with_offset)
        return predictions_of(_raw_scores(self.booster, sample), self.task_type)

    def save(self, folder: Path) -> None:
        (folder / MODEL_FILE).write_bytes(self.content)
        save_state(folder, {"task_type": self.task_type, "with_offset": self.with_offset, "fit_details": self.fit_details}, {})


def load_xgboost(folder: Path) -> XGBoostModel:
    """Read a model that `XGBoostModel.save` wrote."""
    document, _ = load_state(folder)
    content = (folder / MODEL_FILE).read_bytes()
    return XGBoostModel(TaskType(document["task_type"]), content, _booster_of(content), document["with_offset"], document["fit_details"])


def fit_xgboost(request: FitRequest) -> XGBoostModel:
    """Boost until the inner loss has not fallen for `early_stopping_rounds`.

    Chen & Guestrin 2016. One thread, seeded; an offset goes in as the base margin, so that the trees learn what it leaves.
    """
    import xgboost

    check_request(NAME, request, TASK_TYPES, MIN_ROWS, takes_offset=True)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    parameters = _parameters(settings, request)
    inner = _matrix(request.inner, labelled=True)
    booster = xgboost.train(
        parameters,
        _matrix(request.train, labelled=True),
        num_boost_round=settings["max_rounds"],
        evals=[(inner, "inner")],
        early_stopping_rounds=settings["early_stopping_rounds"],
        verbose_eval=False,
    )
    rounds = booster.best_iteration + 1
    content = bytes(booster[:rounds].save_raw("ubj"))
    details = {"rounds": rounds, "inner_metric": parameters["eval_metric"], "inner_loss": float(booster.best_score)}
    return XGBoostModel(request.task_type, content, _booster_of(content), request.train.offset is not None, details)


def _parameters(settings: Mapping[str, Any], request: FitRequest) -> dict[str, Any]:
    objective, metric = _OBJECTIVES[request.task_type]
    parameters = {
        "objective": objective,
        "eval_metric": metric,
        "tree_method": "hist",
        "learning_rate": settings["learning_rate"],
        "max_depth": settings["max_depth"],
        "max_bin": settings["max_bin"],
        # As for LightGBM's leaf size: a short symbol must be able to split at all.
        "min_child_weight": min(settings["min_child_weight"], float(request.train.weight.sum()) / 20.0),
        "colsample_bytree": settings["colsample_bytree"],
        "reg_lambda": settings["reg_lambda"],
        "seed": request.seed,
        "nthread": 1,
        "verbosity": 0,
    }
    if request.task_type is TaskType.MULTICLASS_CLASSIFICATION:
        parameters["num_class"] = request.n_classes
    elif request.train.offset is not None:
        parameters["base_score"] = _NEUTRAL_BASE[request.task_type]
    return parameters


def _matrix(sample: Sample, labelled: bool) -> Any:
    import xgboost

    label, weight = (sample.y, sample.weight) if labelled else (None, None)
    return xgboost.DMatrix(known_values(sample.x), label=label, weight=weight, base_margin=sample.offset, nthread=1)


def _booster_of(content: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster(params={"nthread": 1})
    booster.load_model(bytearray(content))
    return booster


def _raw_scores(booster: Any, sample: Sample) -> FloatArray:
    raw = np.asarray(booster.predict(_matrix(sample, labelled=False), output_margin=True), dtype=np.float64)
    return raw.reshape(sample.n_rows, -1)


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=False,
    defaults=DEFAULTS,
    libraries=("xgboost", "numpy"),
    fit=fit_xgboost,
    load=load_xgboost,
    description="Gradient-boosted trees, depth-wise with second-order leaf weights, stopped early on the inner fold.",
    min_rows=MIN_ROWS,
    takes_offset=True,
)
