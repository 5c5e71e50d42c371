"""The models of the asset graph: chunk assets whose runs train a range of partitions and record each by itself.

Belongs here: one generator that reads the plan's slices, asks the lock, hands jobs to the trainer and turns outcomes into events. Does not: the
decisions (`stage_work`, `leakage.lock`), or the fits (`trainer`).

Events are yielded one a partition with data version and provenance, since a range run that fails must say honestly which of its partitions stand.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from config.schema import Config
from config.sections.resources import ResourcesConfig
from resources.artifact_store import content_version, read_value
from resources.gpu import GpuResource
from resources.settings import Settings
from training_assets.assets import CODE_VERSION, OWNERS, PANEL_PATH, fresh_for, pair_plan, target_plan
from training_assets.contracts import Stage, TrainingPlan, TrainingType
from training_assets.outcomes import JobOutcome
from training_assets.panel.panel import Panel
from training_assets.partitions import DATA_VERSION_TAG
from training_assets.plan_reader import PlanSlice, plan_slices, read_master_plan
from training_assets.stage_work import failure_line, first_score, score_table, stage_work
from training_assets.trainer import train_blends, train_jobs

AUDIT_PATH = "METRICS/leakage_audit.parquet"
# What a GPU-stage step asks of a cluster; each launcher reads its own key, and on one machine none is read.
GPU_REQUEST = {
    "dagster-k8s/config": {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}},
    "dagster-ray/config": {"num_gpus": 1},
}


class ModelRunConfig(dg.Config):
    """What a run over a range of partitions trains of it: `only` these keys, and these `families`; empty means all."""

    only: list[str] = Field(default_factory=list)
    families: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class _Inputs:
    config: Config
    plan: TrainingPlan
    audit: pd.DataFrame


def _read_inputs(settings: Settings) -> _Inputs:
    """The plan with the panel and the audit it is held against; a plan made from other data is an error."""
    mapped: Panel = read_value(settings.output / PANEL_PATH, Panel)
    plan = read_master_plan(settings.plan_folder, mapped.data_hash)
    return _Inputs(settings.load(), plan, read_value(settings.output / AUDIT_PATH, pd.DataFrame))


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
    inputs = _read_inputs(settings)
    pooled = slices_of == target_plan.key.path[-1]
    slices = plan_slices(inputs.plan, TrainingType.CROSS_SECTIONAL if pooled else TrainingType.SYMBOL_SPECIFIC)
    keys = [key for key in context.partition_keys if not run.only or key in run.only]
    work = stage_work(slices, keys, inputs.audit, inputs.config, stage, families=tuple(run.families), blends=blends)
    asset, read = context.assets_def.key, _versions_read(context)
    failed = {key: "; ".join(reasons) for key, reasons in work.refused.items()}
    for key in work.idle:
        yield dg.AssetMaterialization(
            asset, partition=key, metadata={"n_models": 0, "note": "nothing to train at this stage"}, tags=_tags(slices[key], slices_of, "", read)
        )
    workers, plan_id = inputs.config.resources.workers or os.cpu_count() or 1, inputs.plan.metadata["plan_id"]
    places = (work.jobs, settings.output / PANEL_PATH, inputs.config, settings.output)
    outcomes = train_blends(*places, plan_id, workers) if blends else train_jobs(*places, stage, plan_id, workers, device)
    for done, outcome in enumerate(outcomes, start=1):
        key = work.keys_by_job[outcome.job_id]
        context.log.info(f"{asset.to_user_string()} {done}/{len(work.slices)}: {key}, {len(outcome.models)} models, {outcome.seconds:.1f} s")
        if outcome.models:
            tags = _tags(slices[key], slices_of, _version(outcome), read)
            yield dg.AssetMaterialization(asset, partition=key, metadata={**_outcome_metadata(outcome), **(told or {})}, tags=tags)
        else:
            failed[key] = "; ".join(failure_line(failure) for failure in outcome.failures) or "no model"
    if failed:
        listed = "; ".join(f"{key}: {reason}" for key, reason in list(failed.items())[:5])
        raise dg.Failure(
            f"{len(failed)} of {len(keys)} partitions without a model: {listed}", metadata={"failed": dg.MetadataValue.json(failed)}, allow_retries=False
        )


def _version(outcome: JobOutcome) -> str:
    return content_version(" ".join(sorted(model.content_key for model in outcome.models)))


def _tags(item: PlanSlice, slices_of: str, version: str, read: Mapping[str, str]) -> dict[str, str]:
    """Provenance that Dagster writes itself for other assets, so that staleness is true for these too."""
    return {
        **read,
        "dagster/data_version": version or item.version,
        "dagster/data_version_is_user_provided": "true",
        "dagster/code_version": CODE_VERSION,
        f"dagster/input_data_version/{slices_of}": item.version,
    }


def _versions_read(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Tags that say which version and event of each dependency this run reads; of one that was never materialized here, none.

    Of a partitioned dependency the pointer alone counts: Dagster looks for events of the partition after it.
    """
    tags = {}
    for dependency in sorted(dep.asset_key.to_user_string() for spec in context.assets_def.specs for dep in spec.deps):
        records = context.instance.fetch_materializations(dg.AssetKey(dependency), limit=1).records
        written = records[0].asset_materialization if records else None
        if written is not None:
            tags[f"dagster/input_event_pointer/{dependency}"] = str(records[0].storage_id)
            tags[f"dagster/input_data_version/{dependency}"] = (written.tags or {}).get(DATA_VERSION_TAG, "")
    return tags


def _outcome_metadata(outcome: JobOutcome) -> dict[str, Any]:
    score = first_score(outcome)
    return {
        "n_models": len(outcome.models),
        "n_failures": len(outcome.failures),
        "cached": outcome.cached,
        "seconds": outcome.seconds,
        **({} if score is None else {"best_score": score}),
        "scores": dg.MetadataValue.md(score_table(outcome)),
        "failures": dg.MetadataValue.json([failure_line(failure) for failure in outcome.failures]),
    }


def changed_slice_condition() -> dg.AutomationCondition[dg.AssetKey]:
    """When declarative automation asks for a model: its slice is new or of another version, and no blocking check of slice or plan stands against it.

    A check of slices runs beside models, so one that never ran must not hold them back: the lock inside the asset refuses what leaks all the same.
    A slice's version holds the data and the features that survived the audit; what else a model depends on would only ask for it twice. A plan
    without nets never fills their asset, which must not hold blends back; blends of nets are asked for by the sensor, once the net is there.
    """
    conditions = dg.AutomationCondition
    changed = conditions.eager().replace("newly_updated", conditions.data_version_changed())
    slice_failed = conditions.any_deps_match(conditions.any_checks_match(conditions.check_failed(), blocking_only=True))
    plan_passed = conditions.asset_matches("training_plan", conditions.all_checks_match(conditions.check_passed(), blocking_only=True))
    return (changed & ~slice_failed).ignore(dg.AssetSelection.assets("panel", "leakage_audit", "cross_sectional_sequence_models")) & plan_passed


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
    name: str, slices: dg.AssetSpec, stage: Stage, resources: ResourcesConfig, description: str, deps: tuple[str, ...] = (), blends: bool = False
) -> dg.AssetsDefinition:
    """One chunk asset: a run trains a range of partitions in a process pool and records each by itself."""
    on_gpu = stage is Stage.GPU
    mapped = [dg.AssetDep(dep, partition_mapping=dg.AllPartitionMapping()) for dep in deps]
    decorate: Callable[..., Any] = dg.multi_asset(
        name=name,
        specs=[model_spec(name, slices, mapped, description, {"pytorch"} if on_gpu else {"lightgbm", "xgboost"}, fresh_for(resources.models_fresh_days))],
        partitions_def=slices.partitions_def,
        backfill_policy=dg.BackfillPolicy.multi_run(resources.models_per_run),
        pool="gpu" if on_gpu else None,
        op_tags=GPU_REQUEST if on_gpu else None,
    )
    slices_name = slices.key.path[-1]
    if on_gpu:

        def on_device(context: dg.AssetExecutionContext, config: ModelRunConfig, settings: Settings, gpu: GpuResource) -> Iterator[dg.AssetMaterialization]:
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
            ("cross_sectional_models", "cross_sectional_sequence_models"),
            blends=True,
        ),
        make_model_asset(
            "cross_sectional_sequence_models", target_plan, Stage.GPU, resources, "GPU-stage families (nets, sequence models) on every pooled symbol."
        ),
        make_model_asset("symbol_sequence_models", pair_plan, Stage.GPU, resources, "GPU-stage families on one symbol; nets of one target are fitted stacked."),
    )
