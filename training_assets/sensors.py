"""The sensor that carries a new training plan on to training.

Belongs here: reading the plan, asking Dagster for runs. Does not: what changed (`plan_changes`), or how partitions follow a plan (`partitions`).
"""

import dagster as dg

from resources.artifact_store import content_version
from resources.settings import Settings
from training_assets.contracts import Stage
from training_assets.jobs import TRAIN_JOBS
from training_assets.partitions import range_tags, sync_partitions, trained_versions, wanted_keys
from training_assets.plan_changes import PlanCursor, TrainingRequest, blend_requests, changed_keys, parse_cursor, slice_versions, training_requests
from training_assets.plan_reader import TrainingPlanError, read_master_plan

ASSET_OF_JOB = {
    "train_targets_cpu": "cross_sectional_models",
    "train_pairs_cpu": "symbol_models",
    "train_blends_cpu": "blended_models",
    "train_targets_gpu": "cross_sectional_sequence_models",
    "train_pairs_gpu": "symbol_sequence_models",
}


@dg.sensor(
    jobs=list(TRAIN_JOBS),
    minimum_interval_seconds=30,
    description="On a new training plan: brings the partitions in step and asks for exactly the jobs whose content changed, CPU stage and GPU stage; "
    "then for blends, as the pooled models that they stand on arrive.",
)
def training_plan_sensor(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    try:
        plan = read_master_plan(settings.plan_folder)
    except TrainingPlanError as error:
        return dg.SensorResult(skip_reason=str(error))
    sync_partitions(context.instance, wanted_keys(plan, None))
    before, versions, per_run = parse_cursor(context.cursor), slice_versions(plan), settings.load().resources.models_per_run
    changed = changed_keys(before.jobs, versions)
    requests = [request for stage in Stage for request in training_requests(plan, changed, stage, per_run)]
    targets = context.instance.get_dynamic_partitions("targets")
    blends, blended = blend_requests(plan, before.blends, trained_versions(context.instance, "cross_sectional_models", "target_plan", targets), per_run)
    runs = [_run_request(context, request, str(plan.metadata["plan_id"])) for request in (*requests, *blends)]
    cursor = PlanCursor(versions, blended).text()
    if not runs:
        return dg.SensorResult(skip_reason=f"plan {plan.metadata['plan_id'][:12]}: nothing new to train among {len(versions)} jobs", cursor=cursor)
    return dg.SensorResult(run_requests=runs, cursor=cursor)


def _run_request(context: dg.SensorEvaluationContext, request: TrainingRequest, plan_id: str) -> dg.RunRequest:
    keys_of = "targets" if request.job_name.startswith("train_targets") else "target_symbol"
    return dg.RunRequest(
        run_key=f"{plan_id}:{request.job_name}:{content_version(' '.join(request.keys))}",
        job_name=request.job_name,
        tags={**range_tags(request.keys, context.instance.get_dynamic_partitions(keys_of)), "switchyard/plan_id": plan_id},
        run_config={"ops": {ASSET_OF_JOB[request.job_name]: {"config": {"only": list(request.keys)}}}},
    )
