"""Two backfills and a sensor over the same jobs at the same time, on a running site: each model is trained once, none is lost, one run holds the GPU."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import dagster as dg
import pytest

from resources.artifact_store import write_value
from resources.instance import open_instance
from resources.settings import Settings
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import SAFE_ROW, audit_of
from tests.dagster.served import ask, backfill_ended, launch_backfill, served
from tests.dagster.test_partitions_and_sensors import plan_of
from tests.panels import REGRESSION_TARGET, make_panel, symbol_job
from training_assets.model_assets import AUDIT_PATH, PANEL_PATH
from training_assets.partitions import publish_plan
from training_assets.plan_reader import partition_key_of, read_master_plan

N_JOBS, PER_RUN = 6, 3
ASSETS = ("symbol_models", "symbol_sequence_models")
LIMIT_SECONDS = float(os.environ.get("SWITCHYARD_DAEMON_SECONDS", "420"))
QUICK_NET = "training.hyperparameters={MLP: {epochs: 2}}"


@dataclass(frozen=True)
class Finished:
    """What a site left once nothing was running any more."""

    keys: list[str]
    backfills: list[str]  # how each ended
    runs: list[dg.DagsterRun]
    trained: dict[str, Counter[str]]  # by asset, how often each partition was trained and not found trained
    recorded: dict[str, set[str]]  # by asset, the partitions that have an event
    gpu_steps: list[tuple[float, float]]  # when each step of the GPU pool began to train and ended


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    output = tmp_path_factory.mktemp("at_once")
    settings = Settings(output_dir=str(output), overrides=["resources.workers=1", f"resources.models_per_run={PER_RUN}", QUICK_NET])
    panel = make_panel(n_symbols=N_JOBS, n_bars=300)
    write_value(output / PANEL_PATH, panel)
    write_value(output / AUDIT_PATH, audit_of(panel, SAFE_ROW))
    stages = {"cpu": ("LightGBM",), "gpu": ("MLP",)}
    jobs = [replace(symbol_job(panel, symbol, REGRESSION_TARGET, ()), stage_families=stages) for symbol in panel.symbols]
    write_training_plan(plan_of(*jobs), settings.plan_folder, ())
    with open_instance(output) as instance:
        publish_plan(instance, read_master_plan(settings.plan_folder), panel.symbols)
    with served(settings) as url:
        start_sensor(url, "training_plan_sensor")
        launched = [launch_backfill(url, asset, allPartitions=True) for asset in ASSETS]
        ended = [backfill_ended(url, backfill, LIMIT_SECONDS) for backfill in launched]
        with open_instance(output) as instance:
            wait_for_the_sensors_runs(instance)
            return told_by(instance, [partition_key_of(job) for job in jobs], ended)


def start_sensor(url: str, name: str) -> None:
    selector = {"repositoryLocationName": "switchyard", "repositoryName": "__repository__", "sensorName": name}
    query = "mutation($s: SensorSelector!) {startSensor(sensorSelector: $s) {__typename}}"
    assert ask(url, query, s=selector)["startSensor"]["__typename"] == "Sensor"


def wait_for_the_sensors_runs(instance: dg.DagsterInstance) -> None:
    """Until the sensor's runs are there, both stages of each batch, and every run has ended."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        runs = instance.get_runs()
        of_sensor = [run for run in runs if "dagster/sensor_name" in run.tags]
        if len(of_sensor) >= 2 * N_JOBS // PER_RUN and all(run.is_finished for run in runs):
            return
        time.sleep(0.5)
    raise AssertionError(f"runs have not ended: {[(run.job_name, run.status) for run in instance.get_runs()]}")


def told_by(instance: dg.DagsterInstance, keys: list[str], backfills: list[str]) -> Finished:
    records = {asset: instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records for asset in ASSETS}
    trained = {
        asset: Counter(str(record.partition_key) for record in found if not record.asset_materialization.metadata["cached"].value)
        for asset, found in records.items()
    }
    recorded = {asset: {str(record.partition_key) for record in found} for asset, found in records.items()}
    runs = list(instance.get_runs())
    return Finished(keys, backfills, runs, trained, recorded, sorted(spans_of_gpu_steps(instance, runs)))


def spans_of_gpu_steps(instance: dg.DagsterInstance, runs: list[dg.DagsterRun]) -> Iterator[tuple[float, float]]:
    for run in runs:
        times = {}
        for entry in instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event is not None and event.step_key == "symbol_sequence_models":
                times[event.event_type_value] = entry.timestamp
        if "STEP_START" in times:
            yield times["STEP_START"], times["STEP_SUCCESS"]


def test_both_backfills_and_every_run_of_the_sensor_succeed(finished: Finished) -> None:
    assert finished.backfills == ["COMPLETED_SUCCESS"] * 2
    assert Counter(run.status for run in finished.runs) == {dg.DagsterRunStatus.SUCCESS: len(finished.runs)}
    by_sensor = Counter(run.job_name for run in finished.runs if "dagster/sensor_name" in run.tags)
    assert by_sensor == {"train_pairs_cpu": N_JOBS // PER_RUN, "train_pairs_gpu": N_JOBS // PER_RUN}


def test_every_job_is_trained_once_and_none_is_lost(finished: Finished) -> None:
    for asset in ASSETS:
        assert finished.recorded[asset] == set(finished.keys)
        assert finished.trained[asset] == dict.fromkeys(finished.keys, 1)


def test_one_step_at_a_time_holds_the_gpu_pool(finished: Finished) -> None:
    assert len(finished.gpu_steps) == 2 * N_JOBS // PER_RUN
    assert all(ended <= begun for (_, ended), (begun, _) in zip(finished.gpu_steps, finished.gpu_steps[1:], strict=False))
