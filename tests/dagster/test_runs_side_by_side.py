"""Runs on one output folder at the same time, as the UI and the daemon start them: which go on beside each other, and which wait for which."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import GPU_POOL, RunResult, open_instance, run_job, run_logger
from resources.output_lock import output_locked, output_shared, pen_held
from resources.settings import Settings
from routing_assets.definitions import make_definitions
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import CLEAN, LEAKING, write_world
from tests.dagster.test_partitions_and_sensors import PANEL, plan_of
from tests.panels import REGRESSION_TARGET, symbol_job
from training_assets.partitions import publish_plan
from training_assets.plan_reader import read_master_plan

HOLDER = """
import sys
from pathlib import Path
from resources.output_lock import jobs_held
with jobs_held(Path(sys.argv[1]), [sys.argv[2]]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two pairs planned, each with a family of either stage."""
    made = write_world(str(tmp_path / "out"), leaks=False)
    made = made.changed(overrides=[*made.overrides, "training.hyperparameters={MLP: {epochs: 1, hidden: 8}}"])
    stages = {"cpu": ("Ridge",), "gpu": ("MLP",)}
    plan = plan_of(*(replace(symbol_job(PANEL, symbol, REGRESSION_TARGET, ()), stage_families=stages) for symbol in ("S000", "S001")))
    write_training_plan(plan, made.plan_folder, ())
    with open_instance(made.output) as instance:
        publish_plan(instance, read_master_plan(made.plan_folder), PANEL.symbols)
    return made


def run(settings: Settings, job_name: str, pair: str | None = None) -> RunResult:
    """A run that holds the folder by itself, as one that the UI started does."""
    definitions = make_definitions(settings, {"switchyard": run_logger(settings.output / "log", lambda *_: None)})
    with open_instance(settings.output) as instance:
        return run_job(definitions, job_name, instance, tags={"dagster/partition": pair} if pair else None)


@contextmanager
def job_in_other_hands(output: Path, name: str) -> Iterator[None]:
    """Another process keeps a job, so that whoever trains it waits in the middle of its run."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, output, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate()


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "never came about"
        time.sleep(0.1)


def events_of(output: Path) -> set[str]:
    """Steps that were begun, as `STEP_START step`, and everything said."""
    with open_instance(output) as instance:
        logs = [entry for found in instance.get_runs() for entry in instance.all_logs(found.run_id)]
    begun = {f"STEP_START {entry.step_key}" for entry in logs if entry.dagster_event_type is dg.DagsterEventType.STEP_START}
    return begun | {entry.user_message for entry in logs}


def test_two_training_runs_go_on_at_the_same_time(settings: Settings) -> None:
    job_id = symbol_job(PANEL, "S000", REGRESSION_TARGET, ()).job_id
    with ThreadPoolExecutor(2) as threads:
        with job_in_other_hands(settings.output, f"{job_id} plain Ridge"):
            first = threads.submit(run, settings, "train_pairs_cpu", CLEAN)
            wait_until(lambda: "STEP_START symbol_models" in events_of(settings.output))
            assert threads.submit(run, settings, "train_pairs_cpu", LEAKING).result(timeout=60).success
            assert not first.done()
        assert first.result(timeout=60).success


def test_a_training_run_goes_on_beside_a_run_that_plans(settings: Settings) -> None:
    with ThreadPoolExecutor(1) as threads, output_shared(settings.output, print), pen_held(settings.output, print):
        assert threads.submit(run, settings, "train_pairs_cpu", CLEAN).result(timeout=60).success


def test_of_two_runs_that_write_tables_the_second_begins_when_the_first_has_ended(settings: Settings) -> None:
    with ThreadPoolExecutor(1) as threads:
        with output_shared(settings.output, print), pen_held(settings.output, print):
            second = threads.submit(run, settings, "report_models")
            wait_until(lambda: any("waiting for another run, which writes the tables" in said for said in events_of(settings.output)))
            assert "STEP_START model_leaderboard" not in events_of(settings.output)
        assert second.result(timeout=60).success


def test_a_run_of_the_gpu_stage_that_waits_for_the_folder_holds_no_place_in_the_pool(settings: Settings) -> None:
    with ThreadPoolExecutor(1) as threads:
        with output_locked(settings.output, "train"):
            training = threads.submit(run, settings, "train_pairs_gpu", CLEAN)
            wait_until(lambda: any("waiting for `switchyard train`" in said for said in events_of(settings.output)))
            with open_instance(settings.output) as instance:
                pool = instance.event_log_storage.get_concurrency_info(GPU_POOL)
            assert (pool.active_slot_count, pool.pending_step_count) == (0, 0)
        assert training.result(timeout=120).success
