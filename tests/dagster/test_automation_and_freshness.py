"""Declarative automation, the alternative to the plan's sensor: models are asked for when their slice of the plan changed, and for no other reason."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

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
