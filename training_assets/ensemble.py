"""ROUTE_BOTH: a local model that learns what the pooled one leaves, and how far it is believed.

Belongs here: the blend as a model, and the choice of its strength. Does not: where the pooled predictions come from or where the blend is kept
(`training_assets.blend_training`).

In raw scores (value, log odds, log probabilities):  blend = pooled + strength * (local - pooled).  Where the family can add to an offset, the
local model is fitted on top of the pooled raw score, so that `local - pooled` is what it learned of the residual, shrunk to nothing by its own
regularisation; elsewhere it is a plain local model and the blend a weighted mean (for classes a geometric one). The local part is of the pooled
one's family, or of another where that is a net (`training_assets.blend_bases`). Strength zero is the pooled model itself: pooled is the
prior, and local has to earn its say (Montero-Manso & Hyndman 2021).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.families.base import Family, FittedModel, Sample
from training_assets.families.losses import SMALLEST_PROBABILITY, predictions_of, raw_of

BLEND = "Blend"
BLEND_FILE = "blend.json"
POOLED_FOLDER = "pooled"
LOCAL_FOLDER = "local"

Raw = NDArray[np.float64]  # shape (n_rows, n_outputs)


def blend_folder_name(base_family: str) -> str:
    """The folder, beside the local models of a symbol, of the blend made of a family."""
    return f"{BLEND}-{base_family}"


def blend_features(local: tuple[str, ...], pooled: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that a blend reads, in order: those of its local part, then what its pooled part reads beyond them."""
    return tuple(dict.fromkeys((*local, *pooled)))


def adds_to_offset(family: Family, task_type: TaskType) -> bool:
    """Whether the local part is fitted on top of the pooled raw score."""
    return family.takes_offset and task_type is not TaskType.MULTICLASS_CLASSIFICATION


def offset_of(raw: Raw) -> NDArray[np.float32]:
    """A pooled raw score as the offset of a sample; shape (n_rows,)."""
    return raw[:, 0].astype(np.float32)


def blended(pooled: NDArray[np.float32], local: NDArray[np.float32], strength: float, task_type: TaskType) -> NDArray[np.float32]:
    """Predictions of the blend from those of its parts, all of one shape."""
    if strength == 0.0:
        return pooled
    pooled_raw = raw_of(pooled, task_type)
    return predictions_of(pooled_raw + strength * (raw_of(local, task_type) - pooled_raw), task_type)


@dataclass(frozen=True)
class StrengthChoice:
    """The strength chosen (not itself on the grid), and the mean loss out of sample of each strength tried."""

    strength: float
    losses: dict[float, float]


def choose_strength(
    parts: Sequence[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]],
    grid: Sequence[float],
    task_type: TaskType,
    default: float = 0.0,
) -> StrengthChoice:
    """Choose how far the local part is believed: from the default towards the grid's best strength, as far as its gain is beyond doubt.

    With t the gain over the default in its own standard errors, the way is gone by max(0, 1 - 1 / t**2), the positive part of James & Stein
    (1961): a gain within one error is taken for luck and changes nothing, a sure one is believed in full. The best of several strengths on a
    short history is mostly luck.

    Parameters
    ----------
    parts : of each purged test fold the pooled predictions, local predictions, labels and weights (average uniqueness, so that overlapping
        labels count as the fewer that they are) of its rows; the local model was fitted without them. Without any fold the choice is the default.
    grid : strengths to try; zero and the default are always tried.
    default : zero, the pooled model, for local parts that have only their own history to go by; one for those that the panel's prior has
        shrunk already.
    """
    strengths = sorted({0.0, default, *grid})
    if not parts:
        return StrengthChoice(default, {})
    pooled, local, labels, weights = (np.concatenate([part[column] for part in parts]) for column in range(4))
    by_row = {strength: _row_losses(blended(pooled, local, strength, task_type), labels, task_type) for strength in strengths}
    share = weights.astype(np.float64) / weights.sum(dtype=np.float64)
    losses = {strength: float(share @ row_losses) for strength, row_losses in by_row.items()}
    best = min(strengths, key=lambda strength: losses[strength])
    gain = by_row[default] - by_row[best]
    mean_gain = float(share @ gain)
    # The weights sum to the effective number of rows, overlapping labels counted as the fewer that they are.
    error = math.sqrt(float(share @ (gain - mean_gain) ** 2) / weights.sum(dtype=np.float64))
    doubt = (error / mean_gain) ** 2 if mean_gain > 0.0 else 1.0
    return StrengthChoice(default + (best - default) * max(0.0, 1.0 - doubt), losses)


def _row_losses(predictions: NDArray[np.float32], labels: NDArray[np.float32], task_type: TaskType) -> NDArray[np.float64]:
    """Half the squared error, or the log loss in nats; shape (n_rows,)."""
    truth = labels.astype(np.float64)
    if task_type is TaskType.REGRESSION:
        return 0.5 * (predictions.astype(np.float64) - truth) ** 2
    chances = np.clip(predictions.astype(np.float64), SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    if task_type is TaskType.BINARY_CLASSIFICATION:
        return -np.log(np.where(truth > 0.5, chances, 1.0 - chances))
    return -np.log(np.take_along_axis(chances, truth.astype(np.int64)[:, None], axis=1)[:, 0])


@dataclass
class BlendModel:
    """A pooled and a local model with the strength between them; a `FittedModel` that needs nothing outside its own folder.

    `base_family`, `local_family` : names of the families of the pooled and of the local part. `pooled_features`, `local_features` : the columns
    each part reads, in order; a sample carries them all.
    """

    pooled: FittedModel
    local: FittedModel
    base_family: str
    local_family: str
    with_offset: bool
    strength: float
    task_type: TaskType
    pooled_features: tuple[str, ...]
    local_features: tuple[str, ...]
    fit_details: dict[str, Any]

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that a sample must carry, in order."""
        return blend_features(self.local_features, self.pooled_features)

    def predict(self, sample: Sample) -> NDArray[np.float32]:
        """As the protocol of a fitted model says."""
        pooled, local = self.predict_parts(sample)
        return blended(pooled, local, self.strength, self.task_type)

    def predict_parts(self, sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the pooled part says, and the local part at strength one."""
        pooled = self.pooled.predict(with_columns(sample, self.pooled_features))
        offset = offset_of(raw_of(pooled, self.task_type)) if self.with_offset else None
        return pooled, self.local.predict(replace(with_columns(sample, self.local_features), offset=offset))

    def save(self, folder: Path) -> None:
        """Both parts in folders of their own, and how they are joined."""
        for name, part in ((POOLED_FOLDER, self.pooled), (LOCAL_FOLDER, self.local)):
            (folder / name).mkdir()
            part.save(folder / name)
        document = {
            "base_family": self.base_family,
            "local_family": self.local_family,
            "with_offset": self.with_offset,
            "strength": self.strength,
            "task_type": self.task_type,
            "pooled_features": self.pooled_features,
            "local_features": self.local_features,
            "fit_details": self.fit_details,
        }
        (folder / BLEND_FILE).write_bytes(orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2))


def load_blend(folder: Path, find: Callable[[str], Family]) -> BlendModel:
    """Read a blend back; `find` gives the family of its parts by name."""
    document: Mapping[str, Any] = orjson.loads((folder / BLEND_FILE).read_bytes())
    base, local = find(document["base_family"]), find(document["local_family"])
    return BlendModel(
        pooled=base.load(folder / POOLED_FOLDER),
        local=local.load(folder / LOCAL_FOLDER),
        base_family=base.name,
        local_family=local.name,
        with_offset=document["with_offset"],
        strength=float(document["strength"]),
        task_type=TaskType(document["task_type"]),
        pooled_features=tuple(document["pooled_features"]),
        local_features=tuple(document["local_features"]),
        fit_details=document["fit_details"],
    )


def with_columns(sample: Sample, features: tuple[str, ...]) -> Sample:
    """A sample with only some of its features, in the order given. Raises KeyError for one it does not carry."""
    if features == sample.feature_names:
        return sample
    position = {name: column for column, name in enumerate(sample.feature_names)}
    columns = [position[name] for name in features]
    return replace(sample, x=sample.x[:, columns], history=sample.history[:, columns], feature_names=features)
