"""The models of the asset graph: chunk assets whose runs train a range of partitions and record each by itself.

Belongs here: one generator that reads the plan's slices, asks the lock, hands jobs to the trainer and turns outcomes into events. Does not: the
decisions (`stage_work`, `leakage.lock`), or the fits (`trainer`).

Events are yielded one a partition with data version and provenance, since a range run that fails must say honestly which of its partitions stand.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from config.schema import Config
from config.sections.resources import ResourcesConfig
from resources.artifact_store import content_version, read_value
from resources.files import encode_name
from resources.gpu import GpuResource
from resources.instance import keep_connections
from resources.metadata import picture
from resources.remote_store import remote_store
from resources.settings import Settings
from resources.worker_pool import default_workers
from training_assets.assets import CODE_VERSION, OWNERS, PANEL_PATH, fresh_for, pair_plan, target_plan
from training_assets.contracts import Stage, TrainingPlan, TrainingType
from training_assets.leakage.lock import require_audit_of
from training_assets.loss_curves import loss_curves, loss_curves_svg
from training_assets.outcomes import JobOutcome
from training_assets.panel.panel import Panel
from training_assets.plan_reader import plan_slices, read_master_plan
from training_assets.retirement import remember_plan
from training_assets.stage_work import chosen_keys, failure_line, first_score, progress_line, score_table, shortfall, stage_work
from training_assets.stale_partitions import changed_slice_condition, provenance_tags, versions_read
from training_assets.trainer import train_blends, train_jobs

AUDIT_PATH = "METRICS/leakage_audit.parquet"
# Seconds between two lines of progress: each is an event in the store, as costly as the one that records a job.
PROGRESS_SECONDS = 2.0
# What a GPU-stage step asks of a cluster; each launcher reads its own key, and on one machine none is read.
GPU_REQUEST = {
    "dagster-k8s/config": {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}},
    "dagster-ray/config": {"num_gpus": 1},
}


class ModelRunConfig(dg.Config):
    """What a run over a range of partitions trains of it; an empty choice means all."""

    only: list[str] = Field(default_factory=list, description="Partition keys.")
    routes: list[str] = Field(default_factory=list, description="Routes of the plan's jobs, as ROUTE_BOTH or both.")
    families: list[str] = Field(default_factory=list, description="Model families.")


@dataclass(frozen=True)
class _Inputs:
    config: Config
    plan: TrainingPlan
    audit: pd.DataFrame


def _read_inputs(settings: Settings) -> _Inputs:
    """The plan with the panel and the audit it is held against; a plan or an audit of other data is an error, and a plan that lies elsewhere is remembered."""
    mapped: Panel = read_value(settings.output / PANEL_PATH, Panel)
    plan = read_master_plan(settings.plan_folder, mapped.data_hash)
    remember_plan(settings.output, settings.plan_folder)
    config, audit = settings.load(), read_value(settings.output / AUDIT_PATH, pd.DataFrame)
    require_audit_of(audit, mapped.data_hash, block=config.routing.block_on_leakage)
    return _Inputs(config, plan, audit)


def _train(
    context: dg.AssetExecutionContext,
    settings: Settings,
    run: ModelRunConfig,
    slices_of: str,
    stage: Stage,
    blends: bool,
    device: str = "cpu",
    told: Mapping[str, str | int] | None = None,
) -> Iterator[dg.AssetMaterialization]:
    """Train the partitions of this run and yield one event each; the refused and the failed are named at the end, and no retry mends them.

    `told` : what the events say of the device.
    """
    keep_connections(context.instance)
    store = remote_store(settings.load().resources.store, settings.output)
    if store is not None:
        store.pull_tree()
    inputs = _read_inputs(settings)
    pooled = slices_of == target_plan.key.path[-1]
    slices = plan_slices(inputs.plan, TrainingType.CROSS_SECTIONAL if pooled else TrainingType.SYMBOL_SPECIFIC)
    keys = chosen_keys(slices, context.partition_keys, run.only, run.routes)
    work = stage_work(slices, keys, inputs.audit, inputs.config, stage, families=tuple(run.families), blends=blends)
    asset, read, code = context.assets_def.key, versions_read(context), context.assets_def.code_versions_by_key[context.assets_def.key]
    failed = {key: "; ".join(reasons) for key, reasons in work.refused.items()}
    for key in work.idle:
        yield dg.AssetMaterialization(
            asset,
            partition=key,
            metadata={"n_models": 0, "note": "nothing to train at this stage"},
            tags=provenance_tags(slices[key], slices_of, "", read, code),
        )
    if store is not None:
        store.pull_models(sorted({encode_name(job.target) for job in work.jobs}))
    workers, plan_id = inputs.config.resources.workers or default_workers(), inputs.plan.metadata["plan_id"]
    places = (work.jobs, settings.output / PANEL_PATH, inputs.config, settings.output)
    planned_on = str(inputs.plan.metadata["data_hash"])
    if blends:
        outcomes = train_blends(*places, plan_id, workers, plan_jobs=inputs.plan.jobs, data_hash=planned_on)
    else:
        outcomes = train_jobs(*places, stage, plan_id, workers, device, data_hash=planned_on)
    keys_by_job, started, told_at = work.keys_by_job, time.monotonic(), -PROGRESS_SECONDS
    for done, outcome in enumerate(outcomes, start=1):
        key, elapsed = keys_by_job[outcome.job_id], time.monotonic() - started
        if elapsed >= told_at + PROGRESS_SECONDS or done == len(keys_by_job):
            what, told_at = f"{key}, {len(outcome.models)} models in {outcome.seconds:.1f} s", elapsed
            context.log.info(f"{asset.to_user_string()} {progress_line(done, len(keys_by_job), what, elapsed)}")
        if store is not None:  # before it is announced, so that what is recorded is there for every machine
            for model in outcome.models:
                store.push(Path(model.path).relative_to(settings.output).as_posix())
        if (missed := shortfall(outcome, inputs.config.routing.require_min_successful_families)) is None:
            tags = provenance_tags(slices[key], slices_of, _version(outcome), read, code)
            yield dg.AssetMaterialization(asset, partition=key, metadata={**_outcome_metadata(outcome), **(told or {})}, tags=tags)
        else:
            failed[key] = missed
    if failed:
        listed = "; ".join(f"{key}: {reason}" for key, reason in list(failed.items())[:5])
        raise dg.Failure(
            f"{len(failed)} of {len(keys)} partitions without the models they need: {listed}",
            metadata={"failed": dg.MetadataValue.json(failed)},
            allow_retries=False,
        )


def _version(outcome: JobOutcome) -> str:
    return content_version(" ".join(sorted(model.content_key for model in outcome.models)))


def _outcome_metadata(outcome: JobOutcome) -> dict[str, Any]:
    score, curves = first_score(outcome), _curves(outcome)
    return {
        "n_models": len(outcome.models),
        "n_failures": len(outcome.failures),
        "cached": outcome.cached,
        "seconds": round(outcome.seconds, 3),
        "peak_memory_bytes": outcome.peak_memory_bytes,
        **({} if score is None else {"best_score": round(score, 6)}),
        "scores": dg.MetadataValue.md(score_table(outcome)),
        **({"training_curves": picture(curves)} if curves else {}),
        "failures": dg.MetadataValue.json([failure_line(failure) for failure in outcome.failures]),
    }


def _curves(outcome: JobOutcome) -> dict[str, str]:
    """By family, the loss of its net over epochs; none for families without epochs."""
    pictures = {}
    for model in outcome.models:
        details = model.fit_details
        if curves := loss_curves(details):
            pictures[model.family] = loss_curves_svg(curves, f"{model.family}: loss by epoch", int(details.get("best_epoch", 0)))
    return pictures


def model_spec(
    name: str, slices: dg.AssetSpec, deps: list[dg.AssetDep], description: str, kinds: set[str], freshness: dg.FreshnessPolicy | None
) -> dg.AssetSpec:
    """The spec of a model asset: partitioned like its slices, and free to leave partitions out of a range."""
    return dg.AssetSpec(
        name,
        partitions_def=slices.partitions_def,
        deps=[slices.key, "panel", "leakage_audit", *deps],
        group_name="models",
        skippable=True,
        code_version=CODE_VERSION,
        description=description,
        kinds=kinds,
        owners=OWNERS,
        automation_condition=changed_slice_condition(),
        freshness_policy=freshness,
    )


def make_model_asset(
    name: str, slices: dg.AssetSpec, stage: Stage, resources: ResourcesConfig, description: str, deps: tuple[dg.AssetDep, ...] = (), blends: bool = False
) -> dg.AssetsDefinition:
    """One chunk asset: a run trains a range of partitions in a process pool and records each by itself."""
    on_gpu = stage is Stage.GPU
    decorate: Callable[..., Any] = dg.multi_asset(
        name=name,
        specs=[model_spec(name, slices, list(deps), description, {"pytorch"} if on_gpu else {"lightgbm", "xgboost"}, fresh_for(resources.models_fresh_days))],
        partitions_def=slices.partitions_def,
        backfill_policy=dg.BackfillPolicy.multi_run(resources.models_per_run),
        pool="gpu" if on_gpu else None,
        op_tags=GPU_REQUEST if on_gpu else None,
    )
    slices_name = slices.key.path[-1]
    if on_gpu:

        def on_device(context: dg.AssetExecutionContext, config: ModelRunConfig, settings: Settings, gpu: GpuResource) -> Iterator[dg.AssetMaterialization]:
            gpu.device()  # a device that is required and not there is refused before anything is waited for
            with gpu.lease() as device:
                yield from _train(context, settings, config, slices_name, stage, blends, device.name, gpu.metadata(device))

        return decorate(on_device)  # type: ignore[no-any-return]

    def on_cpu(context: dg.AssetExecutionContext, config: ModelRunConfig, settings: Settings) -> Iterator[dg.AssetMaterialization]:
        yield from _train(context, settings, config, slices_name, stage, blends)

    return decorate(on_cpu)  # type: ignore[no-any-return]


def make_model_assets(resources: ResourcesConfig) -> tuple[dg.AssetsDefinition, ...]:
    """Every model asset; a run of a backfill holds at most `resources.models_per_run` jobs."""
    return (
        make_model_asset("cross_sectional_models", target_plan, Stage.CPU, resources, "CPU-stage families fitted on every symbol that a target's plan pools."),
        make_model_asset(
            "symbol_models",
            pair_plan,
            Stage.CPU,
            resources,
            "CPU-stage families fitted on one symbol, where the plan routes the pair to a model of its own.",
        ),
        make_model_asset(
            "blended_models",
            pair_plan,
            Stage.CPU,
            resources,
            "Pairs routed BOTH: a local model of what the pooled one leaves, its strength chosen on purged folds, zero included.",
            (
                *(dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in ("cross_sectional_models", "cross_sectional_sequence_models")),
                dg.AssetDep("symbol_models"),  # the pair's own, which its blend is held against; others' are nothing to it
            ),
            blends=True,
        ),
        make_model_asset(
            "cross_sectional_sequence_models", target_plan, Stage.GPU, resources, "GPU-stage families (nets, sequence models) on every pooled symbol."
        ),
        make_model_asset("symbol_sequence_models", pair_plan, Stage.GPU, resources, "GPU-stage families on one symbol; nets of one target are fitted stacked."),
    )
