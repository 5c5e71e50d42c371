"""Executes the jobs of a plan at one stage and yields what became of each as it finishes.

Belongs here: order, processes, batches, and what a crash costs. Does not: what happens to one job (`training_assets.job_training`,
`training_assets.blend_training`).

Nothing about the order, the number of workers or an interruption changes a model: seeds come from the job and family, a finished model is whole
on disk under its content key before it is announced, and what is there already is not trained again. Of two processes that are given the same job
one trains it, and the other waits and finds it trained.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from config.schema import Config
from resources.files import clear_unfinished
from resources.output_lock import jobs_held
from resources.process_limits import peak_memory_bytes, single_threaded
from resources.ray_pool import run_tasks_on_ray
from resources.worker_pool import TaskResult, run_tasks
from training_assets.blend_bases import blend_bases, blend_stage
from training_assets.blend_training import FITS_OF_A_BLEND, train_blend
from training_assets.contracts import Stage, TrainingJob, TrainingType
from training_assets.ensemble import blend_folder_name
from training_assets.families.base import Family
from training_assets.families.registry import FAMILIES
from training_assets.fitting import TrainingContext
from training_assets.job_training import families_to_train, train_batch
from training_assets.model_store import model_folder
from training_assets.outcomes import FamilyFailure, JobOutcome, joined_outcomes
from training_assets.panel.panel import Panel
from training_assets.serving import pooled_jobs

STACK_SIZE = 64
"""Symbol-specific jobs that are handed to a stacked fit at once; bounds the memory of the stack."""
HARD_LIMIT_SHARE = 1.5
"""A worker is killed when its task takes this many times what all its fits may take; a fit that listens has long been stopped by then."""


class PanelReplacedError(RuntimeError):
    """The panel that lies there is not the one that the jobs were planned on; nothing was trained on it."""


@dataclass(frozen=True)
class _Task:
    """What a worker is handed: a job and the families to train for it, as plain models or as blends of the plan's pooled job of the target."""

    job: TrainingJob
    families: tuple[str, ...]
    blend: bool
    pooled: TrainingJob | None = None


@dataclass(frozen=True)
class _Setup:
    """What a worker needs to make its `TrainingContext`."""

    panel_folder: Path
    config: Config
    models_root: Path
    plan_id: str | None
    device: str
    families: Mapping[str, Family] | None
    data_hash: str | None

    def context(self) -> TrainingContext:
        panel = Panel.read(self.panel_folder)
        if self.data_hash is not None and panel.data_hash != self.data_hash:
            raise PanelReplacedError(
                f"{self.panel_folder} holds data {panel.data_hash}, and these jobs are planned on data {self.data_hash}: another run has planned anew since; "
                "train its plan, which is there when it is done"
            )
        return TrainingContext(panel, self.config, self.models_root, self.plan_id, self.device, FAMILIES if self.families is None else self.families)


def train_jobs(
    jobs: Sequence[TrainingJob],
    panel_folder: Path,
    config: Config,
    output_dir: Path,
    stage: Stage,
    plan_id: str | None = None,
    workers: int = 1,
    device: str = "cpu",
    families: Mapping[str, Family] | None = None,
    data_hash: str | None = None,
) -> Iterator[JobOutcome]:
    """Train every family of one stage for every job, saving each model under `output_dir`/models.

    Parameters
    ----------
    jobs : of a training plan; jobs without a family at this stage give no outcome.
    panel_folder : a panel as `Panel.write` left it; it is mapped into memory, and nothing from the holdout on is read.
    workers : processes of the CPU stage, one thread each; 1 trains in this process. The GPU stage is one process whatever this says.
    device : 'cpu', 'cuda', 'cuda:0' or 'mps'; for the GPU stage.
    families : the families to look names up in; None means the registry's.
    data_hash : of the panel that the jobs were planned on; None takes whatever panel lies there.

    Raises
    ------
    PanelReplacedError, WorkerError
        Another panel lies there, as this process or one of its workers found when it began.

    Yields
    ------
    JobOutcome
        One a job, as they finish. A family that fails, overruns `training.fit_timeout_seconds` or kills its worker is a failure of its job there.
    """
    known = FAMILIES if families is None else families
    tasks = [_Task(job, names, False) for job in jobs if (names := families_to_train(known, job, job.stage_families.get(stage, ())))]
    setup = _Setup(panel_folder, config, output_dir / "models", plan_id, device if stage is Stage.GPU else "cpu", families, data_hash)
    if stage is Stage.GPU:
        yield from _run_stacked(setup, tasks)
    else:
        yield from _run(setup, tasks, workers)


def train_blends(
    jobs: Sequence[TrainingJob],
    panel_folder: Path,
    config: Config,
    output_dir: Path,
    plan_id: str | None = None,
    workers: int = 1,
    families: Mapping[str, Family] | None = None,
    plan_jobs: Sequence[TrainingJob] | None = None,
    data_hash: str | None = None,
) -> Iterator[JobOutcome]:
    """Train the blends of the jobs routed BOTH, once `train_jobs` has trained the pooled models they stand on, nets among them.

    Arguments and outcomes as there. What a blend fits is its local part, which is of the CPU stage whatever the pooled model is.
    `plan_jobs` : all jobs of the plan, its pooled ones among them; None means that `jobs` are all.
    """
    pooled = pooled_jobs(jobs if plan_jobs is None else plan_jobs)
    known, wanted = FAMILIES if families is None else families, config.training.blend_families
    setup = _Setup(panel_folder, config, output_dir / "models", plan_id, "cpu", families, data_hash)
    blended = [job for job in jobs if blend_stage(known, wanted, job) is not None]
    yield from _run(setup, [_Task(job, blend_bases(known, wanted, job.model_families), True, pooled.get(job.target)) for job in blended], workers)


def _run(setup: _Setup, tasks: list[_Task], workers: int) -> Iterator[JobOutcome]:
    ordered = sorted(tasks, key=lambda task: (-_cost(task.job), task.job.job_id))
    if setup.config.resources.backend == "local" and (workers <= 1 or len(ordered) < 2):
        context = setup.context()
        with single_threaded():
            for task in ordered:
                yield _perform(context, task)
        return
    crashed: list[_Task] = []
    for result in _in_pool(setup, ordered, workers):
        if result.crashed:
            _clear_unfinished(setup, result.item)
            crashed.append(result.item)
        else:
            yield _settled(result)
    if crashed:
        yield from _run_again(setup, crashed, workers)


def _run_again(setup: _Setup, crashed: list[_Task], workers: int) -> Iterator[JobOutcome]:
    """Give what was in flight in a dead worker a second chance, family by family, so that only the one that kills is lost."""
    single = [replace(task, families=(name,)) for task in crashed for name in task.families]
    outcomes: dict[str, JobOutcome] = {}
    missing = {task.job.job_id: len(task.families) for task in crashed}
    for result in _in_pool(setup, single, workers):
        if result.crashed:
            _clear_unfinished(setup, result.item)
        job_id, outcome = result.item.job.job_id, _settled(result)
        outcomes[job_id] = joined_outcomes(outcomes[job_id], outcome) if job_id in outcomes else outcome
        missing[job_id] -= 1
        if not missing[job_id]:
            yield outcomes.pop(job_id)


def _clear_unfinished(setup: _Setup, task: _Task) -> None:
    """Delete what a worker that died at a task had written of a model, so that the run leaves whole folders alone behind."""
    with jobs_held(setup.models_root.parent, _held_names([task])):
        for name in task.families:
            clear_unfinished(model_folder(setup.models_root, task.job.target, task.job.symbol, blend_folder_name(name) if task.blend else name))


def _in_pool(setup: _Setup, tasks: list[_Task], workers: int) -> Iterator[TaskResult[_Task, JobOutcome]]:
    limit = max(hard_limit_seconds(setup.config, len(task.families), task.blend) for task in tasks)
    run = run_tasks_on_ray if setup.config.resources.backend == "ray" else run_tasks
    return run(_Setup.context, (setup,), _perform, tasks, workers, limit)


def hard_limit_seconds(config: Config, n_families: int, blend: bool) -> float:
    """Seconds after which a worker is killed at a task: the time that all its fits may take, and `HARD_LIMIT_SHARE` over."""
    # A plain model is fitted for the score and for keeps, and once on each cross-fitted block.
    n_fits = FITS_OF_A_BLEND if blend else 2 + config.training.blend_folds
    return config.training.fit_timeout_seconds * n_families * n_fits * HARD_LIMIT_SHARE


def _settled(result: TaskResult[_Task, JobOutcome]) -> JobOutcome:
    if result.value is not None:
        return result.value
    job = result.item.job
    failures = tuple(FamilyFailure(name, job.target, job.symbol, result.error or "no result") for name in result.item.families)
    return JobOutcome(job.job_id, (), failures, False, 0.0)


def _perform(context: TrainingContext, task: _Task) -> JobOutcome:
    with jobs_held(context.models_root.parent, _held_names([task])):  # whoever comes second finds the models there
        if task.blend:
            outcome = train_blend(context, task.job, task.families, task.pooled)
        else:
            (outcome,) = train_batch(context, [task.job], [task.families])
    return replace(outcome, peak_memory_bytes=peak_memory_bytes())


def _held_names(tasks: Sequence[_Task]) -> list[str]:
    """What no other process may train meanwhile: each family of each job, as a plain model or as a blend."""
    return [f"{task.job.job_id} {'blend' if task.blend else 'plain'} {family}" for task in tasks for family in task.families]


def _run_stacked(setup: _Setup, tasks: list[_Task]) -> Iterator[JobOutcome]:
    """One process; symbol-specific jobs of one target and the same families go in together."""
    context = setup.context()

    def kind(task: _Task) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
        return task.job.training_type, task.job.target, task.families, task.job.features

    for (training_type, *_), members in groupby(sorted(tasks, key=lambda task: (kind(task), task.job.job_id)), kind):
        together = list(members)
        size = STACK_SIZE if training_type == TrainingType.SYMBOL_SPECIFIC else 1
        for start in range(0, len(together), size):
            part = together[start : start + size]
            # What is made beside the fits, such as a blend's prior, must not depend on the machine's threads either.
            with jobs_held(context.models_root.parent, _held_names(part)), single_threaded():
                outcomes = train_batch(context, [task.job for task in part], [task.families for task in part])
            yield from (replace(outcome, peak_memory_bytes=peak_memory_bytes()) for outcome in outcomes)


def _cost(job: TrainingJob) -> int:
    return (job.estimated_samples or len(job.symbols or (None,))) * len(job.features)
