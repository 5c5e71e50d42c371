"""What a new plan asks training to do, against what it was asked before.

Belongs here: pure sums over slices, and their text form as a sensor's cursor. Does not: requests to Dagster (`sensors`).
"""

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType

from training_assets.contracts import Stage, TrainingJob, TrainingPlan, TrainingType
from training_assets.partition_keys import name_key
from training_assets.plan_reader import PlanSlice, plan_slices

Versions = dict[str, str]
BLEND_JOB = "train_blends_cpu"
NOTHING_IN_HAND: Mapping[str, Set[str]] = MappingProxyType({})


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


def training_requests(
    plan: TrainingPlan, changed: Sequence[str], stage: Stage, per_run: int, in_hand: Mapping[str, Set[str]] = NOTHING_IN_HAND
) -> tuple[TrainingRequest, ...]:
    """The runs of one stage that train the changed keys: batches of at most `per_run`, jobs without a family at the stage left out.

    Blends are not among them: they stand on pooled models and are asked for once these are there (`blend_requests`).

    Parameters
    ----------
    in_hand : Dagster job to keys that runs of this round hold already, since a look before this one asked for them and its cursor was lost.
    """
    asked = set(changed)
    requests = []
    for kind, name in ((TrainingType.CROSS_SECTIONAL, f"train_targets_{stage}"), (TrainingType.SYMBOL_SPECIFIC, f"train_pairs_{stage}")):
        held = in_hand.get(name, frozenset())
        keys = [key for key, item in plan_slices(plan, kind).items() if key in asked and key not in held and _has_stage(item, stage)]
        requests += [TrainingRequest(name, tuple(keys[start : start + per_run])) for start in range(0, len(keys), per_run)]
    return tuple(requests)


def blend_requests(
    plan: TrainingPlan,
    asked: Mapping[str, str],
    pooled: Mapping[Stage, Mapping[str, str]],
    stage_of: Callable[[TrainingJob], Stage | None],
    per_run: int,
    in_hand: Mapping[str, Set[str]] = NOTHING_IN_HAND,
) -> tuple[tuple[TrainingRequest, ...], Versions]:
    """The runs that blend pairs routed BOTH whose pooled models are there, and the versions that are then asked for.

    Parameters
    ----------
    asked : pair key to the version that was asked for before.
    pooled : by stage, target key to the version of the plan's slice that its pooled models were trained from.
    stage_of : the stage of the last pooled model that a job's blends stand on (`blend_bases.blend_stage`).
    in_hand : as `training_requests`.

    Returns
    -------
    requests, and by pair key the version of what was blended: the pair's slice and its target's.
    """
    targets = plan_slices(plan, TrainingType.CROSS_SECTIONAL)
    ready: Versions = {}
    for key, item in plan_slices(plan, TrainingType.SYMBOL_SPECIFIC).items():
        target = targets.get(name_key(item.job.target))
        stage = stage_of(item.job)
        if stage is not None and target is not None and pooled[stage].get(target.key) == target.version:
            ready[key] = f"{item.version}{target.version}"
    held = in_hand.get(BLEND_JOB, frozenset())
    keys = tuple(key for key in changed_keys(asked, ready) if key not in held)
    return tuple(TrainingRequest(BLEND_JOB, keys[start : start + per_run]) for start in range(0, len(keys), per_run)), {**asked, **ready}


@dataclass(frozen=True)
class PlanCursor:
    """What the plan sensor has asked for: versions of jobs at the CPU stage and at the GPU stage, and of blends, by partition key, in how many rounds.

    A round is one look that asked for runs. Its number is in their keys, so that a plan that comes back after another one is asked for again.
    """

    jobs: Versions
    gpu_jobs: Versions
    blends: Versions
    n_rounds: int = 0

    def text(self) -> str:
        return json.dumps({"jobs": self.jobs, "gpu_jobs": self.gpu_jobs, "blends": self.blends, "n_rounds": self.n_rounds}, sort_keys=True)


def parse_cursor(cursor: str | None) -> PlanCursor:
    """The cursor in a text; an empty one for a text that is missing or of another form."""
    try:
        content = json.loads(cursor or "{}")
        asked = {"gpu_jobs": content.get("jobs", {}), **content}  # a cursor that tells no GPU stage apart asked for both at once
        jobs, gpu_jobs, blends = ({str(key): str(value) for key, value in asked.get(part, {}).items()} for part in ("jobs", "gpu_jobs", "blends"))
        return PlanCursor(jobs, gpu_jobs, blends, int(content.get("n_rounds", 0)))
    except (ValueError, AttributeError, TypeError):
        return PlanCursor({}, {}, {})


def _has_stage(item: PlanSlice, stage: Stage) -> bool:
    return bool(item.job.stage_families.get(stage))
