"""One batch of jobs, one stage: each family fitted, scored out of sample, fitted again on all that is known, and saved.

Belongs here: the life of the models of plain jobs. Does not: blends (`training_assets.blend_training`), or processes (`training_assets.trainer`).
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resources.devices import peak_memory
from resources.process_limits import measured
from training_assets.blend_bases import blend_bases, local_part_of
from training_assets.contracts import NEEDS_CROSS_FIT, TrainingJob
from training_assets.families.base import Family, FitError, FitRequest, FittedModel
from training_assets.fitting import (
    PreparedJob,
    TrainingContext,
    cached_model,
    fit_request,
    inputs_of,
    interval_of,
    is_experimental,
    job_key,
    make_card,
    oos_columns_of,
    prepare_job,
    refusal,
)
from training_assets.guarded import guarded, guarded_fits
from training_assets.local_prior import LOCAL_PRIOR_ROWS, OF_FINAL_FIT, OF_SCORED_FIT, local_prior_rows
from training_assets.model_store import KNOWN_UNTIL_DETAIL, OosPredictions, model_folder, write_model
from training_assets.outcomes import FamilyFailure, JobOutcome, TrainedModel, trained_model
from training_assets.samples import Mask
from training_assets.windows import FitWindow, JobCuts, cross_fit_folds, job_cuts, longest_lookback, optional_part


@dataclass(frozen=True)
class _Shared:
    """What all families of a job that read the same columns share: the cuts, and which rows the plain models are scored on."""

    cuts: JobCuts
    scored_columns: Mapping[str, pa.Array]


@dataclass
class _Progress:
    """What a job of the batch has come to so far; `shared` by the columns that a family reads."""

    job: TrainingJob
    prepared: PreparedJob | None
    error: str | None
    models: list[TrainedModel] = field(default_factory=list)
    failures: list[FamilyFailure] = field(default_factory=list)
    shared: dict[tuple[str, ...], _Shared] = field(default_factory=dict)
    seconds: float = 0.0

    def outcome(self) -> JobOutcome:
        cached = bool(self.models) and not self.failures and all(model.cached for model in self.models)
        return JobOutcome(self.job.job_id, tuple(self.models), tuple(self.failures), cached, self.seconds)


@dataclass
class _ModelWork:
    """One family's model of one job on its way: masks of its parts, and what the fits gave."""

    progress: _Progress
    prepared: PreparedJob
    key: str
    parts: list[tuple[FitWindow, Mask]]  # (rows of the fit, rows it is scored on), the scored part last
    final: FitWindow
    crossed: bool
    scored_columns: Mapping[str, pa.Array]
    told: dict[str, Any] = field(default_factory=dict)
    predictions: list[NDArray[np.float32]] = field(default_factory=list)
    seconds: float = 0.0
    peak_bytes: int | None = None
    error: str | None = None


def train_batch(context: TrainingContext, jobs: Sequence[TrainingJob], families: Sequence[Sequence[str]]) -> list[JobOutcome]:
    """Train the named families of each job.

    Parameters
    ----------
    jobs : several at once only where a family fits them as one stacked program.
    families : family names, one sequence a job.
    """
    batch = [_started(context, job) for job in jobs]
    by_family: dict[str, list[_Progress]] = defaultdict(list)
    for progress, names in zip(batch, families, strict=True):
        for name in names:
            by_family[name].append(progress)
    for name, members in by_family.items():
        with measured() as watch:
            if name in context.families:
                _train_family(context, context.families[name], members)
            else:
                error = f"no family is called {name}; the registry has {', '.join(context.families)}"
                for progress in members:
                    progress.failures.append(FamilyFailure(name, progress.job.target, progress.job.symbol, error))
        for progress in members:
            progress.seconds += watch.seconds / len(members)
    return [progress.outcome() for progress in batch]


def families_to_train(known: Mapping[str, Family], job: TrainingJob, names: Sequence[str]) -> tuple[str, ...]:
    """The families of a job that may train: all, or in the experimental lane the cheap ones. A name nobody knows stays, to fail by name."""
    return tuple(name for name in names if not is_experimental(job) or name not in known or known[name].cheap)


def _started(context: TrainingContext, job: TrainingJob) -> _Progress:
    with measured() as watch:
        try:
            progress = _Progress(job, prepare_job(context, job), None)
        except FitError as error:
            progress = _Progress(job, None, str(error))
    progress.seconds = watch.seconds
    return progress


def _train_family(context: TrainingContext, family: Family, members: Sequence[_Progress]) -> None:
    works = [work for progress in members if (work := _begin(context, family, progress)) is not None]
    n_parts = max((len(work.parts) for work in works), default=0)
    for part in range(n_parts):
        live = [work for work in works if work.error is None and part < len(work.parts)]
        for work, model in _fitted(context, family, live, [work.parts[part][0] for work in live]):
            _predict_part(context, family, work, model, work.parts[part][1])
    live = [work for work in works if work.error is None]
    for work, model in _fitted(context, family, live, [work.final for work in live]):
        work.progress.models.append(_save(context, family, work, model))
    for work in works:
        if work.error is not None:
            work.progress.failures.append(work.prepared.failure(family.name, work.error))


def _begin(context: TrainingContext, family: Family, progress: _Progress) -> _ModelWork | None:
    """Cut the windows of one model, or settle it at once: failed, or there already."""
    prepared = progress.prepared
    if prepared is None:
        progress.failures.append(FamilyFailure(family.name, progress.job.target, progress.job.symbol, progress.error or "not prepared"))
        return None
    error = refusal(family, prepared)
    try:
        work = None if error else _cut(context, family, progress, inputs_of(context, prepared, family))
    except FitError as refused:
        work, error = None, str(refused)
    if work is None:
        progress.failures.append(prepared.failure(family.name, error or "not cut"))
        return None
    found = cached_model(context, progress.job, family.name, work.key)
    if found is None:
        return work
    progress.models.append(found)
    return None


def _cut(context: TrainingContext, family: Family, progress: _Progress, prepared: PreparedJob) -> _ModelWork:
    config, rows = context.config, prepared.rows
    where = f"{prepared.where} {family.name}"
    if prepared.features not in progress.shared:
        progress.shared[prepared.features] = _share(context, prepared, where)
    shared = progress.shared[prepared.features]
    cuts, columns, parts = shared.cuts, shared.scored_columns, [shared.cuts.scored]
    bases = blend_bases(context.families, config.training.blend_families, progress.job.model_families)
    crossed = prepared.pooled and bool(progress.job.metadata.get(NEEDS_CROSS_FIT)) and family.name in bases
    lookback = longest_lookback(context.panel, prepared.features) if crossed else None
    if lookback is not None:
        blocks = cross_fit_folds(cuts.fold, config.training.blend_folds, lookback, config.splits)
        parts = [*(part for block in blocks if (part := optional_part(rows, block, config.splits, where)) is not None), *parts]
        columns = oos_columns_of(context, prepared, [mask for _, mask in parts])
    key = job_key(context, prepared, family, {"crossed": crossed, "lookback_bars": lookback})
    return _ModelWork(progress, prepared, key, parts, cuts.final, crossed, columns)


def _share(context: TrainingContext, prepared: PreparedJob, where: str) -> _Shared:
    config, panel = context.config, context.panel
    cuts = job_cuts(prepared.rows, panel.holdout_start_code, config.training.oos_fraction, prepared.info.horizon_bars, config.splits, where)
    return _Shared(cuts, oos_columns_of(context, prepared, [cuts.scored[1]]))


def _predict_part(context: TrainingContext, family: Family, work: _ModelWork, model: FittedModel, rows: Mask) -> None:
    sample = work.prepared.rows.sample(rows)
    predictions = guarded(family.name, lambda: model.predict(sample), context.config.training.fit_timeout_seconds)
    if isinstance(predictions, str):
        work.error = predictions
    else:
        work.predictions.append(predictions)
        if (tell := family.told_out_of_sample) is not None and rows is work.parts[-1][1]:
            told = guarded(family.name, lambda: tell(model, sample), context.config.training.fit_timeout_seconds)
            work.told = {"error": told} if isinstance(told, str) else told


def _fitted(context: TrainingContext, family: Family, works: list[_ModelWork], windows: list[FitWindow]) -> list[tuple[_ModelWork, FittedModel]]:
    """Fit one window of each work; those that fail carry the error and are left out."""
    requests: list[FitRequest] = [fit_request(context, work.prepared, family, window) for work, window in zip(works, windows, strict=True)]
    with measured() as watch, peak_memory(context.device) as peak:
        stacked = all(not work.prepared.pooled for work in works)
        answers = guarded_fits(family, requests, context.config.training.fit_timeout_seconds, stacked)
    done = []
    for work, answer in zip(works, answers, strict=True):
        work.seconds += watch.seconds / len(works)
        # Of all that were fitted together: a stack fits on the device as a whole or not at all.
        work.peak_bytes = max(filter(None, (work.peak_bytes, peak.n_bytes)), default=None)
        if isinstance(answer, str):
            work.error = answer
        else:
            done.append((work, answer))
    return done


def _save(context: TrainingContext, family: Family, work: _ModelWork, model: FittedModel) -> TrainedModel:
    prepared, job = work.prepared, work.progress.job
    oos = OosPredictions(work.scored_columns, np.concatenate(work.predictions))
    metric = interval_of(context, prepared, work.parts[-1][1], work.predictions[-1])
    details: dict[str, Any] = {"fit": model.fit_details, **({"out_of_sample": work.told} if work.told else {})}
    if work.peak_bytes is not None:
        details["device_peak_bytes"] = work.peak_bytes
    if work.crossed:
        details[KNOWN_UNTIL_DETAIL] = [window.fold.known_until for window, _ in work.parts if window.fold is not None]
    if work.crossed and local_part_of(family).residual_settings is not None:
        details[LOCAL_PRIOR_ROWS] = _local_priors(work)
    card = make_card(
        context,
        prepared,
        family,
        name=family.name,
        route=job.route,
        key=work.key,
        fitted=work.final.both,
        metrics=(metric,),
        seconds=work.seconds,
        details=details,
    )
    folder = model_folder(context.models_root, job.target, job.symbol, family.name)
    return trained_model(write_model(folder, model, card, oos), str(folder), cached=False)


def _local_priors(work: _ModelWork) -> dict[str, float | None]:
    """What the pooled model's residuals say of local parts; null for infinity, which JSON does not have: symbols differ by no more than noise."""
    rows, info, fold = work.prepared.rows, work.prepared.info, work.parts[-1][0].fold
    positions, predictions = np.concatenate([np.flatnonzero(mask) for _, mask in work.parts]), np.concatenate(work.predictions)
    before = np.ones(positions.size, bool) if fold is None else rows.label_end_codes[positions] <= fold.test_start
    priors = {}
    for name, kept in ((OF_SCORED_FIT, before), (OF_FINAL_FIT, np.ones(positions.size, bool))):
        found = local_prior_rows(rows, positions[kept], predictions[kept], info.task_type, info.horizon_bars)
        priors[name] = None if found is None or math.isinf(found) else found
    return priors
