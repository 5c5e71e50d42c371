"""The sensors as Dagster's own daemon evaluates them: what is asked for arrives as queued runs, none lost and none twice, crashes included.

The daemon's iteration runs in this process on an instance that queues runs and starts none.
"""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.instance_for_test import instance_for_test
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import SensorInstigatorData, TickStatus
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.sensor import execute_sensor_iteration

from resources.settings import Settings
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.test_partitions_and_sensors import PANEL, key, pairs, plan_of, write_bars
from tests.panels import REGRESSION_TARGET, symbol_job
from training_assets.contracts import Stage, TrainingJob

LOGGER = logging.getLogger("dagster.test")


class Watch:
    """One sensor on an instance of its own, looked at when the test says so."""

    def __init__(self, instance: dg.DagsterInstance, workspace: WorkspaceProcessContext, sensor: str) -> None:
        self.instance = instance
        self._workspace = workspace
        locations = workspace.create_request_context().get_code_location_entries().values()
        (repository,) = next(iter(locations)).code_location.get_repositories().values()
        self._sensor = repository.get_sensor(sensor)
        instance.start_sensor(self._sensor)

    def look(self, crash_at: str | None = None) -> str:
        """One evaluation; returns what the tick said. `crash_at` names the daemon's own point of a planned crash."""
        state = self.instance.get_instigator_state(self._sensor.get_remote_origin_id(), self._sensor.selector_id)
        data = state.instigator_data
        assert isinstance(data, SensorInstigatorData)
        # As long ago as the sensor's interval asks for, without waiting for it.
        self.instance.update_instigator_state(state.with_data(data._replace(last_tick_timestamp=0.0, last_tick_start_timestamp=0.0)))
        crashes = {self._sensor.name: {crash_at: RuntimeError("the daemon crashed here")}} if crash_at else None
        list(execute_sensor_iteration(self._workspace, LOGGER, None, None, debug_crash_flags=crashes))
        tick = self.instance.get_ticks(self._sensor.get_remote_origin_id(), self._sensor.selector_id, limit=1)[0]
        if tick.status is TickStatus.FAILURE:
            assert crash_at, tick.error
        return tick.tick_data.skip_reason or f"{tick.status}: {len(tick.run_ids)} runs"

    def forget_cursor(self, cursor: str | None) -> None:
        """Put back an older cursor, as a crash between the requests and the cursor leaves it."""
        state = self.instance.get_instigator_state(self._sensor.get_remote_origin_id(), self._sensor.selector_id)
        self.instance.update_instigator_state(state.with_data(state.instigator_data._replace(cursor=cursor)))

    @property
    def cursor(self) -> str | None:
        state = self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)[0]
        return state.instigator_data.cursor

    @property
    def why(self) -> list[str]:
        """What each run was asked for, oldest first."""
        return [run.tags["switchyard/why"] for run in reversed(self.instance.get_runs())]

    @property
    def asked(self) -> list[tuple[str, list[str]]]:
        """Job and partition keys of each training run, oldest first."""
        runs = reversed(self.instance.get_runs())
        return [(run.job_name, next(iter(run.run_config["ops"].values()))["config"]["only"]) for run in runs]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "bars").mkdir()
    made = Settings(output_dir=str(tmp_path / "out"), overrides=["data.source=directory", f"data.path={tmp_path / 'bars'}", "resources.models_per_run=2"])
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def watched(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Watch]:
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="routing_assets.definitions"))
    with instance_for_test() as instance, WorkspaceProcessContext(instance, InProcessTestWorkspaceLoadTarget(origin)) as workspace:
        yield Watch(instance, workspace, request.param)


market = pytest.mark.parametrize("watched", ["new_market_data_sensor"], indirect=True)
plans = pytest.mark.parametrize("watched", ["training_plan_sensor"], indirect=True)


@market
def test_new_larger_corrected_and_vanished_files_each_ask_for_one_plan_that_says_so(watched: Watch, tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    write_bars(bars / "A.parquet", 50)
    write_bars(bars / "B.parquet", 50)
    assert "waiting until a second look" in watched.look()
    watched.look()
    write_bars(bars / "A.parquet", 90)
    watched.look()
    watched.look()
    frame = pd.read_parquet(bars / "B.parquet")
    size = (bars / "B.parquet").stat().st_size
    frame["volume"] = np.float64(2.0)
    frame.to_parquet(bars / "B.parquet")
    assert (bars / "B.parquet").stat().st_size == size
    watched.look()
    watched.look()
    (bars / "A.parquet").unlink()
    watched.look()
    watched.look()
    assert watched.look() == "1 files, nothing new"
    assert watched.why == ["2 new (A.parquet, B.parquet)", "1 larger (A.parquet)", "1 corrected (B.parquet)", "1 vanished (A.parquet)"]


@market
def test_a_growing_and_a_half_written_file_wait_until_they_are_whole(watched: Watch, tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    write_bars(tmp_path / "whole.parquet", 50)
    whole = (tmp_path / "whole.parquet").read_bytes()
    write_bars(bars / "A.parquet", 50)
    for share in (0.3, 0.6, 0.9):
        (bars / "B.parquet").write_bytes(whole[: int(len(whole) * share)])
        assert "waiting" in watched.look()
    watched.look()
    assert watched.why == ["1 new (A.parquet), 1 not whole yet (B.parquet)"]
    assert watched.look() == "2 files, nothing new; 1 not whole yet (B.parquet)"
    (bars / "B.parquet").write_bytes(whole)
    watched.look()
    watched.look()
    assert watched.why[1:] == ["1 new (B.parquet)"]


@market
def test_a_file_that_is_touched_or_copied_over_itself_asks_for_nothing(watched: Watch, tmp_path: Path) -> None:
    path = tmp_path / "bars" / "A.parquet"
    write_bars(path, 50)
    watched.look()
    watched.look()
    path.write_bytes(path.read_bytes())
    path.touch()
    said = [watched.look() for _ in range(3)]
    assert said[1:] == ["1 files, nothing new"] * 2
    assert len(watched.why) == 1


@market
def test_a_folder_that_is_gone_or_empty_or_no_folder_is_no_vanished_market(watched: Watch, tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    write_bars(bars / "A.parquet", 50)
    watched.look()
    watched.look()
    cursor = watched.cursor
    bars.rename(tmp_path / "aside")
    assert "cannot be listed" in watched.look()
    bars.mkdir()
    assert "cannot be listed" in watched.look()
    bars.rmdir()
    bars.write_text("no folder", encoding="utf-8")
    assert "cannot be listed" in watched.look()
    assert watched.cursor == cursor
    bars.unlink()
    (tmp_path / "aside").rename(bars)
    assert watched.look() == "1 files, nothing new"
    assert len(watched.why) == 1


@market
def test_five_hundred_files_at_once_are_one_plan(watched: Watch, tmp_path: Path) -> None:
    write_bars(tmp_path / "one.parquet", 30)
    for number in range(500):
        shutil.copy(tmp_path / "one.parquet", tmp_path / "bars" / f"S{number:03d}.parquet")
    for _ in range(4):
        watched.look()
    (why,) = watched.why
    assert why.startswith("500 new (S000.parquet, S001.parquet")


@market
@pytest.mark.parametrize("point", ["RUN_IDS_RESERVED", "RUN_LAUNCHED"])
def test_a_crash_of_the_daemon_on_its_way_neither_loses_nor_doubles_a_plan(watched: Watch, tmp_path: Path, point: str) -> None:
    write_bars(tmp_path / "bars" / "A.parquet", 50)
    watched.look()
    watched.look(crash_at=point)
    for _ in range(3):
        watched.look()
    assert watched.why == ["1 new (A.parquet)"]


@market
def test_a_cursor_lost_after_its_request_asks_for_the_same_run_and_not_another(watched: Watch, tmp_path: Path) -> None:
    write_bars(tmp_path / "bars" / "A.parquet", 50)
    watched.look()
    before = watched.cursor
    watched.look()
    watched.forget_cursor(before)
    watched.look()
    assert len(watched.why) == 1
    shutil.move(tmp_path / "bars" / "A.parquet", tmp_path / "bars" / "B.parquet")
    for _ in range(3):
        watched.look()
    shutil.move(tmp_path / "bars" / "B.parquet", tmp_path / "bars" / "A.parquet")
    for _ in range(3):
        watched.look()
    assert watched.why[1:] == ["1 new (B.parquet), 1 vanished (A.parquet)", "1 new (A.parquet), 1 vanished (B.parquet)"]


@plans
@pytest.mark.parametrize("point", ["RUN_IDS_RESERVED", "RUN_LAUNCHED"])
def test_a_crash_among_the_requests_of_a_plan_neither_loses_nor_doubles_a_job(watched: Watch, settings: Settings, point: str) -> None:
    write_training_plan(plan_of(*pairs("S000", "S001", "S002")), settings.plan_folder, ())
    watched.look(crash_at=point)
    for _ in range(3):
        watched.look()
    assert watched.asked == [("train_pairs_cpu", [key("S000"), key("S001")]), ("train_pairs_cpu", [key("S002")])]


@plans
def test_a_cursor_lost_after_some_requests_asks_for_the_rest_alone(watched: Watch, settings: Settings) -> None:
    write_training_plan(plan_of(*pairs("S000", "S001", "S002")), settings.plan_folder, ())
    watched.look()
    first, second = reversed(watched.instance.get_runs())
    watched.instance.delete_run(second.run_id)  # as if the crash came after the first request
    watched.forget_cursor(None)
    watched.look()
    assert watched.asked == [("train_pairs_cpu", [key("S000"), key("S001")]), ("train_pairs_cpu", [key("S002")])]
    assert first.run_id in {run.run_id for run in watched.instance.get_runs()}


@plans
def test_a_plan_that_comes_back_after_another_is_asked_for_again(watched: Watch, settings: Settings) -> None:
    one, other = plan_of(*pairs("S000")), plan_of(*pairs("S001"))
    for plan in (one, other, one):
        write_training_plan(plan, settings.plan_folder, ())
        watched.look()
        assert "nothing new to train" in watched.look()
    assert [keys for _, keys in watched.asked] == [[key("S000")], [key("S001")], [key("S000")]]


@plans
def test_a_plan_that_cannot_be_read_changes_neither_partitions_nor_cursor(watched: Watch, settings: Settings) -> None:
    write_training_plan(plan_of(*pairs("S000", "S001")), settings.plan_folder, ())
    watched.look()
    cursor = watched.cursor
    (settings.plan_folder / "master_training_plan.json").write_text("{", encoding="utf-8")
    assert "not a training plan" in watched.look()
    assert watched.instance.get_dynamic_partitions("target_symbol") == [key("S000"), key("S001")]
    assert watched.cursor == cursor


def both_stages(*symbols: str) -> list[TrainingJob]:
    """A job with a family at each stage, by symbol."""
    made = [symbol_job(PANEL, symbol, REGRESSION_TARGET, ("Ridge",)) for symbol in symbols]
    return [replace(job, stage_families={Stage.CPU: ("Ridge",), Stage.GPU: ("MLP",)}) for job in made]


CPU_RUNS = [("train_pairs_cpu", [key("S000"), key("S001")]), ("train_pairs_cpu", [key("S002")])]
GPU_RUNS = [("train_pairs_gpu", keys) for _, keys in CPU_RUNS]


@plans
@pytest.mark.parametrize("point", [None, "RUN_IDS_RESERVED", "RUN_LAUNCHED"])
def test_the_gpu_stage_is_asked_for_once_when_every_run_of_the_cpu_stage_has_ended(watched: Watch, settings: Settings, point: str | None) -> None:
    write_training_plan(plan_of(*both_stages("S000", "S001", "S002")), settings.plan_folder, ())
    watched.look(crash_at=point)
    watched.look()
    assert "GPU stage waits" in watched.look()
    assert watched.asked == CPU_RUNS
    one, other = watched.instance.get_runs()
    watched.instance.report_run_failed(one)
    assert "GPU stage waits" in watched.look()
    watched.instance.report_run_canceled(other)
    watched.look(crash_at=point)
    watched.look()
    assert "nothing new to train" in watched.look()
    assert watched.asked == [*CPU_RUNS, *GPU_RUNS]


@plans
def test_a_cursor_lost_after_the_gpu_stage_was_asked_for_asks_for_the_rest_alone(watched: Watch, settings: Settings) -> None:
    write_training_plan(plan_of(*both_stages("S000", "S001", "S002")), settings.plan_folder, ())
    watched.look()
    for run in watched.instance.get_runs():
        watched.instance.report_run_canceled(run)
    before = watched.cursor
    watched.look()
    watched.instance.delete_run(watched.instance.get_runs(limit=1)[0].run_id)
    watched.forget_cursor(before)
    watched.look()
    assert "nothing new to train" in watched.look()
    assert watched.asked == [*CPU_RUNS, *GPU_RUNS]


@plans
def test_a_new_plan_while_the_gpu_stage_waits_trains_each_stage_from_the_new_one_alone(watched: Watch, settings: Settings) -> None:
    first, second = both_stages("S000", "S001")
    write_training_plan(plan_of(first, second), settings.plan_folder, ())
    watched.look()
    write_training_plan(plan_of(first, replace(second, features=("f1",))), settings.plan_folder, ())
    watched.look()
    for run in watched.instance.get_runs():
        watched.instance.report_run_canceled(run)
    watched.look()
    assert "nothing new to train" in watched.look()
    assert watched.asked == [
        ("train_pairs_cpu", [key("S000"), key("S001")]),
        ("train_pairs_cpu", [key("S001")]),
        ("train_pairs_gpu", [key("S000"), key("S001")]),
    ]
