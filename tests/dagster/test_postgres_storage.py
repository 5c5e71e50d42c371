"""The documented `dagster.yaml` for PostgreSQL, on a real server: a plan's partitions, events and runs live there, and nothing of ours knows."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from resources.instance import instance_home, keep_connections, open_instance, run_job
from resources.output_lock import OutputError
from resources.settings import Settings
from routing_assets.definitions import make_definitions
from tests.dagster.leaking_world import CLEAN, FINDING, LEAKING, trained_symbols, write_audit, write_world
from tests.dagster.postgres import Server, postgres_server
from tests.dagster.served import ROOT
from tests.dagster.test_partitions_and_sensors import PANEL
from training_assets.partitions import RANGE_END_TAG, RANGE_START_TAG, publish_plan, trained_versions
from training_assets.plan_reader import read_master_plan

BOTH = {RANGE_START_TAG: CLEAN, RANGE_END_TAG: LEAKING}


def documented_settings() -> str:
    """The block of docs/deploy.md that names PostgreSQL."""
    blocks = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    (block,) = [text.partition("```")[0] for text in blocks if "postgres_url" in text]
    return block


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DAGSTER_PG_URL", server.new_database(tmp_path.name))
    home = instance_home(tmp_path)
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(documented_settings(), encoding="utf-8")
    return write_world(str(tmp_path), leaks=False)


def test_a_plan_trains_and_its_events_are_in_the_database(world: Settings) -> None:
    definitions = make_definitions(world, {"switchyard": dg.LoggerDefinition(lambda _: dg.get_dagster_logger("quiet"))})
    with open_instance(world.output) as instance:
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        publish_plan(instance, read_master_plan(world.plan_folder), PANEL.symbols)
        trained = run_job(definitions, "train_pairs_cpu", instance, tags=BOTH)
        assert trained.success, trained.problems
        assert trained_versions(instance, "symbol_models", "pair_plan", [CLEAN, LEAKING]).keys() == {CLEAN, LEAKING}
        write_audit(world, leaks=True)
        refused = run_job(definitions, "train_pairs_cpu", instance, tags=BOTH)
        assert FINDING in refused.problems[0].message
    with open_instance(world.output) as later:
        assert {run.run_id for run in later.get_runs()} == {trained.run_id, refused.run_id}
        assert later.get_dynamic_partitions("target_symbol") == [CLEAN, LEAKING]
        assert [pool.name for pool in later.event_log_storage.get_pool_limits()] == ["gpu"]
    assert trained_symbols(world) == {"S000", "S001"}
    assert not list(instance_home(world.output).rglob("*.db"))


def test_a_second_tree_on_the_database_is_refused_though_its_settings_lie_in_the_tree(world: Settings, tmp_path: Path) -> None:
    with open_instance(world.output):
        pass
    home = instance_home(tmp_path / "second")
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(documented_settings(), encoding="utf-8")
    with pytest.raises(OutputError, match="on PostgreSQL a database"), open_instance(tmp_path / "second"):
        pass


def connections_of_twenty_events(settings: Settings, keep: bool) -> int:
    """How often a run that writes twenty events connects for them."""
    opened: list[int] = []

    def note(*_: object) -> None:
        opened.append(1)

    @dg.op
    def write(context: dg.OpExecutionContext) -> None:
        if keep:
            keep_connections(context.instance)
        event.listen(Pool, "connect", note)
        for number in range(20):
            context.log_event(dg.AssetMaterialization("written", partition=str(number)))
        event.remove(Pool, "connect", note)

    @dg.job(executor_def=dg.in_process_executor)
    def events() -> None:
        write()

    with open_instance(settings.output) as instance:
        assert events.execute_in_process(instance=instance).success
        assert set(instance.get_materialized_partitions(dg.AssetKey("written"))) == {str(number) for number in range(20)}
    return len(opened)


def test_a_run_that_keeps_its_connections_opens_few_for_many_events(world: Settings) -> None:
    assert connections_of_twenty_events(world, keep=True) <= 4
    assert connections_of_twenty_events(world, keep=False) >= 20
