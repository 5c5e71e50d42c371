"""What a new plan asks training to do, against what it was asked before.

Belongs here: pure sums over slices, and their text form as a sensor's cursor. Does not: requests to Dagster (`sensors`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training_assets.contracts import Route, Stage, TrainingPlan, TrainingType
from training_assets.partition_keys import name_key
from training_assets.plan_reader import PlanSlice, plan_slices

Versions = dict[str, str]


@dataclass(frozen=True)
class TrainingRequest:
    """One run to ask for: a Dagster job and the partition keys it trains, in the plan's order."""

    job_name: str
    keys: tuple[str, ...]


def slice_versions(plan: TrainingPlan) -> Versions:
    """Partition key to data version of every job; target keys and pair keys cannot collide, since only a pair's has the separator."""
    return {key: item.version for kind in TrainingType for key, item in plan_slices(plan, kind).items()}


def changed_keys(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Keys whose version is new or another, in the order of `now`."""
    return tuple(key for key, version in now.items() if before.get(key) != version)


def training_requests(plan: TrainingPlan, changed: Sequence[str], stage: Stage, per_run: int) -> tuple[TrainingRequest, ...]:
    """The runs of one stage that train the changed keys: batches of at most `per_run`, jobs without a family at the stage left out.

    Blends are not among them: they stand on pooled models and are asked for once these are there (`blend_requests`).
    """
    asked = set(changed)
    requests = []
    for kind, name in ((TrainingType.CROSS_SECTIONAL, f"train_targets_{stage}"), (TrainingType.SYMBOL_SPECIFIC, f"train_pairs_{stage}")):
        keys = [key for key, item in plan_slices(plan, kind).items() if key in asked and _has_stage(item, stage)]
        requests += [TrainingRequest(name, tuple(keys[start : start + per_run])) for start in range(0, len(keys), per_run)]
    return tuple(requests)


def blend_requests(plan: TrainingPlan, asked: Mapping[str, str], pooled: Mapping[str, str], per_run: int) -> tuple[tuple[TrainingRequest, ...], Versions]:
    """The runs that blend pairs routed BOTH whose pooled models are there, and the versions that are then asked for.

    Parameters
    ----------
    asked : pair key to the version that was asked for before.
    pooled : target key to the version of the plan's slice that its pooled models were trained from.

    Returns
    -------
    requests, and by pair key the version of what was blended: the pair's slice and its target's.
    """
    targets = plan_slices(plan, TrainingType.CROSS_SECTIONAL)
    ready: Versions = {}
    for key, item in plan_slices(plan, TrainingType.SYMBOL_SPECIFIC).items():
        target = targets.get(name_key(item.job.target))
        if item.job.route is Route.BOTH and target is not None and pooled.get(target.key) == target.version:
            ready[key] = f"{item.version}{target.version}"
    keys = changed_keys(asked, ready)
    return tuple(TrainingRequest("train_blends_cpu", keys[start : start + per_run]) for start in range(0, len(keys), per_run)), {**asked, **ready}


@dataclass(frozen=True)
class PlanCursor:
    """What the plan sensor has asked for: versions of jobs, and of blends, by partition key."""

    jobs: Versions
    blends: Versions

    def text(self) -> str:
        return json.dumps({"jobs": self.jobs, "blends": self.blends}, sort_keys=True)


def parse_cursor(cursor: str | None) -> PlanCursor:
    """The cursor in a text; an empty one for a text that is missing or of another form."""
    try:
        content = json.loads(cursor or "{}")
        return PlanCursor(*({str(key): str(value) for key, value in content.get(part, {}).items()} for part in ("jobs", "blends")))
    except (ValueError, AttributeError):
        return PlanCursor({}, {})


def _has_stage(item: PlanSlice, stage: Stage) -> bool:
    return bool(item.job.stage_families.get(stage))
