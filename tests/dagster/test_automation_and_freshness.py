"""Declarative automation, the alternative to the plan's sensor: models are asked for when their slice of the plan changed, and for no other reason."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.test_utils import create_run_for_test

from resources.settings import Settings
from routing_assets.definitions import make_definitions
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import CLEAN, LEAKING, write_world
from tests.dagster.test_partitions_and_sensors import PANEL, pairs, plan_of
from training_assets.contracts import TrainingJob
from training_assets.partitions import publish_plan
from training_assets.plan_reader import read_master_plan

PLAN_CHECK = dg.AssetCheckKey(dg.AssetKey("training_plan"), "trains_what_is_routed")


class Automation:
    """The conditions of the code location, evaluated tick by tick on one instance."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance = settings, instance
        self._definitions = make_definitions(settings)
        self._cursor = dg.evaluate_automation_conditions(self._definitions, instance).cursor

    def plan(self, *jobs: TrainingJob, check_passes: bool = True) -> None:
        """What materializing `training_plan` leaves: documents, slices, its event, and its check's verdict."""
        write_training_plan(plan_of(*jobs), self.settings.plan_folder, ())
        publish_plan(self.instance, read_master_plan(self.settings.plan_folder), PANEL.symbols)
        for asset in ("panel", "leakage_audit", "feature_selection", "routing_plan", "training_plan"):
            self.instance.report_runless_asset_event(dg.AssetMaterialization(asset))
        verdict = dg.AssetCheckEvaluation(
            asset_key=PLAN_CHECK.asset_key, check_name=PLAN_CHECK.name, passed=check_passes, metadata={}, severity=dg.AssetCheckSeverity.ERROR, blocking=True
        )
        self.instance.report_runless_asset_event(verdict)

    def begin(self, key: str) -> dg.DagsterRun:
        """A run that trains a pair, under way."""
        asset = dg.AssetKey("symbol_models")
        run = create_run_for_test(
            self.instance, "train_pairs_cpu", status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": key}, asset_selection=frozenset({asset})
        )
        planned = AssetMaterializationPlannedData(asset, partition=key)
        self.instance.report_dagster_event(DagsterEvent.build_asset_materialization_planned_event("train_pairs_cpu", "symbol_models", planned), run.run_id)
        return run

    def end(self, run: dg.DagsterRun, key: str) -> None:
        """What a run leaves that trained a pair."""
        event = DagsterEvent(
            DagsterEventType.ASSET_MATERIALIZATION.value,
            "train_pairs_cpu",
            event_specific_data=StepMaterializationData(dg.AssetMaterialization("symbol_models", partition=key)),
        )
        self.instance.report_dagster_event(event, run.run_id)
        self.instance.report_dagster_event(DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, "train_pairs_cpu"), run.run_id)

    def tick(self) -> set[str]:
        """The partitions of `symbol_models` that one tick asks for."""
        result = dg.evaluate_automation_conditions(self._definitions, self.instance, cursor=self._cursor)
        self._cursor = result.cursor
        return set(result.get_requested_partitions(dg.AssetKey("symbol_models")))


@pytest.fixture
def automation(tmp_path: Path) -> Iterator[Automation]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Automation(write_world(str(tmp_path), leaks=False), instance)


def test_a_new_plan_asks_for_its_pairs_once_and_a_changed_one_for_what_changed(automation: Automation) -> None:
    first, second = pairs("S000", "S001")
    automation.plan(first, second)
    assert automation.tick() == {CLEAN, LEAKING}
    assert automation.tick() == set()
    automation.plan(first, replace(second, reason="worded anew"))
    assert automation.tick() == set()
    automation.plan(replace(first, features=("f1",)), second)
    assert automation.tick() == {CLEAN}


def test_a_plan_that_fails_its_check_asks_for_nothing_until_the_check_passes(automation: Automation) -> None:
    automation.plan(*pairs("S000"), check_passes=False)
    assert automation.tick() == set()
    automation.plan(*pairs("S000"), check_passes=True)
    assert automation.tick() == {CLEAN}


def test_a_change_right_after_a_request_is_asked_for_too_and_once(automation: Automation) -> None:
    first, second = pairs("S000", "S001")
    automation.plan(first, second)
    assert automation.tick() == {CLEAN, LEAKING}
    automation.plan(replace(first, features=("f1",)), second)
    assert automation.tick() == {CLEAN}
    automation.plan(replace(first, features=("f2",)), second)
    automation.plan(replace(first, features=("f3",)), second)
    assert automation.tick() == {CLEAN}
    assert automation.tick() == set()


def test_a_change_while_a_run_of_the_version_before_is_under_way_is_asked_for_when_it_has_ended(automation: Automation) -> None:
    first, second = pairs("S000", "S001")
    automation.plan(first, second)
    assert automation.tick() == {CLEAN, LEAKING}
    assert automation.tick() == set()
    run = automation.begin(CLEAN)
    automation.plan(replace(first, features=("f1",)), second)
    assert automation.tick() == set()
    automation.end(run, CLEAN)
    assert automation.tick() == {CLEAN}
    assert automation.tick() == set()


def test_a_retired_pair_is_not_asked_for(automation: Automation) -> None:
    first, second = pairs("S000", "S001")
    automation.plan(first, second)
    automation.tick()
    automation.tick()
    automation.plan(replace(second, features=("f1",)))
    assert automation.tick() == {LEAKING}


def test_plan_and_models_have_a_freshness_policy_of_the_configured_days(tmp_path: Path) -> None:
    graph = make_definitions(Settings(output_dir=str(tmp_path), overrides=["resources.plan_fresh_days=4"])).resolve_asset_graph()
    policy = graph.get(dg.AssetKey("training_plan")).freshness_policy
    assert (policy.fail_window.to_timedelta(), policy.warn_window.to_timedelta()) == (timedelta(days=4), timedelta(days=2))
    for name in ("symbol_models", "cross_sectional_models", "blended_models", "symbol_sequence_models", "cross_sectional_sequence_models"):
        assert graph.get(dg.AssetKey(name)).freshness_policy.fail_window.to_timedelta() == timedelta(days=31)
