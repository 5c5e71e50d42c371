"""Partitions follow the plan, and the sensors ask for what changed and for nothing else."""

import cProfile
import pstats
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from dagster._core.test_utils import create_run_for_test

from resources.settings import Settings
from routing_assets.plans.training_plan_files import write_training_plan
from routing_assets.sensors import new_market_data_sensor
from tests import panels
from tests.panels import REGRESSION_TARGET, make_panel, symbol_job
from training_assets.contracts import TrainingJob, TrainingPlan
from training_assets.partitions import RANGE_END_TAG, RANGE_START_TAG, keys_in_flight, positions, publish_plan, range_tags, sync_partitions, wanted_keys
from training_assets.sensors import training_plan_sensor

PANEL = make_panel(n_symbols=4, n_bars=60)


def plan_of(*jobs: TrainingJob) -> TrainingPlan:
    return panels.plan_of(PANEL, *jobs)


def pairs(*symbols: str) -> list[TrainingJob]:
    return [symbol_job(PANEL, symbol, REGRESSION_TARGET, ("Ridge",)) for symbol in symbols]


def key(symbol: str) -> str:
    return f"{REGRESSION_TARGET}|{symbol}"


@pytest.fixture
def instance() -> dg.DagsterInstance:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def pair_events(instance: dg.DagsterInstance) -> int:
    return len(instance.fetch_materializations(dg.AssetKey("pair_plan"), limit=100).records)


def test_a_plans_pairs_become_partitions_and_only_changed_slices_are_recorded_again(instance: dg.DagsterInstance) -> None:
    publish_plan(instance, plan_of(*pairs("S000", "S001")), PANEL.symbols)
    assert instance.get_dynamic_partitions("target_symbol") == [key("S000"), key("S001")]
    assert instance.get_dynamic_partitions("symbols") == list(PANEL.symbols)
    assert pair_events(instance) == 2
    publish_plan(instance, plan_of(*pairs("S000", "S001")), PANEL.symbols)
    assert pair_events(instance) == 2
    first, second = pairs("S000", "S001")
    publish_plan(instance, plan_of(replace(first, features=first.features[:-1]), second), PANEL.symbols)
    assert pair_events(instance) == 3


def test_a_retired_partition_goes_and_one_that_a_run_uses_waits(instance: dg.DagsterInstance) -> None:
    sync_partitions(instance, wanted_keys(plan_of(*pairs("S000", "S001", "S002", "S003")), None))
    tags = range_tags([key("S001"), key("S002")], positions(instance.get_dynamic_partitions("target_symbol")))
    run = create_run_for_test(instance, "train_pairs_cpu", status=dg.DagsterRunStatus.STARTED, tags=tags)
    sync_partitions(instance, wanted_keys(plan_of(*pairs("S000")), None))
    assert instance.get_dynamic_partitions("target_symbol") == [key("S000"), key("S001"), key("S002")]
    instance.report_run_canceled(run)
    sync_partitions(instance, wanted_keys(plan_of(*pairs("S000")), None))
    assert instance.get_dynamic_partitions("target_symbol") == [key("S000")]


def test_a_range_covers_keys_with_holes_between_them() -> None:
    assert range_tags(["d", "b"], positions(["a", "b", "c", "d", "e"])) == {RANGE_START_TAG: "b", RANGE_END_TAG: "d"}
    with pytest.raises(KeyError):
        range_tags(["z"], positions(["a"]))


def test_runs_in_flight_hold_the_keys_of_their_ranges_and_no_other(instance: dg.DagsterInstance) -> None:
    existing = [f"k{number}" for number in range(12)]
    ranges = [("k5", "k6"), ("k1", "k4"), ("k2", "k3"), ("k4", "k5"), ("gone", "k9")]
    runs = [create_run_for_test(instance, "train_pairs_cpu", tags={RANGE_START_TAG: first, RANGE_END_TAG: last}) for first, last in ranges]
    runs.append(create_run_for_test(instance, "train_pairs_cpu", tags={"dagster/partition": "k10"}))
    assert keys_in_flight(runs, existing) == {"k1", "k2", "k3", "k4", "k5", "k6", "k10"}


def test_more_keys_than_one_statement_takes_become_partitions_in_order(instance: dg.DagsterInstance) -> None:
    keys = [f"S{number:06d}" for number in range(260_000)]  # SQLite takes 250,000 values in a statement at most, as Debian builds it
    sync_partitions(instance, {"symbols": keys})
    assert instance.get_dynamic_partitions("symbols") == keys


def look(settings: Settings, instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorResult:
    return training_plan_sensor(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"settings": settings}))


def test_a_new_plan_is_carried_to_training_once(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = Settings(output_dir=str(tmp_path))
    assert "no training plan" in str(look(settings, instance, None).skip_reason)
    write_training_plan(plan_of(*pairs("S000", "S001", "S002")), settings.plan_folder, ())
    first = look(settings, instance, None)
    assert [request.job_name for request in first.run_requests] == ["train_pairs_cpu"]
    assert first.run_requests[0].run_config["ops"]["symbol_models"]["config"]["only"] == [key("S000"), key("S001"), key("S002")]
    again = look(settings, instance, first.cursor)
    assert not again.run_requests
    assert "nothing new to train" in str(again.skip_reason)


def test_only_the_jobs_that_a_new_plan_changed_are_asked_for(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = Settings(output_dir=str(tmp_path))
    write_training_plan(plan_of(*pairs("S000", "S001", "S002")), settings.plan_folder, ())
    cursor = look(settings, instance, None).cursor
    first, second, third = pairs("S000", "S001", "S002")
    write_training_plan(plan_of(replace(first, features=("f1",)), second, replace(third, features=("f2",))), settings.plan_folder, ())
    asked = look(settings, instance, cursor).run_requests
    assert asked[0].run_config["ops"]["symbol_models"]["config"]["only"] == [key("S000"), key("S002")]
    assert (asked[0].tags[RANGE_START_TAG], asked[0].tags[RANGE_END_TAG]) == (key("S000"), key("S002"))


def calls_of_a_look(folder: Path, n_pairs: int) -> int:
    """Python calls of one look at a new plan, in runs of ten pairs."""
    settings = Settings(output_dir=str(folder / str(n_pairs)), overrides=["resources.models_per_run=10"])
    write_training_plan(plan_of(*pairs(*(f"S{number:05d}" for number in range(n_pairs)))), settings.plan_folder, ())
    with dg.DagsterInstance.ephemeral() as ephemeral, cProfile.Profile() as profile:
        assert len(look(settings, ephemeral, None).run_requests) == n_pairs // 10
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_the_work_of_a_look_grows_in_proportion_to_the_plan(tmp_path: Path) -> None:
    calls_of_a_look(tmp_path, 10)  # what is imported and made once
    few, many = (calls_of_a_look(tmp_path, n_pairs) for n_pairs in (1_000, 4_000))
    assert many < 4.4 * few


def write_bars(path: Path, n_rows: int) -> None:
    times = pd.date_range("2020-01-01", periods=n_rows, tz="UTC")
    close = 100.0 + np.arange(n_rows)
    pd.DataFrame({"timestamp": times, "open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 1.0}).to_parquet(path)


def market_look(settings: Settings, cursor: str | None) -> dg.SensorResult:
    return new_market_data_sensor(dg.build_sensor_context(cursor=cursor, resources={"settings": settings}))


def test_new_bars_ask_for_one_plan_once_they_rest(tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    bars.mkdir()
    write_bars(bars / "A.parquet", 50)
    settings = Settings(overrides=["data.source=directory", f"data.path={bars}"], output_dir=str(tmp_path / "out"))
    first = market_look(settings, None)
    assert "waiting" in str(first.skip_reason)
    second = market_look(settings, first.cursor)
    assert len(second.run_requests) == 1
    assert not market_look(settings, second.cursor).run_requests
    write_bars(bars / "A.parquet", 51)
    third = market_look(settings, second.cursor)
    fourth = market_look(settings, third.cursor)
    assert fourth.run_requests[0].tags["switchyard/why"] == "1 larger (A.parquet)"
    assert fourth.run_requests[0].run_key != second.run_requests[0].run_key


def test_a_folder_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    settings = Settings(overrides=["data.source=directory", f"data.path={tmp_path / 'gone'}"])
    result = market_look(settings, "the cursor before")
    assert "cannot be listed" in str(result.skip_reason)
    assert result.cursor is None
