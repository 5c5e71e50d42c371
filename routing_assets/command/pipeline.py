"""The pipeline as the command runs it: planning, then training on the partitions that the plan made, then the reports, as runs on one instance.

Belongs here: the order of runs and what each came to. Does not: parsing (`command.options`), printing (`command.summary`), or the jobs themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.instance import LOG_FILE, LOGGER, RunProblem, RunResult, command_tags, instance_home, run_job, run_logger
from resources.settings import Settings
from routing_assets.command.progress import Progress
from routing_assets.command.refusals import REFUSAL_NAMES, UsageError
from training_assets.blend_bases import blend_stage
from training_assets.contracts import Stage, TrainingJob, TrainingType
from training_assets.families.registry import FAMILIES
from training_assets.plan_reader import partition_key_of, with_families

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions


class RunError(RuntimeError):
    """A run failed for a reason that is none of the user's; `traceback` tells where. Exit status 1."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


@dataclass(frozen=True)
class TrainingStep:
    """One training run: its Dagster job, the asset it fills, and the partition set of its keys.

    `stage` : of the families it trains; of blends, the stage of the last pooled model that they stand on.
    """

    job_name: str
    asset: str
    partition_set: str
    training_type: TrainingType
    stage: Stage
    blends: bool = False


TRAINING_STEPS = (
    TrainingStep("train_targets_cpu", "cross_sectional_models", "targets", TrainingType.CROSS_SECTIONAL, Stage.CPU),
    TrainingStep("train_pairs_cpu", "symbol_models", "target_symbol", TrainingType.SYMBOL_SPECIFIC, Stage.CPU),
    TrainingStep("train_blends_cpu", "blended_models", "target_symbol", TrainingType.SYMBOL_SPECIFIC, Stage.CPU, blends=True),
    TrainingStep("train_targets_gpu", "cross_sectional_sequence_models", "targets", TrainingType.CROSS_SECTIONAL, Stage.GPU),
    TrainingStep("train_pairs_gpu", "symbol_sequence_models", "target_symbol", TrainingType.SYMBOL_SPECIFIC, Stage.GPU),
    TrainingStep("train_blends_cpu", "blended_models", "target_symbol", TrainingType.SYMBOL_SPECIFIC, Stage.GPU, blends=True),
)


@dataclass
class PipelineOutcome:
    """What the runs of one command came to: everything that did not succeed, as lines, and figures for the summary."""

    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    run_ids: list[str] = field(default_factory=list)
    n_trained: int = 0
    n_cached: int = 0


class Pipeline:
    """Runs jobs one after the other on one instance and collects what they came to."""

    def __init__(self, settings: Settings, instance: "DagsterInstance", progress: Progress) -> None:
        from routing_assets.definitions import make_definitions

        self.settings = settings
        self.instance = instance
        self.progress = progress
        self.outcome = PipelineOutcome(seconds=progress.seconds)
        self.log_file = instance_home(Path(settings.output_dir)) / LOG_FILE
        self._tags = command_tags(settings.output)
        self._definitions: Definitions = make_definitions(settings, {LOGGER: run_logger(self.log_file, progress)})

    def plan(self, only_assets: Sequence[str] | None = None) -> RunResult:
        """Run planning, or some of its assets. Raises UsageError or RunError when it did not come through."""
        result = run_job(self._definitions, "plan_only", self.instance, tags=self._tags, only_assets=only_assets)
        self._note(result)
        for record in result.metadata.get("market_bars", ()):
            self.outcome.failures += [f"data: {problem}" for problem in record.get("problems", ())]
        for problem in result.problems:
            raise_problem(problem)
        for name, why in result.failed_checks.items():
            raise RunError(f"check {name} failed and stopped the run: {why}")
        return result

    def train(self, jobs: Sequence[TrainingJob], families: Sequence[str] = ()) -> None:
        """Train jobs whose partitions exist: CPU stage with its blends, GPU stage with its. What fails is collected; the rest goes on."""
        blend_families = self.settings.load().training.blend_families
        for step in TRAINING_STEPS:
            keys = [partition_key_of(job) for job in jobs if _belongs(with_families(job, tuple(families)), step, blend_families)]
            if keys:
                self._train_step(step, keys, families)

    def report(self, job_name: str) -> None:
        """Run a report job; a failure is collected."""
        result = run_job(self._definitions, job_name, self.instance, tags=self._tags)
        self._note(result)
        self.outcome.failures += [f"{problem.step}: {problem.message}" for problem in result.problems]

    def _train_step(self, step: TrainingStep, keys: Sequence[str], families: Sequence[str]) -> None:
        from training_assets.partitions import positions, range_tags

        config: dict[str, Any] = {"only": list(keys), "families": list(families)}
        result = run_job(
            self._definitions,
            step.job_name,
            self.instance,
            tags={**self._tags, **range_tags(keys, positions(self.instance.get_dynamic_partitions(step.partition_set)))},
            run_config={"ops": {step.asset: {"config": config}}},
        )
        self._note(result)
        for record in result.metadata.get(step.asset, ()):
            self.outcome.failures += [str(line) for line in record.get("failures", ())]
            self.outcome.n_trained += int(record.get("n_models", 0))
            self.outcome.n_cached += int(record.get("n_models", 0)) if record.get("cached") else 0
        for problem in result.problems:
            failed = problem.details.get("failed")
            self.outcome.failures += [f"{step.asset} {key}: {why}" for key, why in failed.items()] if failed else [f"{problem.step}: {problem.message}"]

    def _note(self, result: RunResult) -> None:
        self.outcome.run_ids.append(result.run_id)


def raise_problem(problem: RunProblem) -> None:
    """Raise a step's failure as what it is to the user: something given that cannot be used, or a fault."""
    if problem.error_class in REFUSAL_NAMES:
        raise UsageError(problem.message)
    raise RunError(f"{problem.step}: {problem.error_class}: {problem.message}", problem.traceback)


def _belongs(job: TrainingJob, step: TrainingStep, blend_families: Sequence[str]) -> bool:
    if step.blends:
        return blend_stage(FAMILIES, blend_families, job) is step.stage
    return job.training_type is step.training_type and bool(job.stage_families.get(step.stage))
