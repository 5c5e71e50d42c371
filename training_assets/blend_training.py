"""Trains the blend of one pair routed BOTH from the pooled models' folders.

Belongs here: the blend's fits, its scores against its parts, its folder. Does not: the blend's arithmetic (`training_assets.ensemble`), or the
pooled models and what they said of the pair (`training_assets.pooled_side`).

The local part is fitted on rows where the pooled prediction was made by a model that had not seen them: the cross-fitted blocks before the
out-of-sample part and the out-of-sample part itself, which the pooled model's folder holds. On rows it was fitted on, the pooled model leaves
less than it will leave later, and the local part would learn too little.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from config.sections.base import TaskType
from resources.process_limits import measured
from training_assets.blend_bases import local_part_of
from training_assets.contracts import Interval, ModelCard, Route, TrainingJob
from training_assets.ensemble import (
    BLEND,
    BlendModel,
    StrengthChoice,
    adds_to_offset,
    blend_folder_name,
    blended,
    choose_strength,
    offset_of,
)
from training_assets.families.base import Family, FitError, FittedModel
from training_assets.families.losses import raw_of
from training_assets.fitting import (
    PreparedJob,
    TrainingContext,
    cached_model,
    fit_request,
    inputs_of,
    interval_of,
    job_key,
    make_card,
    model_id_of,
    oos_columns_of,
    prepare_job,
    refusal,
)
from training_assets.guarded import guarded
from training_assets.local_prior import LOCAL_PRIOR_ROWS, OF_FINAL_FIT, OF_SCORED_FIT
from training_assets.model_store import ModelError, OosPredictions, model_folder, verified_card, write_model
from training_assets.outcomes import FamilyFailure, JobOutcome, TrainedModel, trained_model
from training_assets.pooled_side import PooledSide, oos_on_rows, read_pooled_side
from training_assets.samples import Mask
from training_assets.serving import BASE_FAMILY, POOLED_SYMBOLS, serves
from training_assets.splits import Fold
from training_assets.windows import FitWindow, blend_fold, fit_window, longest_lookback, oos_fold, optional_part, purge_codes, scored_part, strength_folds

LOCAL_MODEL_METRIC = "local_alone."
POOLED_PART_METRIC = "pooled_part."
STRENGTH_FOLDS = 5

FITS_OF_A_BLEND = 2 * (STRENGTH_FOLDS + 1)
"""Most fits of the local part that one blend makes: on the strength's folds and once more, for the score and for keeps."""
Answer = TypeVar("Answer")


def train_blend(context: TrainingContext, job: TrainingJob, families: Sequence[str], pooled: TrainingJob | None) -> JobOutcome:
    """Train the blends of one pair, one a family that has a pooled model of the target; a blend that fails stops no other.

    `pooled` : the plan's cross-sectional job of the target, None where it has none and every blend fails.
    """
    models: list[TrainedModel] = []
    failures: list[FamilyFailure] = []
    with measured() as watch:
        try:
            prepared = prepare_job(context, job)
        except FitError as error:
            return JobOutcome(
                job.job_id, (), tuple(FamilyFailure(blend_folder_name(name), job.target, job.symbol, str(error)) for name in families), False, 0.0
            )
        for name in families:
            try:
                models.append(_train_one(context, prepared, name, pooled))
            except (FitError, ModelError) as error:
                failures.append(prepared.failure(blend_folder_name(name), str(error)))
    cached = bool(models) and not failures and all(model.cached for model in models)
    return JobOutcome(job.job_id, tuple(models), tuple(failures), cached, watch.seconds)


def _train_one(context: TrainingContext, prepared: PreparedJob, name: str, pooled: TrainingJob | None) -> TrainedModel:
    base = context.families.get(name)
    if base is None:
        raise FitError(f"no family is called {name}; the registry has {', '.join(context.families)}")
    local = local_part_of(base)
    if (refused := refusal(local, prepared)) is not None:
        raise FitError(refused)
    prepared = inputs_of(context, prepared, local)
    side, alone = read_pooled_side(context, prepared, base, pooled), _local_alone(context, prepared.job, base)
    lookback = longest_lookback(context.panel, (*prepared.features, *side.card.features))
    parts = [side.card.content_key, base.name, local.name, None if alone is None else alone.content_key]
    key = job_key(context, prepared, local, {"blend": parts, "lookback_bars": lookback})
    found = cached_model(context, prepared.job, blend_folder_name(name), key)
    return found if found is not None else _fit_and_save(context, prepared, local, side, alone, lookback, key)


def _local_alone(context: TrainingContext, job: TrainingJob, base: Family) -> ModelCard | None:
    """The card of the symbol's own model of the pooled family, if the plan's own is there and made from these data."""
    try:
        card = verified_card(model_folder(context.models_root, job.target, job.symbol, base.name))
    except ModelError:
        return None
    return card if card.data_hash == context.panel.data_hash and serves(card, job, None) else None


def _fit_and_save(
    context: TrainingContext, prepared: PreparedJob, local: Family, side: PooledSide, alone: ModelCard | None, lookback: int, key: str
) -> TrainedModel:
    with measured() as watch:
        scored = _scored(context, prepared, local, side, lookback)
        known = _labelled_where(prepared, side.known)
        model, fitted = _BlendFits(context, known, local, side, side.prior_rows(OF_FINAL_FIT), lookback).final(scored.choice)
    folder_name = blend_folder_name(side.card.family)
    card = make_card(
        context,
        prepared,
        local,
        name=BLEND,
        route=Route.BOTH,
        key=key,
        features=model.features,
        fitted=fitted,
        metrics=_metrics(context, prepared, alone, scored),
        seconds=watch.seconds,
        details={
            "fit": model.fit_details,
            BASE_FAMILY: model.base_family,
            "local_family": model.local_family,
            "strength": model.strength,
            "pooled_model_id": side.card.model_id,
            POOLED_SYMBOLS: list(side.card.symbols or ()),
        },
    )
    versions = {**side.card.library_versions, **card.library_versions}
    card = replace(card, model_id=model_id_of(prepared.job, folder_name, key), library_versions=versions)
    folder = model_folder(context.models_root, card.target, card.symbol, folder_name)
    oos = OosPredictions(oos_columns_of(context, prepared, [scored.rows]), scored.blend)
    return trained_model(write_model(folder, model, card, oos), str(folder), cached=False)


def _labelled_where(prepared: PreparedJob, mask: Mask) -> PreparedJob:
    """The job with labels only on some of its rows."""
    ends = np.where(mask, prepared.rows.label_end_codes, np.int32(-1))
    return replace(prepared, rows=replace(prepared.rows, label_end_codes=ends))


@dataclass(frozen=True)
class _Scored:
    """The scored fit: its strength, and what blend and pooled part say on the out-of-sample rows."""

    choice: StrengthChoice
    rows: Mask
    blend: NDArray[np.float32]
    pooled: NDArray[np.float32]


def _scored(context: TrainingContext, prepared: PreparedJob, local: Family, side: PooledSide, lookback: int) -> _Scored:
    """The fit that is scored, on rows where the pooled model knows nothing that the score may not know.

    A row before the out-of-sample part takes part where the fit that predicted it knows no label of that part, a row of it where that fit knows none
    later than the row itself. What all symbols say of local parts is left out where it comes from labels of the part. Raises FitError where too few
    rows are left.
    """
    config, rows, where = context.config, prepared.rows, f"{prepared.where} {blend_folder_name(side.card.family)}"
    own = oos_fold(rows, context.panel.holdout_start_code, config.training.oos_fraction, prepared.info.horizon_bars, config.splits, where)
    fold = blend_fold(own, side.scored_from, rows)
    honest = side.known & (side.known_until <= np.maximum(rows.time_codes, fold.test_start))
    prior = side.prior_rows(OF_SCORED_FIT) if side.scored_from <= fold.test_start else None
    try:
        return _BlendFits(context, _labelled_where(prepared, honest), local, side, prior, lookback).scored(fold)
    except FitError as error:
        n_left_out = int((side.known & rows.usable & ~honest).sum())
        if n_left_out == 0:
            raise
        raise FitError(
            f"{error}; {n_left_out} rows are left out of the score, since what is known of them out of sample comes from a pooled fit on later labels: "
            "the symbol ends before the others"
        ) from None


@dataclass(frozen=True)
class _BlendFits:
    """The fits of one blend: on the strength's folds, for the score, and for keeps.

    `prepared` : the job with labels only where the pooled model has an out-of-sample prediction that these fits may know.
    `family` : that of the local part. `prior_rows` : the panel's prior on local parts, from rows that these fits may know.
    `lookback_bars` : of the features of both parts.
    """

    context: TrainingContext
    prepared: PreparedJob
    family: Family
    side: PooledSide
    prior_rows: float | None
    lookback_bars: int

    def scored(self, fold: Fold) -> _Scored:
        """Strength from folds before the out-of-sample part, then a fit on all before it, and its predictions there."""
        window, rows = scored_part(self.prepared.rows, fold, self.context.config.splits, self._where)
        choice = self._choose(fold.test_start)
        local = self._predict(self._fit(window), rows)
        pooled = self.side.predictions[rows]
        return _Scored(choice, rows, blended(pooled, local, choice.strength, self._task_type), pooled)

    def final(self, scored_choice: StrengthChoice) -> tuple[BlendModel, Mask]:
        """The blend fitted on every row before the holdout, its strength chosen on folds over all of them, and the rows it saw."""
        choice = self._choose(self.context.panel.holdout_start_code)
        rows = self.prepared.rows
        purge = purge_codes(self.prepared.info.horizon_bars, self.context.config.splits)
        window = fit_window(rows, rows.usable, purge, self.context.config.splits, self._where)
        local = self._fit(window)
        details = {
            "losses_by_strength": {f"{strength:g}": loss for strength, loss in choice.losses.items()},
            "strength_of_scored_fit": scored_choice.strength,
            LOCAL_PRIOR_ROWS: None if self.prior_rows is None or math.isinf(self.prior_rows) else self.prior_rows,
            "local": local.fit_details,
        }
        with_offset = adds_to_offset(self.family, self._task_type)
        features = self.prepared.features
        parts = (self.side.model, local, self.side.card.family, self.family.name, with_offset)
        return BlendModel(*parts, choice.strength, self._task_type, self.side.card.features, features, details), window.both

    @property
    def _task_type(self) -> TaskType:
        return self.prepared.info.task_type

    @property
    def _where(self) -> str:
        return f"{self.prepared.where} {blend_folder_name(self.side.card.family)}"

    @property
    def _offset(self) -> NDArray[np.float32] | None:
        return offset_of(raw_of(self.side.predictions, self._task_type)) if adds_to_offset(self.family, self._task_type) else None

    def _fit(self, window: FitWindow) -> FittedModel:
        request = fit_request(self.context, self.prepared, self.family, window, self._offset, self._settings(window))
        return self._or_error(guarded(self.family.name, lambda: self.family.fit(request), self.context.config.training.fit_timeout_seconds))

    def _settings(self, window: FitWindow) -> Mapping[str, Any] | None:
        """The panel's prior as hyperparameters of a residual fit, where the family knows how."""
        of_prior = self.family.residual_settings
        if self.prior_rows is None or of_prior is None:
            return None
        return of_prior(self.prior_rows / float(self.prepared.rows.weight[window.both].sum(dtype=np.float64)))

    @property
    def _default_strength(self) -> float:
        """What is believed of the local part before its own folds speak: all where the panel's prior has shrunk it already, else nothing."""
        return 0.0 if self.family.residual_settings is None or self.prior_rows is None or math.isinf(self.prior_rows) else 1.0

    def _predict(self, local: FittedModel, rows: Mask) -> NDArray[np.float32]:
        sample = self.prepared.rows.sample(rows, self._offset)
        return self._or_error(guarded(self.family.name, lambda: local.predict(sample), self.context.config.training.fit_timeout_seconds))

    def _or_error(self, answer: Answer | str) -> Answer:
        if isinstance(answer, str):
            raise FitError(f"{self._where}: {answer}")
        return answer

    def _choose(self, stop_code: int) -> StrengthChoice:
        """Strength by purged folds over the rows before a time; a fold that cannot be fitted says nothing."""
        config, rows = self.context.config, self.prepared.rows
        usable = rows.usable & (rows.label_end_codes <= stop_code)
        if not usable.any():
            return choose_strength((), config.scoring.shrinkage_grid, self._task_type, self._default_strength)
        start = int(rows.time_codes[usable].min())
        horizon = self.prepared.info.horizon_bars
        folds = strength_folds(start, stop_code, STRENGTH_FOLDS, horizon, self.lookback_bars, config.splits)
        parts = [part for fold in folds if (part := optional_part(rows, fold, config.splits, self._where)) is not None]
        tested = []
        for window, fold_rows in parts:
            known = fold_rows & usable
            if known.any():
                tested.append((self.side.predictions[known], self._predict(self._fit(window), known), rows.y[known], rows.weight[known]))
        return choose_strength(tested, config.scoring.shrinkage_grid, self._task_type, self._default_strength)


def _metrics(context: TrainingContext, prepared: PreparedJob, alone: ModelCard | None, scored: _Scored) -> tuple[Interval, ...]:
    """Scores of the blend, of its pooled part, and of the symbol's own model of the pooled family where it predicts these rows, on the same rows."""
    blend = interval_of(context, prepared, scored.rows, scored.blend)
    pooled = interval_of(context, prepared, scored.rows, scored.pooled)
    metrics = (blend, replace(pooled, metric=POOLED_PART_METRIC + pooled.metric))
    if alone is None:
        return metrics
    predictions, folds = oos_on_rows(context, prepared, model_folder(context.models_root, alone.target, alone.symbol, alone.family))
    if (folds[scored.rows] < 0).any():
        return metrics
    local = interval_of(context, prepared, scored.rows, predictions[scored.rows])
    return (*metrics, replace(local, metric=LOCAL_MODEL_METRIC + local.metric))
