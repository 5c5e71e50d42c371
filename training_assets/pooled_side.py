"""The pooled model that a blend stands on, as its folder holds it: the model, its card, and what it said out of sample of one pair's rows.

Belongs here: reading it closed, and lining its predictions up with the pair's rows. Does not: the blend (`training_assets.blend_training`).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.sections.base import TaskType
from training_assets.contracts import ModelCard, TrainingJob
from training_assets.families.base import Family, FittedModel
from training_assets.fitting import PreparedJob, TrainingContext
from training_assets.local_prior import LOCAL_PRIOR_ROWS
from training_assets.model_store import KNOWN_UNTIL_DETAIL, ModelError, model_folder, probability_columns, read_oos, verified_card
from training_assets.samples import Mask
from training_assets.serving import mismatch


@dataclass(frozen=True)
class PooledSide:
    """The pooled model of a target and family, and what it said out of sample of the pair's rows.

    `predictions` : shape (n_rows,) or (n_rows, n_classes) on the pair's rows; NaN where it said nothing out of sample.
    `known_until` : shape (n_rows,), the last time code at whose close the fit that predicted the row may know a label; -1 where none did.
    """

    model: FittedModel
    card: ModelCard
    predictions: NDArray[np.float32]
    known_until: NDArray[np.int64]

    @property
    def scored_from(self) -> int:
        """First time code of the part that the pooled model is scored on."""
        return int(self.card.details[KNOWN_UNTIL_DETAIL][-1])

    def prior_rows(self, of_fit: str) -> float | None:
        """The panel's prior on local parts, in effective rows; infinity where symbols have nothing of their own, None where it was not estimated.

        `of_fit` : `OF_SCORED_FIT` or `OF_FINAL_FIT`.
        """
        if LOCAL_PRIOR_ROWS not in self.card.details or self.card.task_type is TaskType.MULTICLASS_CLASSIFICATION:
            return None
        found = self.card.details[LOCAL_PRIOR_ROWS][of_fit]
        return math.inf if found is None else float(found)

    @property
    def known(self) -> Mask:
        return np.asarray(np.isfinite(self.predictions.reshape(self.predictions.shape[0], -1)).all(axis=1))


def read_pooled_side(context: TrainingContext, prepared: PreparedJob, family: Family, pooled: TrainingJob | None) -> PooledSide:
    """Read the pooled model of a target and family, checked whole and made for these data and by the plan's own pooled job.

    `pooled` : the plan's cross-sectional job of the target, None where it has none. Raises ModelError that says what to train or plan first.
    """
    job = prepared.job
    if pooled is None or job.symbol not in (pooled.symbols or ()):
        raise ModelError(f"{prepared.where}: the plan pools no {job.symbol} for {job.target}, and a blend stands on a pooled model; make the plan again")
    folder = model_folder(context.models_root, job.target, None, family.name)
    card = verified_card(folder)
    if card.data_hash != context.panel.data_hash:
        raise ModelError(f"{folder}: made from data {card.data_hash}, these are {context.panel.data_hash}; train the pooled model on these data first")
    if (left_over := mismatch(card, pooled, None)) is not None:
        raise ModelError(f"{folder}: a model of another plan: {left_over}; train the pooled model from this plan first")
    if KNOWN_UNTIL_DETAIL not in card.details:
        raise ModelError(f"{folder}: was not cross-fitted for blends, as the plan asks; train the pooled model from this plan first")
    predictions, folds = oos_on_rows(context, prepared, folder)
    return PooledSide(family.load(folder), card, predictions, np.r_[card.details[KNOWN_UNTIL_DETAIL], -1][folds])


def oos_on_rows(context: TrainingContext, prepared: PreparedJob, folder: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A model's out-of-sample predictions on the rows of a pair, NaN where it has none, and the part that each is of, -1 there."""
    info, rows = prepared.info, prepared.rows
    table = read_oos(folder)
    table = table.filter(pc.equal(table["symbol"], prepared.job.symbol))
    names = probability_columns(len(info.classes)) if info.task_type is TaskType.MULTICLASS_CLASSIFICATION else ("prediction",)
    values = np.stack([table[name].to_numpy() for name in names], axis=1)
    codes = np.searchsorted(context.panel.times_ns, table["timestamp"].cast("int64").to_numpy())
    predictions = np.full((rows.n_rows, len(names)), np.nan, np.float32)
    place = np.searchsorted(rows.time_codes, codes)
    found = (place < rows.n_rows) & (rows.time_codes[np.minimum(place, rows.n_rows - 1)] == codes)
    predictions[place[found]] = values[found]
    folds = np.full(rows.n_rows, -1, np.int32)
    folds[place[found]] = table["fold"].to_numpy()[found]
    return (predictions if info.task_type is TaskType.MULTICLASS_CLASSIFICATION else predictions[:, 0]), folds
