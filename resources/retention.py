"""Which finished runs the instance can forget, and forgetting them.

Belongs here: runs, their events and logs. Does not: models (`training_assets.retirement`), or ticks, which the instance itself retires (`dagster.yaml`).
"""

from datetime import datetime

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

_FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_BATCH = 1_000


def forgettable_runs(instance: dg.DagsterInstance, before: datetime) -> tuple[str, ...]:
    """Ids of finished runs created before a time (with time zone) that hold no asset's or partition's newest materialization, oldest first.

    Those that do are kept however old they are: without that event an asset would look as if it had never been made.
    """
    old = [run.run_id for run in instance.get_runs(RunsFilter(statuses=_FINISHED, created_before=before))]
    if not old:
        return ()
    newest = runs_of_newest_events(instance)
    return tuple(run_id for run_id in reversed(old) if run_id not in newest)


def runs_of_newest_events(instance: dg.DagsterInstance) -> frozenset[str]:
    """Ids of the runs that hold the newest materialization of an asset, or of one of its partitions."""
    runs = set()
    for key in instance.all_asset_keys():
        by_partition = instance.event_log_storage.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION)
        ids = sorted(by_partition.values())
        for start in range(0, len(ids), _BATCH):
            part = ids[start : start + _BATCH]
            records = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key, storage_ids=part), limit=len(part)).records
            runs |= {record.run_id for record in records}
        newest = instance.get_latest_materialization_event(key)
        if newest is not None:
            runs.add(newest.run_id)
    return frozenset(runs)


def forget_runs(instance: dg.DagsterInstance, run_ids: tuple[str, ...]) -> None:
    """Delete runs with their events and what their steps printed."""
    for run_id in run_ids:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        instance.delete_run(run_id)
