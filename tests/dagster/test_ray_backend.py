"""The CPU stage on a real Ray cluster on this machine: the same models as on processes, and a worker that is killed costs a retry and not a result."""

import contextlib
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dagster as dg
import psutil
import pytest
import ray

from config.load import load_config
from resources.artifact_store import write_value
from resources.instance import run_job
from resources.ray_pool import run_tasks_on_ray
from resources.settings import Settings
from resources.worker_pool import WorkerError
from routing_assets.definitions import make_definitions
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import SAFE_ROW, audit_of
from tests.panels import REGRESSION_TARGET, make_panel, plan_of, symbol_job
from tests.tiny_families import die_on_the_first_fit, tiny
from tests.unit.resources.test_worker_pool import prepare, prepare_badly, prepare_dying, task, threads
from training_assets.contracts import Stage
from training_assets.model_assets import AUDIT_PATH, PANEL_PATH
from training_assets.partitions import positions, publish_plan, range_tags
from training_assets.plan_reader import read_master_plan
from training_assets.trainer import train_jobs


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", object_store_memory=80_000_000)
    yield
    ray.shutdown()


def test_every_item_comes_back_once_and_errors_name_their_own_item(cluster: None) -> None:
    results = list(run_tasks_on_ray(prepare, (100,), task, [1, 2, 13, 3], 2, 60.0))
    assert sorted(result.value for result in results if result.value is not None) == [101, 102, 103]
    (failed,) = [result for result in results if result.value is None]
    assert (failed.item, failed.crashed, failed.error) == (13, False, "ValueError: unlucky")


def test_a_crash_and_an_overrun_cost_only_the_items_that_caused_them(cluster: None) -> None:
    started = time.monotonic()
    results = {result.item: result for result in run_tasks_on_ray(prepare, (0,), task, [99, 66, 1, 2, 3], 2, 4.0)}
    assert {item for item, result in results.items() if result.value is not None} == {1, 2, 3}
    assert {item for item, result in results.items() if result.crashed} == {66, 99}
    assert results[99].error == "stopped after 4 seconds"
    assert time.monotonic() - started < 50


def test_workers_that_cannot_be_prepared_or_die_are_an_error_that_says_so(cluster: None) -> None:
    with pytest.raises(WorkerError, match="ValueError: no good base 7"):
        list(run_tasks_on_ray(prepare_badly, (7,), task, [1], 1, 30.0))
    with pytest.raises(WorkerError, match="3 workers in a row died"):
        list(run_tasks_on_ray(prepare_dying, (7,), task, [1], 1, 30.0))


def test_a_worker_has_one_thread_and_no_items_start_no_worker(cluster: None) -> None:
    assert [result.value for result in run_tasks_on_ray(prepare, (0,), threads, [1], 1, 30.0)] == ["1"]
    assert list(run_tasks_on_ray(prepare_badly, (0,), threads, [], 1, 30.0)) == []


def test_models_trained_on_ray_are_those_trained_here(cluster: None, tmp_path: Path) -> None:
    panel = make_panel(n_symbols=3, n_bars=300)
    write_value(tmp_path / "panel", panel)
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("Ridge",)) for symbol in panel.symbols]
    found = {}
    for backend in ("local", "ray"):
        config = load_config(None, [f"resources.backend={backend}"], {})
        outcomes = list(train_jobs(jobs, tmp_path / "panel", config, tmp_path / backend, Stage.CPU, workers=2))
        assert all(outcome.models and not outcome.failures for outcome in outcomes)
        found[backend] = {
            path.relative_to(tmp_path / backend): path.read_bytes()
            for path in (tmp_path / backend).rglob("*")
            if path.is_file() and path.name != "model_card.json"
        }
    assert found["local"] == found["ray"]
    assert len(found["ray"]) >= 6


def test_a_worker_killed_in_the_middle_of_a_fit_costs_a_retry_and_not_a_model(cluster: None, tmp_path: Path) -> None:
    panel = make_panel(n_symbols=3, n_bars=300)
    write_value(tmp_path / "panel", panel)
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("DiesOnce",)) for symbol in panel.symbols]
    families = {"DiesOnce": tiny("DiesOnce", partial(die_on_the_first_fit, tmp_path))}
    config = load_config(None, ["resources.backend=ray"], {})
    outcomes = list(train_jobs(jobs, tmp_path / "panel", config, tmp_path / "out", Stage.CPU, workers=2, families=families))
    assert (tmp_path / "died").exists()
    assert {outcome.job_id for outcome in outcomes} == {job.job_id for job in jobs}
    assert all(outcome.models and not outcome.failures for outcome in outcomes)


class Killer(threading.Thread):
    """Kills the first Ray worker on this machine that is at work on a job of ours, and no other."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.killed: int | None = None
        self.over = threading.Event()

    def run(self) -> None:
        while self.killed is None and not self.over.is_set():
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if " ".join(process.cmdline()).startswith("ray::RayWorker.perform"):
                        process.kill()
                        self.killed = process.pid
                        return
            time.sleep(0.005)


def test_a_worker_killed_in_the_middle_of_a_backfills_run_costs_a_retry_and_not_a_result(cluster: None, tmp_path: Path) -> None:
    settings = Settings(output_dir=str(tmp_path), overrides=["resources.backend=ray", "resources.workers=2"])
    panel = make_panel(n_symbols=8, n_bars=300)
    write_value(tmp_path / PANEL_PATH, panel)
    write_value(tmp_path / AUDIT_PATH, audit_of(panel, SAFE_ROW))
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("LightGBM", "Ridge")) for symbol in panel.symbols]
    write_training_plan(plan_of(panel, *jobs), settings.plan_folder, ())
    definitions = make_definitions(settings, {"switchyard": dg.LoggerDefinition(lambda _: dg.get_dagster_logger("quiet"))})
    with dg.DagsterInstance.ephemeral() as instance:
        publish_plan(instance, read_master_plan(settings.plan_folder), panel.symbols)
        keys = instance.get_dynamic_partitions("target_symbol")
        killer = Killer()
        killer.start()
        result = run_job(definitions, "train_pairs_cpu", instance, tags=range_tags(keys, positions(keys)))
        killer.over.set()
        killer.join(timeout=30)
        assert killer.killed is not None
        assert result.success, result.problems
        assert set(instance.get_materialized_partitions(dg.AssetKey("symbol_models"))) == set(keys)
    assert len(list(settings.models_root.rglob("model_card.json"))) == 16
