"""Ridge regression, and its logistic and softmax counterparts."""

from collections.abc import Mapping
from typing import Any

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families.base import Family, FitRequest
from training_assets.families.linear import PENALTIES, LinearModel, fit_path, inner_losses, strongest_without_doubt
from training_assets.families.preprocessing import Standardiser, check_request, joined, one_thread, rows_of, settings_of

NAME = "Ridge"
TASK_TYPES = frozenset(TaskType)
MIN_ROWS = 50
DEFAULTS: Mapping[str, Any] = {"penalties": PENALTIES, "penalise_intercept": False}
MAX_PENALTY = 1e9
BOUNDS = {"penalties": (1e-9, MAX_PENALTY)}


def fit_ridge(request: FitRequest) -> LinearModel:
    """Choose the penalty on the inner fold, the strongest that is not clearly worse than the best, then fit on both parts with it.

    Hoerl & Kennard 1970. The standardiser keeps to the training rows; the refit reads the inner rows too, since nothing is left to choose.
    """
    check_request(NAME, request, TASK_TYPES, MIN_ROWS, takes_offset=True)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    penalties, on_intercept = settings["penalties"], settings["penalise_intercept"]
    with one_thread("scipy.optimize"):
        standardiser = Standardiser.fit(request.train)
        train, inner = rows_of(standardiser, request.train), rows_of(standardiser, request.inner)
        path = fit_path(train, request.task_type, request.n_classes, penalties, on_intercept)
        losses = inner_losses(path, inner, request.task_type)
        penalty = strongest_without_doubt(penalties, path, inner, request.task_type)
        coefficients = fit_path(joined(train, inner), request.task_type, request.n_classes, (penalty,), on_intercept)[0]
    details = {"penalty": penalty, "inner_losses": dict(zip(map(str, penalties), losses, strict=True))}
    return LinearModel(NAME, request.task_type, standardiser, coefficients, request.train.offset is not None, details)


def residual_settings(penalty: float) -> Mapping[str, Any]:
    """A residual fit under a known prior: one penalty, and on the intercept too, since the pooled model has one."""
    return {"penalties": (min(max(penalty, 1e-9), MAX_PENALTY),), "penalise_intercept": True}


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=True,
    defaults=DEFAULTS,
    libraries=("numpy", "scipy", "safetensors"),
    fit=fit_ridge,
    load=LinearModel.load,
    description="Ridge, logistic or softmax regression on standardised features; penalty chosen on the inner fold.",
    min_rows=MIN_ROWS,
    takes_offset=True,
    residual_settings=residual_settings,
)
