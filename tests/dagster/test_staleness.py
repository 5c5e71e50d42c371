"""What the UI calls unsynced is what changed under a model, and nothing else."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.loader import LoadingContextForTest

from resources.instance import run_job
from resources.settings import Settings
from routing_assets.definitions import make_definitions
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import CLEAN, LEAKING, write_world
from tests.dagster.test_partitions_and_sensors import PANEL, pairs, plan_of
from training_assets.contracts import TrainingJob
from training_assets.partitions import RANGE_END_TAG, RANGE_START_TAG, publish_plan
from training_assets.plan_reader import read_master_plan


def stale(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, list[str]]:
    """Reasons for which each pair's local models are stale; none for those that are fresh."""
    resolver = CachingStaleStatusResolver(instance, definitions.resolve_asset_graph(), LoadingContextForTest(instance))
    keys = {name: AssetKeyPartitionKey(dg.AssetKey("symbol_models"), name) for name in (CLEAN, LEAKING)}
    assert StaleStatus.MISSING not in {resolver.get_status(key.asset_key, key.partition_key) for key in keys.values()}
    return {
        name: [f"{cause.dependency.asset_key.to_user_string()} {cause.reason}" for cause in resolver.get_stale_causes(key.asset_key, key.partition_key)]
        for name, key in keys.items()
    }


def materialize(instance: dg.DagsterInstance, name: str, version: str) -> None:
    tags = {"dagster/data_version": version, "dagster/data_version_is_user_provided": "true"}
    instance.report_runless_asset_event(dg.AssetMaterialization(name, tags=tags))


def plan(settings: Settings, instance: dg.DagsterInstance, *jobs: TrainingJob) -> None:
    write_training_plan(plan_of(*jobs), settings.plan_folder, ())
    publish_plan(instance, read_master_plan(settings.plan_folder), PANEL.symbols)


def test_a_model_is_stale_where_its_slice_or_its_data_changed_and_fresh_elsewhere(tmp_path: Path) -> None:
    settings = write_world(str(tmp_path), leaks=False)
    definitions = make_definitions(settings, {"switchyard": dg.LoggerDefinition(lambda _: dg.get_dagster_logger("quiet"))})
    first, second = pairs("S000", "S001")
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(instance, "panel", "one")
        materialize(instance, "leakage_audit", "one")
        plan(settings, instance, first, second)
        both = {RANGE_START_TAG: CLEAN, RANGE_END_TAG: LEAKING}
        assert run_job(definitions, "train_pairs_cpu", instance, tags=both).success
        assert stale(definitions, instance) == {CLEAN: [], LEAKING: []}
        materialize(instance, "panel", "one")
        plan(settings, instance, first, replace(second, reason="worded anew"))
        assert stale(definitions, instance) == {CLEAN: [], LEAKING: []}
        plan(settings, instance, first, replace(second, features=second.features[:2]))
        assert stale(definitions, instance) == {CLEAN: [], LEAKING: ["pair_plan has a new dependency data version"]}
        assert run_job(definitions, "train_pairs_cpu", instance, tags={"dagster/partition": LEAKING}).success
        assert stale(definitions, instance) == {CLEAN: [], LEAKING: []}
        materialize(instance, "panel", "another")
        assert set(stale(definitions, instance)[CLEAN]) == {"panel has a new dependency data version"}
