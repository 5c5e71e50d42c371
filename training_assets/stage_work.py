"""What one run of a model asset has to do: the jobs of its partitions, less what the lock shuts, and what to tell of each outcome.

Belongs here: pure selection and summaries. Does not: fitting (`training_assets.trainer`), or events (`training_assets.assets`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from config.schema import Config
from config.sections.base import LeakageStatus
from training_assets.contracts import Route, Stage, TrainingJob, route_name
from training_assets.leakage.lock import leakage_lock
from training_assets.outcomes import FamilyFailure, JobOutcome
from training_assets.plan_reader import PlanSlice, with_families


@dataclass(frozen=True)
class StageWork:
    """Partitions sorted by what is to be done with them.

    Attributes
    ----------
    slices : partition key to slice, for the jobs that train now.
    idle : keys with nothing to train at this stage: no family of the stage, or no blend because the route is not BOTH.
    refused : key to the reasons for which its job may not be fitted.
    """

    slices: Mapping[str, PlanSlice]
    idle: tuple[str, ...]
    refused: Mapping[str, tuple[str, ...]]

    @property
    def jobs(self) -> list[TrainingJob]:
        return [item.job for item in self.slices.values()]

    @property
    def keys_by_job(self) -> dict[str, str]:
        return {item.job.job_id: key for key, item in self.slices.items()}


def stage_work(
    slices: Mapping[str, PlanSlice],
    keys: Collection[str],
    audit: pd.DataFrame,
    config: Config,
    stage: Stage,
    *,
    families: tuple[str, ...] = (),
    blends: bool = False,
) -> StageWork:
    """Sort partitions into those that train, those with nothing to do, and those that are refused.

    Parameters
    ----------
    slices : the plan's slices by key; a key without one is refused.
    families : train only these; none means all that the plan names.
    blends : whether the work is the blends of pairs routed BOTH, whatever stage their pooled models are of.
    """
    todo: dict[str, PlanSlice] = {}
    idle: list[str] = []
    refused: dict[str, tuple[str, ...]] = {}
    for key in keys:
        if key not in slices:
            refused[key] = ("NOT_PLANNED: the training plan has no job for it; plan again, or train what the plan names",)
            continue
        job = with_families(slices[key].job, families)
        verdict = leakage_lock_of(job, audit, config)
        if not verdict[0]:
            refused[key] = verdict[1]
        elif not (job.route is Route.BOTH and job.model_families if blends else job.stage_families.get(stage)):
            idle.append(key)
        else:
            todo[key] = PlanSlice(key, job, slices[key].version)
    return StageWork(todo, tuple(idle), refused)


def chosen_keys(slices: Mapping[str, PlanSlice], keys: Collection[str], only: Collection[str], routes: Collection[str]) -> list[str]:
    """Those of a run's partitions that it was asked to train: `only` these keys, and of these `routes`; an empty choice means all."""
    wanted = {route_name(name) for name in routes}
    return [key for key in keys if (not only or key in only) and (not wanted or key not in slices or str(slices[key].job.route) in wanted)]


def leakage_lock_of(job: TrainingJob, audit: pd.DataFrame, config: Config) -> tuple[bool, tuple[str, ...]]:
    """The leakage lock's verdict on one job under the settings: open or not, and why not."""
    symbols = (job.symbol,) if job.symbol is not None else job.symbols or ()
    allow_unknown = config.routing.dev_mode or LeakageStatus.UNKNOWN in config.routing.allowed_feature_leakage_status
    features = (*job.features, *job.state_features)
    verdict = leakage_lock(audit, job.target, symbols, features, block=config.routing.block_on_leakage, allow_unknown=allow_unknown)
    return verdict.is_open, verdict.reasons


def score_rows(outcome: JobOutcome) -> list[tuple[str, str, float | None, float | None, float | None]]:
    """Family, metric, score and interval of every out-of-sample score of an outcome."""
    return [(model.family, item.metric, item.score, item.ci_low, item.ci_high) for model in outcome.models for item in model.oos_metrics]


def score_table(outcome: JobOutcome) -> str:
    """The out-of-sample scores of an outcome as a Markdown table, failures under it."""
    lines = ["| family | metric | score | interval |", "| --- | --- | ---: | --- |"]
    for family, metric, score, low, high in score_rows(outcome):
        lines.append(f"| {family} | {metric} | {_number(score)} | {_number(low)} to {_number(high)} |")
    return "\n".join([*lines, "", *(f"- {failure_line(failure)}" for failure in outcome.failures)])


def progress_line(done: int, total: int, what: str, elapsed_seconds: float) -> str:
    """How far a run is, and when it will be done if the rest takes as long as what was done."""
    left = elapsed_seconds / done * (total - done) if done else 0.0
    return f"{done}/{total}: {what}; {elapsed_seconds:.0f} s so far, about {left:.0f} s left"


def failure_line(failure: FamilyFailure) -> str:
    """One line that says which family failed where, and why."""
    place = f"{failure.target if failure.symbol is None else f'{failure.target}/{failure.symbol}'} {failure.family}"
    return f"{place} not trained: {failure.error.removeprefix(f'{place}: ')}"


def shortfall(outcome: JobOutcome, least_successful: int) -> str | None:
    """Why a job's models at a stage do not stand; None where enough of the families that it tried there gave one.

    `least_successful` : `routing.require_min_successful_families`; a job is never asked for more families than it tried, and always for one.
    """
    failures, n_tried = [failure_line(failure) for failure in outcome.failures], len(outcome.models) + len(outcome.failures)
    needed = max(1, min(least_successful, n_tried))
    if len(outcome.models) >= needed:
        return None
    if not outcome.models:
        return "; ".join(failures) or "no model"
    count = f"{len(outcome.models)} of {n_tried} families succeeded < {needed} (routing.require_min_successful_families)"
    return "; ".join([count, *failures, *(f"{model.family} stays at {model.path}" for model in outcome.models)])


def first_score(outcome: JobOutcome) -> float | None:
    """The best of the models' first scores, for the series that the UI plots; None without any."""
    scores = [model.oos_metrics[0].score for model in outcome.models if model.oos_metrics and model.oos_metrics[0].score is not None]
    return max(scores) if scores else None


def _number(value: float | None) -> str:
    return "not computed" if value is None else f"{value:.4f}"
