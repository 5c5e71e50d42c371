"""A backfill of many small jobs of which some are done: few runs, every job recorded, none trained twice, and a failure is its own job's alone."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources.artifact_store import write_value
from resources.settings import Settings
from routing_assets.plans.training_plan_files import write_training_plan
from tests.dagster.leaking_world import SAFE_ROW, audit_of
from tests.dagster.site import Site, site_over
from tests.dagster.test_partitions_and_sensors import plan_of
from tests.panels import REGRESSION_TARGET, make_panel, symbol_job
from training_assets.model_assets import AUDIT_PATH, PANEL_PATH
from training_assets.partitions import positions, publish_plan, range_tags
from training_assets.plan_reader import read_master_plan

N_JOBS, PER_RUN = 45, 20
KEYS = [f"{REGRESSION_TARGET}|S{number:03d}" for number in range(N_JOBS)]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    settings = Settings(output_dir=str(tmp_path), overrides=["resources.workers=1", f"resources.models_per_run={PER_RUN}"])
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    panel = make_panel(n_symbols=N_JOBS, n_bars=300)
    write_value(settings.output / PANEL_PATH, panel)
    write_value(settings.output / AUDIT_PATH, audit_of(panel, SAFE_ROW))
    jobs = [symbol_job(panel, symbol, REGRESSION_TARGET, ("NoSuchFamily",) if symbol == "S007" else ("Ridge",)) for symbol in panel.symbols]
    write_training_plan(plan_of(*jobs), settings.plan_folder, ())
    with site_over(settings) as made:
        publish_plan(made.instance, read_master_plan(settings.plan_folder), panel.symbols)
        yield made


def events(site: Site) -> dict[str, list[bool]]:
    """For each pair whether each of its events was of a cached model, oldest first."""
    found: dict[str, list[bool]] = {}
    records = site.instance.fetch_materializations(dg.AssetKey("symbol_models"), limit=1000).records
    for record in reversed(records):
        found.setdefault(str(record.partition_key), []).append(bool(record.asset_materialization.metadata["cached"].value))
    return found


def test_a_backfill_with_holes_takes_few_runs_and_trains_only_what_is_left(site: Site) -> None:
    done = KEYS[::3]
    only = {"ops": {"symbol_models": {"config": {"only": done}}}}
    site.launch(site.select("train_pairs_cpu"), range_tags(done, positions(KEYS)), only)
    assert set(events(site)) == set(done)
    site.backfill()
    backfilled = [run for run in site.instance.get_runs() if "dagster/backfill" in run.tags]
    assert len(backfilled) == 3  # 45 jobs by 20
    told = events(site)
    assert set(told) == set(KEYS) - {KEYS[7]}
    assert all(cached == ([False, True] if key in done else [False]) for key, cached in told.items())
    assert Counter(run.status for run in backfilled) == {dg.DagsterRunStatus.SUCCESS: 2, dg.DagsterRunStatus.FAILURE: 1}
    assert f"{KEYS[7]}: {REGRESSION_TARGET}/S007 NoSuchFamily not trained" in site.said()


def test_a_backfill_again_trains_nothing_twice(site: Site) -> None:
    site.backfill(*KEYS[20:40])
    cards = {path: path.stat().st_mtime_ns for path in site.settings.models_root.rglob("model_card.json")}
    site.backfill(*KEYS[20:40])
    assert len(cards) == 20
    assert {path: path.stat().st_mtime_ns for path in cards} == cards
    assert all(cached == [False, True] for cached in events(site).values())
