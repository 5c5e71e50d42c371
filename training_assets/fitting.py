"""What every fit of a job shares: the process's means, the prepared job, the request, the card.

Belongs here: what the trainer and the blends both do around a fit. Does not: the order of jobs (`training_assets.trainer`), or the blend's own
arithmetic (`training_assets.ensemble`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from config.schema import Config
from training_assets.content_key import content_key, hyperparameters_of, library_versions, rows_digest, seed_of, settings_identity
from training_assets.contracts import RELATED_TARGETS, Interval, ModelCard, Route, TrainingJob, TrainingType
from training_assets.families.base import Family, FitError, FitRequest
from training_assets.metrics import score_predictions
from training_assets.model_store import ModelError, model_folder, oos_columns, verified_card
from training_assets.outcomes import FamilyFailure, TrainedModel, trained_model
from training_assets.panel.panel import Panel, TargetInfo
from training_assets.related_labels import RelatedLabels, gather_related
from training_assets.samples import JobRows, Mask, gather_rows
from training_assets.serving import features_read
from training_assets.windows import FitWindow, purge_codes

EXPERIMENTAL_MARK = "experimental:"


@dataclass(frozen=True)
class TrainingContext:
    """What every job of a process is trained with."""

    panel: Panel
    config: Config
    models_root: Path
    plan_id: str | None
    device: str
    families: Mapping[str, Family]

    def hyperparameters(self, family: Family) -> dict[str, Any]:
        """The family's defaults under the settings of `training.hyperparameters`; names match without regard to case."""
        return hyperparameters_of(self.config, family)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings and data that can change any model."""
        return {"data_hash": self.panel.data_hash, **settings_identity(self.config)}


@dataclass(frozen=True)
class PreparedJob:
    """A job with its rows, gathered once for all its families; nothing of the holdout is among them.

    `features` are the columns of the rows; `related` the labels of related targets, for the families that take them (`inputs_of`).
    """

    job: TrainingJob
    info: TargetInfo
    rows: JobRows
    digest: str
    features: tuple[str, ...]
    related: RelatedLabels | None = None

    @property
    def pooled(self) -> bool:
        return self.job.training_type is TrainingType.CROSS_SECTIONAL

    @property
    def where(self) -> str:
        return f"{self.job.target}/{'pooled' if self.job.symbol is None else self.job.symbol}"

    def failure(self, family: str, error: str) -> FamilyFailure:
        return FamilyFailure(family, self.job.target, self.job.symbol, error)


def prepare_job(context: TrainingContext, job: TrainingJob) -> PreparedJob:
    """Gather a job's rows. Raises FitError where the panel lacks what the job names."""
    return _prepared(context, job, job.features, ())


def inputs_of(context: TrainingContext, prepared: PreparedJob, family: Family) -> PreparedJob:
    """The job as a family sees it: with the plan's state features or related targets where the family reads them.

    Raises FitError where the panel lacks what the job names.
    """
    job = prepared.job
    plain, with_state = features_read(job)
    features = with_state if family.reads_state else plain
    related = job.related_targets if family.takes_auxiliary else ()
    return _prepared(context, job, features, related) if features != plain or related else prepared


def _prepared(context: TrainingContext, job: TrainingJob, features: tuple[str, ...], related: tuple[str, ...]) -> PreparedJob:
    panel = context.panel
    symbols = job.symbols if job.symbol is None else (job.symbol,)
    if not symbols or not job.features:
        raise FitError(f"job {job.job_id}: names {len(symbols or ())} symbols and {len(job.features)} features, needs at least 1 of each; make the plan again")
    try:
        rows = gather_rows(panel, symbols, features, job.target, panel.holdout_start_code)
        labels = gather_related(panel, rows, related, panel.holdout_start_code) if related else None
        info = panel.target_infos[panel.target_code(job.target)]
    except KeyError as error:
        raise FitError(f"job {job.job_id}: {error.args[0]}; the plan was made for other data, make it again") from None
    return PreparedJob(job, info, rows, rows_digest(rows), features, labels)


def job_key(context: TrainingContext, prepared: PreparedJob, family: Family, extra: Mapping[str, Any] | None = None) -> str:
    """Digest of everything that can change the model of a family for a job."""
    job, info, related = prepared.job, prepared.info, prepared.related
    return content_key(
        {
            **context.identity,
            "job": [job.job_id, job.target, job.symbol, job.symbols, job.route, job.training_type, prepared.features, job.feature_set_id, is_experimental(job)],
            "target": [info.task_type, info.horizon_bars, info.classes],
            "family": [family.name, context.hyperparameters(family), library_versions(family.libraries), context.device],
            "rows": [prepared.digest, None if related is None else related.digest],
            "extra": dict(extra or {}),
        }
    )


def is_experimental(job: TrainingJob) -> bool:
    """Whether a job's models are marked as experimental."""
    return job.experimental or bool(job.metadata.get("experimental", False))


def cached_model(context: TrainingContext, job: TrainingJob, folder_name: str, key: str) -> TrainedModel | None:
    """The finished model under the same content key, if it is there, whole, and not to be refreshed."""
    if context.config.resources.force_refresh:
        return None
    folder = model_folder(context.models_root, job.target, job.symbol, folder_name)
    try:
        card = verified_card(folder)
    except ModelError:
        return None
    return trained_model(card, str(folder), cached=True) if card.content_key == key else None


def fit_request(
    context: TrainingContext,
    prepared: PreparedJob,
    family: Family,
    window: FitWindow,
    offset: NDArray[np.float32] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> FitRequest:
    """A request for a fit on a window; the seed depends on the job and family alone. `settings` go over the family's hyperparameters."""
    rows, related = prepared.rows, prepared.related
    of_train, of_inner = (None, None) if related is None else related.known_in(rows, window)
    return FitRequest(
        train=rows.sample(window.train, offset, of_train),
        inner=rows.sample(window.inner, offset, of_inner),
        task_type=prepared.info.task_type,
        n_classes=max(len(prepared.info.classes), 1),
        hyperparameters={**context.hyperparameters(family), **(settings or {})},
        seed=seed_of(context.config.seed, prepared.job.job_id, family.name),
        device=context.device,
    )


def refusal(family: Family, prepared: PreparedJob) -> str | None:
    """Why a family cannot take a job, or None."""
    if prepared.info.task_type not in family.task_types:
        return f"{family.name} cannot take {prepared.info.task_type}; it declares {', '.join(sorted(family.task_types))}"
    if not family.single_symbol and not prepared.pooled:
        return f"{family.name} learns across symbols and takes pooled jobs only"
    return None


def interval_of(context: TrainingContext, prepared: PreparedJob, rows: Mask, predictions: NDArray[np.float32]) -> Interval:
    """Score of predictions on some rows of a job, with its confidence interval."""
    scoring, data = context.config.scoring, prepared.rows
    return score_predictions(
        prepared.info.task_type,
        data.y[rows],
        predictions,
        data.time_codes[rows],
        data.symbol_codes[rows],
        prepared.info.horizon_bars,
        prepared.pooled,
        scoring.confidence,
        scoring.hac_horizons,
    )


def oos_columns_of(context: TrainingContext, prepared: PreparedJob, masks: Sequence[Mask]) -> dict[str, pa.Array]:
    """Join the rows of several out-of-sample parts, numbered in their order."""
    data = prepared.rows
    positions = np.concatenate([np.flatnonzero(mask) for mask in masks])
    folds = np.repeat(np.arange(len(masks), dtype=np.int32), [int(mask.sum()) for mask in masks])
    return oos_columns(context.panel, prepared.job.target, data.time_codes[positions], data.symbol_codes[positions], folds, data.y[positions])


def make_card(
    context: TrainingContext,
    prepared: PreparedJob,
    family: Family,
    *,
    name: str,
    route: Route,
    key: str,
    fitted: Mask,
    metrics: tuple[Interval, ...],
    seconds: float,
    details: dict[str, Any],
    features: tuple[str, ...] | None = None,
) -> ModelCard:
    """The card of a model whose final fit saw the rows `fitted`; `features` where the model reads others than the job's rows have."""
    further = {} if prepared.related is None else {RELATED_TARGETS: prepared.related.names}
    job, info, times = prepared.job, prepared.info, prepared.rows.time_codes[fitted]
    return ModelCard(
        model_id=model_id_of(job, name, key),
        job_id=job.job_id,
        plan_id=context.plan_id,
        target=job.target,
        symbol=job.symbol,
        symbols=job.symbols,
        route=route,
        family=name,
        features=prepared.features if features is None else features,
        feature_set_id=job.feature_set_id,
        hyperparameters=context.hyperparameters(family),
        seed=seed_of(context.config.seed, job.job_id, family.name),
        task_type=info.task_type,
        classes=info.classes,
        horizon_bars=info.horizon_bars,
        n_rows=int(fitted.sum()),
        train_start=_iso(context.panel, int(times.min())),
        train_end=_iso(context.panel, int(times.max())),
        purge_bars=purge_codes(info.horizon_bars, context.config.splits),
        data_hash=context.panel.data_hash,
        oos_metrics=metrics,
        library_versions=library_versions(family.libraries),
        device=context.device,
        fit_seconds=round(seconds, 6),
        experimental=is_experimental(job),
        content_key=key,
        details={**details, **further},
    )


def model_id_of(job: TrainingJob, folder_name: str, key: str) -> str:
    """A model's name; that of an experimental one says so."""
    mark = EXPERIMENTAL_MARK if is_experimental(job) else ""
    return f"{mark}{job.job_id}:{folder_name}:{key[:12]}"


def _iso(panel: Panel, time_code: int) -> str:
    return f"{np.datetime64(int(panel.times_ns[time_code]), 'ns').astype('datetime64[s]')}+00:00"
