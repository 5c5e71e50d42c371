"""Predictions of all the models that serve a plan.

Belongs here: which model folders serve which pair, and asking them about a panel. Does not: reading one model (`training_assets.model_store`),
training, or choosing routes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from training_assets.contracts import Route, TrainingJob, TrainingType
from training_assets.ensemble import blend_folder_name
from training_assets.families.registry import FAMILIES
from training_assets.fitting import is_experimental
from training_assets.job_training import families_to_train
from training_assets.model_store import PREDICTION_COLUMNS, ModelError, empty_predictions, load_model, model_folder, verified_card
from training_assets.panel.panel import Panel
from training_assets.serving import pooled_jobs, serves


@dataclass(frozen=True)
class Service:
    """What serves some symbols of one job: each folder's model says something of each symbol.

    `pooled` : the plan's cross-sectional job of the target, which blends stand on. `folders` : where the models lie, or would. A pair routed BOTH is
    served by whichever blends were made, so any one of its folders will do.
    """

    job: TrainingJob
    pooled: TrainingJob | None
    symbols: tuple[str, ...]
    folders: tuple[Path, ...]
    any_will_do: bool


def services(
    jobs: Sequence[TrainingJob], models_root: Path, include_experimental: bool = False, plan_jobs: Sequence[TrainingJob] | None = None
) -> list[Service]:
    """What serves a plan, whether or not it has been trained, in the order of the jobs.

    A pair routed BOTH is served by its blends and by no other model, so pooled models serve their other symbols.
    `plan_jobs` : all jobs of the plan; None means that `jobs` are all.
    """
    whole = jobs if plan_jobs is None else plan_jobs
    blended, pooled = {(job.target, job.symbol) for job in whole if _is_blended(job)}, pooled_jobs(whole)
    found = []
    for job in jobs:
        if is_experimental(job) and not include_experimental:
            continue
        symbols = (job.symbol,) if job.symbol is not None else tuple(symbol for symbol in job.symbols or () if (job.target, symbol) not in blended)
        names = [blend_folder_name(family) if _is_blended(job) else family for family in job.model_families]
        if symbols:
            folders = tuple(model_folder(models_root, job.target, job.symbol, name) for name in names)
            found.append(Service(job, pooled.get(job.target), symbols, folders, _is_blended(job)))
    return found


def predict_plan(
    panel: Panel,
    models_root: Path,
    jobs: Sequence[TrainingJob],
    newest_only: bool = True,
    include_experimental: bool = False,
    plan_jobs: Sequence[TrainingJob] | None = None,
) -> tuple[pd.DataFrame, dict[Path, str]]:
    """Predict with every model that serves a plan; one row a bar and model, so that a pair with several families has several.

    Parameters
    ----------
    models_root : the `models` folder of an output tree.
    newest_only : only the last bar of each symbol.
    include_experimental : also pairs of the experimental lane, whose `route` says so.
    plan_jobs : all jobs of the plan, where `jobs` are some of them.

    Returns
    -------
    Columns as `LoadedModel.predict`, ordered by target, symbol, timestamp and model; and by folder, why a model that is there could not be read, which
    costs its own rows and no others. Models of the plan that were not trained have no rows; `missing_models` names them.

    Raises
    ------
    ModelError
        A model that needs features which the panel lacks.
    """
    frames: list[pd.DataFrame] = []
    unusable: dict[Path, str] = {}
    for service in services(jobs, models_root, include_experimental, plan_jobs):
        present = [symbol for symbol in service.symbols if symbol in panel.symbols]
        for folder in service.folders:
            if folder.is_dir() and present:
                try:
                    loaded = load_model(folder)
                except ModelError as error:
                    unusable[folder] = str(error)
                    continue
                if serves(loaded.card, service.job, service.pooled):
                    frames.append(loaded.predict(panel, present, newest_only))
    if not frames:
        return empty_predictions(), unusable
    joined = pd.concat(frames, ignore_index=True)
    return joined.sort_values(["target", "symbol", "timestamp", "model_id"], kind="stable", ignore_index=True)[list(PREDICTION_COLUMNS)], unusable


def missing_models(
    jobs: Sequence[TrainingJob], models_root: Path, include_experimental: bool = False, plan_jobs: Sequence[TrainingJob] | None = None
) -> list[Path]:
    """Folders that should serve a plan and hold no model of it: never trained, failed, left from another plan, or changed since."""
    missing: list[Path] = []
    for service in services(jobs, models_root, include_experimental, plan_jobs):
        lacking = [folder for folder in service.folders if not _is_served(folder, service.job, service.pooled)]
        if not service.any_will_do or len(lacking) == len(service.folders):
            missing += lacking
    return missing


def jobs_without_models(jobs: Sequence[TrainingJob], models_root: Path, plan_jobs: Sequence[TrainingJob] | None = None) -> tuple[TrainingJob, ...]:
    """The jobs that lack a model which they should have: failed, never trained, or left from a plan that trained them on something else."""
    whole = jobs if plan_jobs is None else plan_jobs
    return tuple(
        job
        for job in jobs
        if missing_models([job], models_root, True, whole) or not all(_is_served(folder, job, None) for folder in _own_folders(job, models_root))
    )


def _own_folders(job: TrainingJob, models_root: Path) -> list[Path]:
    """Where a job's plain models lie, which blends stand beside."""
    families = families_to_train(FAMILIES, job, job.model_families)
    return [model_folder(models_root, job.target, job.symbol, family) for family in families]


def _is_blended(job: TrainingJob) -> bool:
    return job.route is Route.BOTH and job.training_type is TrainingType.SYMBOL_SPECIFIC


def _is_served(folder: Path, job: TrainingJob, pooled: TrainingJob | None) -> bool:
    try:
        return serves(verified_card(folder), job, pooled)
    except ModelError:
        return False
