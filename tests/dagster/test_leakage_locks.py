"""Every way in to training meets the leakage lock: a pair that leaks is refused in any later run, with the finding in words, and its neighbour is not.

The plan was made before the finding, so nothing but the lock and the check of the slices stands in the way. Runs, backfills, sensors and automation go
through Dagster's own GraphQL and daemons; the launcher alone is one that executes in this process.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._daemon.asset_daemon import AssetDaemon
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.sensor import execute_sensor_iteration

from resources.settings import Settings
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import CLEAN, FINDING, LEAKING, trained_symbols, write_world
from tests.dagster.site import LOGGER, Site, site_over
from tests.dagster.test_partitions_and_sensors import PANEL, pairs, plan_of
from tests.panels import REGRESSION_TARGET, pooled_job, symbol_job
from tests.pipeline.command import switchyard, write_config, write_market
from training_assets.assets import MODEL_ASSETS
from training_assets.contracts import Route, Stage
from training_assets.model_assets import AUDIT_PATH
from training_assets.partitions import RANGE_END_TAG, RANGE_START_TAG, publish_plan
from training_assets.plan_reader import read_master_plan

BOTH = {RANGE_START_TAG: CLEAN, RANGE_END_TAG: LEAKING}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    settings = write_world(str(tmp_path))
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    with site_over(settings) as made:
        publish_plan(made.instance, read_master_plan(settings.plan_folder), PANEL.symbols)
        yield made


def launch_model_alone(site: Site) -> None:
    site.launch(site.select("__ASSET_JOB", "symbol_models"), {"dagster/partition": LEAKING})


def launch_job(site: Site) -> None:
    site.launch(site.select("train_pairs_cpu"), {"dagster/partition": LEAKING})


def launch_job_over_a_range(site: Site) -> None:
    site.launch(site.select("train_pairs_cpu"), BOTH)


def launch_backfill_of_one(site: Site) -> None:
    site.backfill(LEAKING)


def launch_backfill_of_a_range(site: Site) -> None:
    site.backfill(CLEAN, LEAKING)


def retry_from_failure(site: Site) -> None:
    launch_model_alone(site)
    (failed,) = site.instance.get_runs()
    query = "mutation($p: ReexecutionParams!) {launchRunReexecution(reexecutionParams: $p) {__typename ... on PythonError {message}}}"
    answer = site.ask(query, p={"parentRunId": failed.run_id, "strategy": "FROM_FAILURE"})
    assert answer["launchRunReexecution"]["__typename"] == "LaunchRunSuccess", answer
    assert len(site.instance.get_runs()) == 2


def plan_sensor(site: Site) -> None:
    site.start_sensor("training_plan_sensor")
    list(execute_sensor_iteration(site.workspace, LOGGER, None, None))


def automation(site: Site) -> None:
    site.start_sensor("default_automation_condition_sensor")
    passed = dg.AssetCheckEvaluation(asset_key=dg.AssetKey("training_plan"), check_name="trains_what_is_routed", passed=True, metadata={}, blocking=True)
    for asset in ("panel", "leakage_audit", "feature_selection", "routing_plan", "training_plan"):
        site.instance.report_runless_asset_event(dg.AssetMaterialization(asset))
    site.instance.report_runless_asset_event(passed)
    daemon = AssetDaemon(settings={}, pre_sensor_interval_seconds=0)
    # The first evaluation takes what is there as handled; a plan that changes both pairs comes after it.
    daemon._run_iteration_impl(site.workspace, None, {}, {})
    changed = [replace(job, features=job.features[:2]) for job in pairs("S000", "S001")]
    write_training_plan(plan_of(*changed), site.settings.plan_folder, ())
    publish_plan(site.instance, read_master_plan(site.settings.plan_folder), PANEL.symbols)
    for sensor in site.instance.all_instigator_state():
        site.instance.update_instigator_state(sensor.with_data(sensor.instigator_data._replace(last_tick_timestamp=0.0, last_tick_start_timestamp=0.0)))
    daemon._run_iteration_impl(site.workspace, None, {}, {})
    list(execute_backfill_iteration(site.workspace, LOGGER))


WAYS_TO_THE_LEAK: tuple[Callable[[Site], None], ...] = (launch_model_alone, launch_job, launch_backfill_of_one, retry_from_failure)
WAYS_TO_BOTH: tuple[Callable[[Site], None], ...] = (launch_job_over_a_range, launch_backfill_of_a_range, plan_sensor, automation)


@pytest.mark.parametrize("way", WAYS_TO_THE_LEAK, ids=lambda way: way.__name__)
def test_a_leaking_pair_is_refused_with_the_finding(site: Site, way: Callable[[Site], None]) -> None:
    way(site)
    runs = site.instance.get_runs()
    assert runs
    assert {run.status for run in runs} == {dg.DagsterRunStatus.FAILURE}
    assert FINDING in site.said()
    assert trained_symbols(site.settings) == set()


@pytest.mark.parametrize("way", WAYS_TO_BOTH, ids=lambda way: way.__name__)
def test_a_leaking_pair_is_refused_with_the_finding_and_its_neighbour_trains(site: Site, way: Callable[[Site], None]) -> None:
    way(site)
    assert dg.DagsterRunStatus.FAILURE in {run.status for run in site.instance.get_runs()}
    assert f"{LEAKING}: LEAKAGE: symbol_copy: {FINDING}" in site.said()
    assert trained_symbols(site.settings) == {"S000"}
    trained = site.instance.get_materialized_partitions(dg.AssetKey("symbol_models"))
    assert trained == {CLEAN}


@pytest.mark.parametrize("way", [launch_job, plan_sensor], ids=lambda way: way.__name__)
def test_the_same_ways_train_both_pairs_where_nothing_leaks(site: Site, way: Callable[[Site], None]) -> None:
    write_world(site.settings.output_dir, leaks=False)
    way(site)
    assert {run.status for run in site.instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
    assert "S001" in trained_symbols(site.settings)


def write_plan_of_every_asset(settings: Settings) -> None:
    """A pooled job of all symbols and the job of the pair `LEAKING`, each with work for every model asset of its kind."""
    families = {Stage.CPU: ("Ridge",), Stage.GPU: ("MLP",)}
    jobs = (pooled_job(PANEL, REGRESSION_TARGET, (), for_blends=True), symbol_job(PANEL, "S001", REGRESSION_TARGET, (), Route.BOTH))
    write_training_plan(plan_of(*(replace(job, stage_families=families) for job in jobs)), settings.plan_folder, ())


@pytest.mark.parametrize("leaks", [True, False])
@pytest.mark.parametrize("asset", MODEL_ASSETS)
def test_every_model_asset_asks_the_lock_itself(site: Site, asset: str, leaks: bool) -> None:
    write_world(site.settings.output_dir, leaks=leaks)
    write_plan_of_every_asset(site.settings)
    publish_plan(site.instance, read_master_plan(site.settings.plan_folder), PANEL.symbols)
    key = REGRESSION_TARGET if asset.startswith("cross_sectional") else LEAKING
    site.launch(site.select("__ASSET_JOB", asset), {"dagster/partition": key})
    (run,) = site.instance.get_runs()
    assert (f"{key}: LEAKAGE: symbol_copy: {FINDING}" in site.said()) == leaks
    if leaks:
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert trained_symbols(site.settings) == set()
    elif asset != "blended_models":  # which find no model to stand on here
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert list(site.settings.models_root.rglob("model_card.json"))


@pytest.mark.parametrize("way", WAYS_TO_THE_LEAK[:2], ids=lambda way: way.__name__)
def test_nothing_is_fitted_on_data_that_the_audit_is_not_of(site: Site, way: Callable[[Site], None]) -> None:
    write_world(site.settings.output_dir, leaks=False)
    path = site.settings.output / AUDIT_PATH
    pd.read_parquet(path).assign(data_hash="0123456789abcdef").to_parquet(path)
    way(site)
    assert {run.status for run in site.instance.get_runs()} == {dg.DagsterRunStatus.FAILURE}
    assert f"the leakage audit is of 0123456789abcdef, not of the data in use ({PANEL.data_hash})" in site.said()
    assert trained_symbols(site.settings) == set()


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars and configuration of the command's tiny market."""
    root = tmp_path_factory.mktemp("locked")
    write_market(root / "bars")
    write_config(root / "config")
    return root


def run_command(root: Path, *words: str) -> tuple[int, dict[str, object]]:
    answer = switchyard(*words, "--json", "--data-dir", root / "bars", "--config-dir", root / "config", "--output-dir", root / "out", "--families", "Ridge")
    return answer.status, json.loads(answer.out)


def test_train_refuses_a_pair_that_was_found_to_leak_after_the_plan(market: Path) -> None:
    assert run_command(market, "plan")[0] == 0
    path = market / "out" / AUDIT_PATH
    audit = pd.read_parquet(path)
    row = {**audit.iloc[0].to_dict(), "target": None, "symbol": "BBB", "feature": None, "status": "BLOCKED", "accepted": False, "message": FINDING}
    pd.concat([audit, pd.DataFrame([row])], ignore_index=True).to_parquet(path)
    status, said = run_command(market, "train")
    assert status == 1
    refused = [problem for problem in said["problems"] if FINDING in problem]
    assert any("|BBB: LEAKAGE:" in problem for problem in refused)
    assert trained_symbols(Settings(output_dir=str(market / "out"))) == {"AAA", "CCC"}


def test_train_audits_anew_where_the_audit_that_is_there_is_of_other_data(tmp_path: Path) -> None:
    write_market(tmp_path / "bars")
    write_config(tmp_path / "config")
    assert run_command(tmp_path, "plan")[0] == 0
    path = tmp_path / "out" / AUDIT_PATH
    audit = pd.read_parquet(path)
    audit.assign(data_hash="0123456789abcdef").to_parquet(path)
    assert run_command(tmp_path, "train")[0] == 0
    pd.testing.assert_frame_equal(pd.read_parquet(path), audit)
    assert trained_symbols(Settings(output_dir=str(tmp_path / "out")))


def test_training_without_a_plan_leaves_a_leaking_pair_out(tmp_path: Path) -> None:
    write_market(tmp_path / "bars")
    write_config(tmp_path / "config")
    copied = pd.read_parquet(tmp_path / "bars" / "AAA.parquet")
    copied.to_parquet(tmp_path / "bars" / "BBB.parquet")
    run_command(tmp_path, "train", "--no-training-plan")
    trained = trained_symbols(Settings(output_dir=str(tmp_path / "out")))
    assert "BBB" not in trained
    assert "CCC" in trained
    audit = pd.read_parquet(tmp_path / "out" / AUDIT_PATH)
    found = audit[(audit["status"] == "BLOCKED") & (audit["symbol"] == "BBB")]
    assert set(found["detector"]) == {"symbol_copy"}
