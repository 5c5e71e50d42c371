"""A backfill through the daemon of many small jobs, every third already done, against what the work costs bare.

    python -m tests.benchmarks.backfill 1000 [--storage postgresql+psycopg2://...]

Prints seconds and runs of the backfill; then, in the same run and on the same store, the same fits in a bare process pool, and as many bare
materialization events. The bound it is held against is pool + 1.3 x events + 90 s (the daemon's own ticks take about 60).
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import dagster as dg

from resources.artifact_store import write_value
from resources.instance import open_instance, run_job
from resources.process_limits import measured
from resources.settings import Settings
from routing_assets.definitions import make_definitions
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import SAFE_ROW, audit_of
from tests.dagster.served import backfill_ended, launch_backfill, served
from tests.dagster.test_partitions_and_sensors import plan_of
from tests.panels import REGRESSION_TARGET, make_panel, symbol_job
from training_assets.contracts import Stage
from training_assets.model_assets import AUDIT_PATH, PANEL_PATH
from training_assets.partitions import positions, publish_plan, range_tags
from training_assets.plan_reader import partition_key_of
from training_assets.trainer import train_jobs

DAEMON_SECONDS = 90.0
EVENT_FACTOR = 1.3


def write_jobs(settings: Settings, n_jobs: int) -> list[str]:
    """Panel, audit and a plan of one small job a symbol; returns their partition keys."""
    panel = make_panel(n_symbols=n_jobs, n_bars=300)
    write_value(settings.output / PANEL_PATH, panel)
    write_value(settings.output / AUDIT_PATH, audit_of(panel, SAFE_ROW))
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("Ridge",)) for symbol in panel.symbols]
    plan = plan_of(*jobs)
    write_training_plan(plan, settings.plan_folder, ())
    with open_instance(settings.output) as instance:
        publish_plan(instance, plan, panel.symbols)
    return [partition_key_of(job) for job in jobs]


def train_some(settings: Settings, keys: list[str]) -> None:
    """Train these keys as a run of the command would, so that they are done before the backfill."""
    definitions = make_definitions(settings, {"switchyard": dg.LoggerDefinition(lambda _: dg.get_dagster_logger("quiet"))})
    with open_instance(settings.output) as instance:
        tags = range_tags(keys, positions(instance.get_dynamic_partitions("target_symbol")))
        result = run_job(definitions, "train_pairs_cpu", instance, tags=tags, run_config={"ops": {"symbol_models": {"config": {"only": keys}}}})
    assert result.success


def bare_pool_seconds(settings: Settings, n_jobs: int, workers: int) -> float:
    """The same fits of the jobs that were left, in a process pool and nothing else."""
    panel = make_panel(n_symbols=n_jobs, n_bars=300)
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("Ridge",)) for number, symbol in enumerate(panel.symbols) if number % 3]
    elsewhere = Path(tempfile.mkdtemp(prefix="bare-pool-"))
    try:
        with measured() as watch:
            outcomes = list(train_jobs(jobs, settings.output / PANEL_PATH, settings.load(), elsewhere, Stage.CPU, workers=workers))
    finally:
        shutil.rmtree(elsewhere)
    assert all(outcome.models for outcome in outcomes)
    return watch.seconds


def bare_event_seconds(settings: Settings, n_jobs: int) -> float:
    """As many materialization events as the backfill wrote, yielded by one run that does nothing else."""

    @dg.op
    def write_events(context: dg.OpExecutionContext) -> None:
        for number in range(n_jobs):
            context.log_event(dg.AssetMaterialization("bare", partition=f"k{number}", metadata={"n_models": 1}))

    @dg.job(executor_def=dg.in_process_executor)
    def events() -> None:
        write_events()

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with open_instance(settings.output) as instance, measured() as watch:
        assert events.execute_in_process(instance=instance, run_config=quiet).success
    return watch.seconds


def run_backfill(settings: Settings, limit_seconds: float) -> tuple[float, int, str]:
    """Launch a backfill of every pair on a running site; seconds until it ended, runs it took, and its status."""
    with served(settings) as url:
        with measured() as watch:
            backfill_id = launch_backfill(url, "symbol_models", allPartitions=True)
            status = backfill_ended(url, backfill_id, limit_seconds)
        with open_instance(settings.output) as instance:
            n_runs = instance.get_runs_count(dg.RunsFilter(tags={"dagster/backfill": backfill_id}))
    return watch.seconds, n_runs, status


def measure(output: Path, n_jobs: int, workers: int, limit_seconds: float, per_run: int = 100) -> dict[str, float]:
    """Everything for one number of jobs, in seconds and counts."""
    settings = Settings(output_dir=str(output), overrides=[f"resources.workers={workers}", f"resources.models_per_run={per_run}"])
    keys = write_jobs(settings, n_jobs)
    train_some(settings, keys[::3])
    seconds, n_runs, status = run_backfill(settings, limit_seconds)
    with open_instance(settings.output) as instance:
        done = len(instance.get_materialized_partitions(dg.AssetKey("symbol_models")))
    assert (status, done) == ("COMPLETED_SUCCESS", n_jobs), (status, done)
    store = sum(path.stat().st_size for path in (output / ".dagster").rglob("*") if path.is_file())
    pool, events = bare_pool_seconds(settings, n_jobs, workers), bare_event_seconds(settings, n_jobs)
    bound = pool + EVENT_FACTOR * events + DAEMON_SECONDS
    return {"jobs": n_jobs, "runs": n_runs, "backfill": seconds, "bare pool": pool, "bare events": events, "bound": bound, "store": store}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n_jobs", type=int, nargs="+")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--per-run", type=int, default=100, help="resources.models_per_run")
    parser.add_argument("--limit-seconds", type=float, default=3600.0)
    parser.add_argument("--storage", help="address of a PostgreSQL database; default: SQLite")
    arguments = parser.parse_args()
    print(f"{'jobs':>6} {'runs':>5} {'backfill s':>11} {'bare pool s':>12} {'bare events s':>14} {'bound s':>8} {'store MB':>9}")
    for n_jobs in arguments.n_jobs:
        output = Path(tempfile.mkdtemp(prefix="backfill-"))
        if arguments.storage:
            (output / ".dagster").mkdir()
            storage = f"storage:\n  postgres:\n    postgres_url: {arguments.storage}\ntelemetry: {{enabled: false}}\n"
            (output / ".dagster" / "dagster.yaml").write_text(storage, encoding="utf-8")
        try:
            row = measure(output, n_jobs, arguments.workers, arguments.limit_seconds, arguments.per_run)
        finally:
            shutil.rmtree(output, ignore_errors=True)
        print(
            f"{row['jobs']:>6.0f} {row['runs']:>5.0f} {row['backfill']:>11.1f} {row['bare pool']:>12.1f} {row['bare events']:>14.1f} {row['bound']:>8.1f} "
            f"{row['store'] / 1e6:>9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
