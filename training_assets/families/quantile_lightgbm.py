"""QuantileLightGBM: several conditional quantiles by boosting the pinball loss, put in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import Stage
from training_assets.families import lightgbm_model
from training_assets.families.base import Family, FitError, FitRequest, Sample
from training_assets.families.preprocessing import FloatArray, check_offset, check_request, load_state, save_state, settings_of

NAME = "QuantileLightGBM"
TASK_TYPES = frozenset({TaskType.REGRESSION})
MIN_ROWS = 100
DEFAULTS: Mapping[str, Any] = {**lightgbm_model.DEFAULTS, "quantiles": (0.05, 0.25, 0.5, 0.75, 0.95)}
BOUNDS = {**lightgbm_model.BOUNDS, "quantiles": (0.001, 0.999)}


@dataclass
class QuantileModel:
    """One booster a quantile level, `levels` ascending; what predicts in memory is what `save` writes."""

    levels: tuple[float, ...]
    texts: tuple[str, ...]
    boosters: tuple[Any, ...]
    fit_details: dict[str, Any]

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """Shape (n_rows,): the median, read off the quantiles (between the two nearest levels where .5 is not one of them)."""
        check_offset(NAME, sample, fitted_with_offset=False)
        return median_of(self.predict_quantiles(sample), self.levels).astype(np.float32)

    def predict_quantiles(self, sample: Sample) -> FloatArray:
        """Shape (n_rows, n_levels), ascending in each row.

        Crossing is mended by sorting each row, which never raises the pinball loss (Chernozhukov, Fernandez-Val & Galichon 2010).
        """
        return sorted_quantiles(self.boosters, sample)

    def save(self, folder: Path) -> None:
        for position, text in enumerate(self.texts):
            (folder / f"quantile_{position}.txt").write_text(text, encoding="utf-8")
        save_state(folder, {"levels": self.levels, "fit_details": self.fit_details}, {})


def load_quantile(folder: Path) -> QuantileModel:
    """Read a model that `QuantileModel.save` wrote."""
    document, _ = load_state(folder)
    levels = tuple(document["levels"])
    texts = tuple((folder / f"quantile_{position}.txt").read_text(encoding="utf-8") for position in range(len(levels)))
    return QuantileModel(levels, texts, tuple(map(lightgbm_model.booster_of, texts)), document["fit_details"])


def fit_quantile(request: FitRequest) -> QuantileModel:
    """Boost one model a level on shared bins, each stopped early on its own inner pinball loss.

    Koenker & Bassett 1978; Meinshausen 2006 for what the levels together tell. The details hold the inner pinball loss by level and the share of inner
    labels inside the outermost interval against its nominal share.
    """
    check_request(NAME, request, TASK_TYPES, MIN_ROWS)
    settings = settings_of(NAME, request, DEFAULTS, BOUNDS)
    levels = tuple(sorted(set(settings["quantiles"])))
    if len(levels) < 2:
        raise FitError(f"{NAME}: {len(levels)} quantile level < 2; mend training.hyperparameters.{NAME}.quantiles")
    shared = {**lightgbm_model.parameters_of(settings, request), "objective": "quantile", "metric": "quantile"}
    train, inner = lightgbm_model.datasets(request, shared)
    fits = [lightgbm_model.boost(train, inner, {**shared, "alpha": level}, settings) for level in levels]
    texts = tuple(text for text, _, _ in fits)
    boosters = tuple(map(lightgbm_model.booster_of, texts))
    details = {f"inner_{name}": told for name, told in quantile_details(sorted_quantiles(boosters, request.inner), request.inner, levels).items()}
    details["rounds"] = {f"{level:g}": rounds for level, (_, rounds, _) in zip(levels, fits, strict=True)}
    return QuantileModel(levels, texts, boosters, details)


def sorted_quantiles(boosters: tuple[Any, ...], sample: Sample) -> FloatArray:
    """Shape (n_rows, n_levels), each row sorted."""
    return np.sort(np.column_stack([lightgbm_model.raw_scores(booster, sample)[:, 0] for booster in boosters]), axis=1)


def median_of(quantiles: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """Shape (n_rows,): the .5 quantile, interpolated between levels, or the nearest level where all lie on one side."""
    above = int(np.searchsorted(levels, 0.5))
    if above in (0, len(levels)) or levels[min(above, len(levels) - 1)] == 0.5:
        return quantiles[:, min(above, len(levels) - 1)]
    share = (0.5 - levels[above - 1]) / (levels[above] - levels[above - 1])
    return np.asarray((1.0 - share) * quantiles[:, above - 1] + share * quantiles[:, above])


def quantile_details(quantiles: FloatArray, sample: Sample, levels: tuple[float, ...]) -> dict[str, Any]:
    """Weighted pinball loss by level, and the coverage of the outermost interval."""
    share = sample.weight.astype(np.float64) / float(sample.weight.sum(dtype=np.float64))
    errors = sample.y.astype(np.float64)[:, None] - quantiles
    pinball = (share[:, None] * np.maximum(np.array(levels) * errors, (np.array(levels) - 1.0) * errors)).sum(axis=0)
    inside = (errors[:, 0] >= 0.0) & (errors[:, -1] <= 0.0)
    return {
        "pinball": {f"{level:g}": float(loss) for level, loss in zip(levels, pinball, strict=True)},
        "coverage": float(share[inside].sum()),
        "nominal_coverage": levels[-1] - levels[0],
    }


def told_out_of_sample(model: QuantileModel, sample: Sample) -> dict[str, Any]:
    """Pinball loss by level, and coverage of the outermost interval, on rows the model was not fitted on."""
    return quantile_details(model.predict_quantiles(sample), sample, model.levels)


FAMILY = Family(
    name=NAME,
    stage=Stage.CPU,
    task_types=TASK_TYPES,
    cheap=False,
    defaults=DEFAULTS,
    libraries=("lightgbm", "numpy"),
    fit=fit_quantile,
    load=load_quantile,
    description="Several conditional quantiles by boosting the pinball loss, monotone; predicts the median.",
    min_rows=MIN_ROWS,
    told_out_of_sample=told_out_of_sample,
)
