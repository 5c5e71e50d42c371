"""LightGBM: gradient-boosted trees on histograms."""

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

NAME = "LightGBM"
MODEL_FILE = "model.txt"
TASK_TYPES = frozenset(TaskType)
MIN_ROWS = 50
DEFAULTS: Mapping[str, Any] = {
    "max_rounds": 300,
    "early_stopping_rounds": 30,
    "learning_rate": 0.05,
    "num_leaves": 15,
    "max_bin": 63,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.8,
    "lambda_l2": 1.0,
}
BOUNDS = {
    "max_rounds": (1, 100_000),
    "early_stopping_rounds": (1, 100_000),
    "learning_rate": (1e-6, 1.0),
    "num_leaves": (2, 4096),
    "max_bin": (2, 65_535),
    "min_data_in_leaf": (1, 1e9),
    "feature_fraction": (1e-3, 1.0),
    "lambda_l2": (0.0, 1e12),
}
_OBJECTIVES = {
    TaskType.REGRESSION: ("regression", "l2"),
    TaskType.BINARY_CLASSIFICATION: ("binary", "binary_logloss"),
    TaskType.MULTICLASS_CLASSIFICATION: ("multiclass", "multi_logloss"),
}


@dataclass
class LightGBMModel:
    """A booster as its own text; what predicts in memory is what `save` writes."""

    task_type: TaskType
    text: str
    booster: Any
    with_offset: bool
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """As the protocol says; adds to `sample.offset` where the fit did."""
        check_offset(NAME, sample, self.with_offset)
        raw = raw_scores(self.booster, sample)
        if sample.offset is not None:
            raw[:, 0] += sample.offset
        return predictions_of(raw, self.task_type)

    def save(self, folder: Path) -> None:
        (folder / MODEL_FILE).write_text(self.text, encoding="utf-8")
        save_state(folder, {"task_type": self.task_type, "with_offset": self.with_offset, "fit_details": self.fit_details}, {})


def load_lightgbm(folder: Path) -> LightGBMModel:
    """Read a model that `LightGBMModel.save` wrote."""
    document, _ = load_state(folder)
    text = (folder / MODEL_FILE).read_text(encoding="utf-8")
    return LightGBMModel(TaskType(document["task_type"]), text, booster_of(text), document["with_offset"], document["fit_details"])


def fit_lightgbm(request: FitRequest) -> LightGBMModel:
    """Boost until the inner loss has not fallen for `early_stopping_rounds`.

    Ke et al. 2017. One thread, deterministic; an offset goes in as the initial raw score, so that the trees learn what it leaves.
    """
    check_request(NAME, request, TASK_TYPES, MIN_ROWS, takes_offset=True)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    objective, metric = _OBJECTIVES[request.task_type]
    parameters = {**parameters_of(settings, request), "objective": objective, "metric": metric}
    if request.task_type is TaskType.MULTICLASS_CLASSIFICATION:
        parameters["num_class"] = request.n_classes
    train, inner = datasets(request, parameters)
    text, rounds, loss = boost(train, inner, parameters, settings)
    details = {"rounds": rounds, "inner_metric": metric, "inner_loss": loss}
    return LightGBMModel(request.task_type, text, booster_of(text), request.train.offset is not None, details)


def parameters_of(settings: Mapping[str, Any], request: FitRequest) -> dict[str, Any]:
    """Library parameters that every objective shares."""
    return {
        "learning_rate": settings["learning_rate"],
        "num_leaves": settings["num_leaves"],
        "max_bin": settings["max_bin"],
        # A short symbol could not make one split with the leaf size of a long one.
        "min_data_in_leaf": min(settings["min_data_in_leaf"], max(2, request.train.n_rows // 10)),
        "feature_fraction": settings["feature_fraction"],
        "lambda_l2": settings["lambda_l2"],
        "seed": request.seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def datasets(request: FitRequest, parameters: Mapping[str, Any]) -> tuple[Any, Any]:
    """Binned training and inner rows; the inner rows use the training bins. They serve any number of boosters."""
    import lightgbm

    def dataset(sample: Sample, reference: Any) -> Any:
        return lightgbm.Dataset(
            known_values(sample.x), sample.y, weight=sample.weight, init_score=sample.offset, reference=reference, params=dict(parameters), free_raw_data=False
        )

    train = dataset(request.train, None)
    return train, dataset(request.inner, train)


def boost(train: Any, inner: Any, parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str, int, float]:
    """Train one booster with early stopping; its text up to the best round, the number of rounds and the inner loss there."""
    import lightgbm

    stop = lightgbm.early_stopping(settings["early_stopping_rounds"], verbose=False)
    booster = lightgbm.train(dict(parameters), train, num_boost_round=settings["max_rounds"], valid_sets=[inner], valid_names=["inner"], callbacks=[stop])
    rounds = booster.best_iteration or booster.current_iteration()
    return booster.model_to_string(num_iteration=rounds), int(rounds), float(next(iter(booster.best_score["inner"].values())))


def booster_of(text: str) -> Any:
    """A booster from its text."""
    import lightgbm

    return lightgbm.Booster(model_str=text)


def raw_scores(booster: Any, sample: Sample) -> FloatArray:
    """Shape (n_rows, n_outputs), without any offset."""
    raw = np.asarray(booster.predict(known_values(sample.x), raw_score=True, num_threads=1), dtype=np.float64)
    return raw.reshape(sample.n_rows, -1)


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=True,
    defaults=DEFAULTS,
    libraries=("lightgbm", "numpy"),
    fit=fit_lightgbm,
    load=load_lightgbm,
    description="Gradient-boosted trees, leaf-wise on histograms, stopped early on the inner fold.",
    min_rows=MIN_ROWS,
    takes_offset=True,
)
