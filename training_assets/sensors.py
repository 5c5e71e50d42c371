"""The sensor that carries a new training plan on to training.

Belongs here: reading the plan, asking Dagster for runs. Does not: what changed (`plan_changes`), or how partitions follow a plan (`partitions`).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import dagster as dg

from resources.artifact_store import content_version
from resources.instance_claim import claim_instance
from resources.output_lock import OutputError
from resources.settings import Settings
from training_assets.blend_bases import blend_stage
from training_assets.contracts import Stage
from training_assets.families.registry import FAMILIES
from training_assets.jobs import TRAIN_JOBS
from training_assets.partitions import UNFINISHED, positions, range_tags, sync_partitions, trained_versions, wanted_keys
from training_assets.plan_changes import PlanCursor, TrainingRequest, blend_requests, changed_keys, parse_cursor, slice_versions, training_requests
from training_assets.plan_reader import TrainingPlanError, read_master_plan

PLAN_TAG, ROUND_TAG = "switchyard/plan_id", "switchyard/plan_round"
ASSET_OF_JOB = {
    "train_targets_cpu": "cross_sectional_models",
    "train_pairs_cpu": "symbol_models",
    "train_blends_cpu": "blended_models",
    "train_targets_gpu": "cross_sectional_sequence_models",
    "train_pairs_gpu": "symbol_sequence_models",
}
CPU_STAGE_JOBS = frozenset(name for name in ASSET_OF_JOB if name.endswith(f"_{Stage.CPU}"))
POOLED_ASSETS = {Stage.CPU: "cross_sectional_models", Stage.GPU: "cross_sectional_sequence_models"}


@dg.sensor(
    jobs=list(TRAIN_JOBS),
    minimum_interval_seconds=30,
    description="On a new training plan: brings the partitions in step and asks for exactly the jobs whose content changed: the CPU stage, blends as the "
    "pooled models that they stand on arrive, and once no run of these is left, however it ended, the GPU stage.",
)
def training_plan_sensor(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    try:
        claim_instance(context.instance, settings.output)
        plan = read_master_plan(settings.plan_folder)
    except (OutputError, TrainingPlanError) as error:
        return dg.SensorResult(skip_reason=str(error))
    sync_partitions(context.instance, wanted_keys(plan, None))
    config = settings.load()
    before, versions, per_run = parse_cursor(context.cursor), slice_versions(plan), config.resources.models_per_run
    plan_id, changed = str(plan.metadata["plan_id"]), {Stage.CPU: changed_keys(before.jobs, versions), Stage.GPU: changed_keys(before.gpu_jobs, versions)}
    tags = {PLAN_TAG: plan_id, ROUND_TAG: str(before.n_rounds)}
    in_hand = keys_in_hand(context.instance, tags)
    asked = {stage: training_requests(plan, changed[stage], stage, per_run, in_hand) for stage in Stage}
    targets = context.instance.get_dynamic_partitions("targets")
    pooled = {stage: trained_versions(context.instance, asset, "target_plan", targets) for stage, asset in POOLED_ASSETS.items()}
    stage_of = partial(blend_stage, FAMILIES, config.training.blend_families)
    blends, blended = blend_requests(plan, before.blends, pooled, stage_of, per_run, in_hand)
    first = (*asked[Stage.CPU], *blends)
    waits = bool(asked[Stage.GPU]) and (bool(first) or _cpu_stage_runs(context.instance))
    places = {name: positions(context.instance.get_dynamic_partitions(name)) for name in ("targets", "target_symbol")}
    runs = [_run_request(request, places, tags) for request in (first if waits else (*first, *asked[Stage.GPU]))]
    cursor = PlanCursor(versions, before.gpu_jobs if waits else versions, blended, before.n_rounds + bool(runs or in_hand)).text()
    if waits and not runs:
        return dg.SensorResult(skip_reason=f"plan {plan_id[:12]}: the GPU stage waits until the runs of the CPU stage have ended", cursor=cursor)
    if not runs:
        return dg.SensorResult(skip_reason=f"plan {plan_id[:12]}: nothing new to train among {len(versions)} jobs", cursor=cursor)
    context.log.info(f"plan {plan_id[:12]}: {len(changed[Stage.CPU])} of {len(versions)} jobs new or changed; asking for {len(runs)} runs")
    return dg.SensorResult(run_requests=runs, cursor=cursor)


def _cpu_stage_runs(instance: dg.DagsterInstance) -> bool:
    """Whether a run of the CPU stage that this sensor asked for, for this plan or one before it, has not ended yet."""
    return any(run.job_name in CPU_STAGE_JOBS and PLAN_TAG in run.tags for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)))


def keys_in_hand(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> dict[str, set[str]]:
    """Dagster job to the keys of runs that carry these tags: those a look of this round asked for before its cursor was lost; else none."""
    found: dict[str, set[str]] = {}
    for run in instance.get_runs(dg.RunsFilter(tags=dict(tags))):
        asset = ASSET_OF_JOB.get(run.job_name, "")
        operations = cast("Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]", run.run_config.get("ops", {}))
        found.setdefault(run.job_name, set()).update(operations.get(asset, {}).get("config", {}).get("only", ()))
    return found


def _run_request(request: TrainingRequest, places: Mapping[str, Mapping[str, int]], tags: Mapping[str, str]) -> dg.RunRequest:
    keys_of = "targets" if request.job_name.startswith("train_targets") else "target_symbol"
    return dg.RunRequest(
        run_key=f"{tags[PLAN_TAG]}:{tags[ROUND_TAG]}:{request.job_name}:{content_version(' '.join(request.keys))}",
        job_name=request.job_name,
        tags={**range_tags(request.keys, places[keys_of]), **tags},
        run_config={"ops": {ASSET_OF_JOB[request.job_name]: {"config": {"only": list(request.keys)}}}},
    )
