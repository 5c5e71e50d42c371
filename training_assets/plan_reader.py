"""The training plan as training sees it: read closed, and cut into the slice of each partition.

Belongs here: reading the master document and finding each partition's job in it. Does not: making a plan, or the places where one may lie
(`routing_assets.plans.training_plan`). Training takes its jobs from here and from nothing else.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from training_assets.contracts import TRAINED_METADATA, Route, Stage, TrainingJob, TrainingPlan, TrainingType
from training_assets.partition_keys import name_key, pair_key

MASTER_PLAN_FILE = "master_training_plan.json"


class TrainingPlanError(ValueError):
    """A training plan that must not be trained from; the message says which file, what is wrong, and what to do."""


@dataclass(frozen=True)
class PlanSlice:
    """One partition's job and the version of everything that can change it."""

    key: str
    job: TrainingJob
    version: str


def read_master_plan(folder: Path, data_hash: str | None = None) -> TrainingPlan:
    """Read the master training plan of a folder and hold it against its own id and the data it is used on.

    Raises
    ------
    TrainingPlanError
        Missing, unreadable, no training plan, tampered, or made from other data than `data_hash`. Never a licence to train everything.
    """
    path = folder / MASTER_PLAN_FILE
    try:
        document = orjson.loads(path.read_bytes())
        metadata, jobs = dict(document["metadata"]), [job_of_document(job) for job in document["jobs"]]
        summary = dict(document.get("summary", {}))
    except FileNotFoundError:
        raise TrainingPlanError(f"no training plan at {path}; make one with `switchyard plan`, or name its folder with --training-plan-dir") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingPlanError(f"{path}: not a training plan: {type(error).__name__}: {error}; make it again with `switchyard plan`") from None
    expected = content_hash(document)
    if metadata.get("plan_id") != expected:
        raise TrainingPlanError(
            f"{path}: plan_id {metadata.get('plan_id')!r} does not match its content ({expected}): changed after it was made; make it again"
        )
    if data_hash is not None and metadata.get("data_hash") != data_hash:
        raise TrainingPlanError(f"{path}: made from data {metadata.get('data_hash')}, these are {data_hash}; make a plan on these data with `switchyard plan`")
    return TrainingPlan(metadata, tuple(jobs), summary)


def content_hash(document: Mapping[str, Any]) -> str:
    """Content hash of a plan document, all but its own id: 32 hexadecimal digits."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "plan_id"}
    return hashlib.sha256(orjson.dumps({**document, "metadata": metadata}, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def job_of_document(document: Mapping[str, Any]) -> TrainingJob:
    """One job as in the document. Raises KeyError, TypeError or ValueError where a field is missing or not of its vocabulary."""
    fields = {name: document[name] for name in ("job_id", "target", "symbol", "priority", "feature_set_id", "estimated_samples", "reason", "metadata")}
    texts = [fields["job_id"], fields["target"], fields["feature_set_id"], fields["reason"], *document["features"], *(document["symbols"] or ())]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a name is not text")
    return TrainingJob(
        **fields,
        symbols=None if document["symbols"] is None else tuple(document["symbols"]),
        route=Route(document["route"]),
        training_type=TrainingType(document["training_type"]),
        stage_families={str(Stage(stage)): tuple(names) for stage, names in document["stage_families"].items()},
        features=tuple(document["features"]),
    )


def partition_key_of(job: TrainingJob) -> str:
    """The partition of a job: its target for a pooled job, its pair for a local one."""
    return name_key(job.target) if job.symbol is None else pair_key(job.target, job.symbol)


def plan_slices(plan: TrainingPlan, training_type: TrainingType) -> dict[str, PlanSlice]:
    """The plan's jobs of one type by partition key, in the plan's order."""
    jobs = {partition_key_of(job): job for job in plan.jobs if job.training_type is training_type}
    settings = plan.metadata.get("training_settings")
    return {key: PlanSlice(key, job, slice_version(job, plan.metadata.get("data_hash"), settings)) for key, job in jobs.items()}


def slice_version(job: TrainingJob, data_hash: str | None, settings: Mapping[str, Any] | None = None) -> str:
    """Data version of a job: what it trains on and with, not why it was routed, so that a changed reason makes nothing stale.

    `settings` are the plan's `training_settings`: of families, those of the job alone count, and those of blends where blends need the job.
    """
    families = {str(stage): names for stage, names in job.stage_families.items() if names}
    further = {name: job.metadata[name] for name in TRAINED_METADATA if job.metadata.get(name)}
    settings = settings or {}
    blends = settings.get("blends") if job.metadata.get("needs_cs_ensemble") else None
    own = {name: settings.get("families", {}).get(name) for name in job.model_families}
    content = [
        job.job_id,
        job.target,
        job.symbol,
        job.symbols,
        job.route,
        families,
        job.features,
        job.feature_set_id,
        data_hash,
        further,
        settings.get("shared"),
        blends,
        own,
    ]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def with_families(job: TrainingJob, families: tuple[str, ...]) -> TrainingJob:
    """The job with these families only (all, when none is named); names match without regard to case."""
    if not families:
        return job
    wanted = {family.casefold() for family in families}
    return replace(job, stage_families={stage: tuple(name for name in names if name.casefold() in wanted) for stage, names in job.stage_families.items()})
