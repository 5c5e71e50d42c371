"""What the pages of the UI ask of a site whose plan has many pairs, all of them trained: seconds a query, by the clock.

    python -m tests.benchmarks.ui 1000 10000 100000

The events are copies of one that a real run recorded, written into the store's tables in bulk (one by one they would take an hour); partitions, plan, webserver
and queries are real. Each figure is the median of five requests that follow one, whose own seconds stand behind it.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from sqlalchemy import func, select

from resources.instance import open_instance, run_job
from resources.process_limits import measured
from routing_assets.definitions import make_definitions
from tests.dagster.leaking_world import CLEAN, write_world
from tests.dagster.served import ask, served
from training_assets.partitions import TARGET_SYMBOL, publish_plan
from training_assets.plan_reader import read_master_plan

ASSET = "symbol_models"
ROUNDS = 5
ROWS_PER_STATEMENT = 2_000
KEY = {"path": [ASSET]}
QUERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "graph: counts of every asset": (
        """{assetNodes {assetKey {path} partitionStats {numPartitions numMaterialized numFailed numMaterializing}
           assetMaterializations(limit: 1) {timestamp runId}}}""",
        {},
    ),
    "asset page: state of every partition": (
        """query($k: AssetKeyInput!) {assetNodeOrError(assetKey: $k) {... on AssetNode {partitionKeysByDimension {name type partitionKeys}
           assetPartitionStatuses {... on DefaultPartitionStatuses
           {materializedPartitions failedPartitions unmaterializedPartitions materializingPartitions}}}}}""",
        {"k": KEY},
    ),
    "asset page: is it stale": ("query($k: AssetKeyInput!) {assetNodeOrError(assetKey: $k) {... on AssetNode {staleStatus staleCauses {reason}}}}", {"k": KEY}),
    "one partition: its last model": (
        """query($k: AssetKeyInput!, $p: [String!]) {assetOrError(assetKey: $k) {... on Asset {assetMaterializations(partitions: $p, limit: 1)
           {runId metadataEntries {label}}}}}""",
        {"k": KEY, "p": [CLEAN]},
    ),
    "plots: the last 100 materializations": (
        "query($k: AssetKeyInput!) {assetOrError(assetKey: $k) {... on Asset {assetMaterializations(limit: 100) {partition metadataEntries {label}}}}}",
        {"k": KEY},
    ),
    "runs: the last 25": ("{runsOrError(limit: 25) {... on Runs {results {runId status tags {key value}}}}}", {}),
}


def copy_events(instance: dg.DagsterInstance, partitions: Sequence[str]) -> None:
    """Record the one materialization of the model asset again for each of `partitions`, tags and all."""
    storage: Any = instance.event_log_storage
    events, tags = SqlEventLogStorageTable, AssetEventTagsTable
    asset = dg.AssetKey(ASSET).to_string()
    with storage.index_transaction() as connection:
        (row,) = connection.execute(
            select(events).where(events.c.asset_key == asset, events.c.partition == CLEAN, events.c.dagster_event_type == "ASSET_MATERIALIZATION")
        ).mappings()
        row_tags = [dict(tag) for tag in connection.execute(select(tags).where(tags.c.event_id == row["id"])).mappings()]
        first = int(connection.execute(select(func.max(events.c.id))).scalar_one()) + 1
        quoted = json.dumps(CLEAN)
        for start in range(0, len(partitions), ROWS_PER_STATEMENT):
            part = list(enumerate(partitions[start : start + ROWS_PER_STATEMENT], first + start))
            copies = [{**row, "id": number, "partition": name, "event": row["event"].replace(quoted, json.dumps(name))} for number, name in part]
            connection.execute(events.insert(), copies)
            connection.execute(
                tags.insert(), [{**{name: tag[name] for name in tag if name != "id"}, "event_id": number} for number, _ in part for tag in row_tags]
            )


def measure(output: Path, n_partitions: int) -> list[tuple[str, float, float]]:
    """Query, seconds of the first request, and the median of the others; every answer is looked at for its partitions."""
    settings = write_world(str(output), leaks=False)
    definitions = make_definitions(settings, {"switchyard": dg.LoggerDefinition(lambda _: dg.get_dagster_logger("quiet"))})
    names = [f"{CLEAN.split('|')[0]}|N{number:06d}" for number in range(n_partitions - 2)]
    with open_instance(settings.output) as instance:
        publish_plan(instance, read_master_plan(settings.plan_folder), ["S000", "S001"])
        run_job(definitions, "train_pairs_cpu", instance, tags={"dagster/partition": CLEAN})
        for start in range(0, len(names), 10_000):
            instance.add_dynamic_partitions(str(TARGET_SYMBOL.name), names[start : start + 10_000])
        copy_events(instance, names)
    with served(settings) as url:
        return [(title, *_seconds(url, title, n_partitions)) for title in QUERIES]


def _seconds(url: str, title: str, n_partitions: int) -> tuple[float, float]:
    query, variables = QUERIES[title]
    taken = []
    for _ in range(1 + ROUNDS):
        with measured() as watch:
            answer = ask(url, query, **variables)
        taken.append(watch.seconds)
    if "assetNodes" in answer:
        counts = {node["assetKey"]["path"][0]: node["partitionStats"] for node in answer["assetNodes"]}
        assert counts[ASSET]["numPartitions"] == n_partitions, counts[ASSET]
        assert counts[ASSET]["numMaterialized"] == n_partitions - 1, counts[ASSET]
    elif "assetPartitionStatuses" in query:
        assert len(answer["assetNodeOrError"]["assetPartitionStatuses"]["materializedPartitions"]) == n_partitions - 1
    return taken[0], median(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n_partitions", type=int, nargs="+")
    table: dict[str, list[str]] = {title: [] for title in QUERIES}
    sizes = parser.parse_args().n_partitions
    for n_partitions in sizes:
        output = Path(tempfile.mkdtemp(prefix="ui-"))
        try:
            for title, first, later in measure(output, n_partitions):
                table[title].append(f"{later:.3f} ({first:.3f})")
        finally:
            shutil.rmtree(output, ignore_errors=True)
    print(f"{'seconds a query (the first)':<40}" + "".join(f"{f'{size:,} partitions':>22}" for size in sizes))
    for title, figures in table.items():
        print(f"{title:<40}" + "".join(f"{figure:>22}" for figure in figures))


if __name__ == "__main__":
    main()
