"""The dynamic partition sets, and keeping them in step with a plan.

Belongs here: the sets, and adding and deleting their keys on an instance. Does not: how a key is spelled or what changes (`partition_keys`).
Only what the plan trains is a partition, so that "missing" in the UI means "planned and not trained".
"""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from training_assets.contracts import TrainingPlan, TrainingType
from training_assets.partition_keys import PartitionChanges, name_key, partition_changes
from training_assets.plan_reader import PlanSlice, partition_key_of, plan_slices

SYMBOLS = dg.DynamicPartitionsDefinition(name="symbols")
TARGETS = dg.DynamicPartitionsDefinition(name="targets")
TARGET_SYMBOL = dg.DynamicPartitionsDefinition(name="target_symbol")
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
PARTITION_TAG = "dagster/partition"
DATA_VERSION_TAG = "dagster/data_version"
# Keys that one statement adds: Dagster names each in it, and SQLite takes 32,766 at most where it was built with its defaults.
KEYS_PER_STATEMENT = 10_000
SLICE_ASSETS = {"target_plan": TrainingType.CROSS_SECTIONAL, "pair_plan": TrainingType.SYMBOL_SPECIFIC}
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def wanted_keys(plan: TrainingPlan, symbols: Sequence[str] | None) -> dict[str, tuple[str, ...] | None]:
    """The keys of every set: the panel's symbols (None where they are not known), the plan's pooled targets and its pairs, each in order."""
    keys = {kind: tuple(partition_key_of(job) for job in plan.jobs if job.training_type is kind) for kind in TrainingType}
    return {
        "symbols": None if symbols is None else tuple(name_key(symbol) for symbol in symbols),
        "targets": keys[TrainingType.CROSS_SECTIONAL],
        "target_symbol": keys[TrainingType.SYMBOL_SPECIFIC],
    }


def sync_partitions(instance: DagsterInstance, wanted: Mapping[str, Sequence[str] | None]) -> dict[str, PartitionChanges]:
    """Add and delete the keys of each set so that it holds what is wanted; deletions wait while a run uses the key.

    A set whose wanted keys are None (they could not be read) is left as it is.
    """
    changes = {}
    present = {name: instance.get_dynamic_partitions(name) for name in wanted}
    runs = instance.get_runs(RunsFilter(statuses=UNFINISHED))
    for name, keys in wanted.items():
        changes[name] = partition_changes(keys, present[name], keys_in_flight(runs, present[name]))
        added = list(changes[name].add)
        for start in range(0, len(added), KEYS_PER_STATEMENT):
            instance.add_dynamic_partitions(name, added[start : start + KEYS_PER_STATEMENT])
        for key in changes[name].delete:
            instance.delete_dynamic_partition(name, key)
    return changes


def publish_plan(instance: DagsterInstance, plan: TrainingPlan, symbols: Sequence[str] | None) -> dict[str, PartitionChanges]:
    """Bring the partitions in step with a plan, and record the slices that are new or changed as events of `target_plan` and `pair_plan`.

    Only those: what a slice's models stand on is then newer than the models exactly where something changed.
    """
    changes = sync_partitions(instance, wanted_keys(plan, symbols))
    for asset, kind in SLICE_ASSETS.items():
        slices = plan_slices(plan, kind)
        recorded = _recorded_versions(instance, dg.AssetKey(asset))
        for key, item in slices.items():
            if recorded.get(key) == item.version:
                continue
            if key in recorded:  # what made models of it stale; of an asset that no run of ours makes, Dagster looks at observations for that
                instance.report_runless_asset_event(dg.AssetObservation(asset, partition=key, tags=_version_tags(item)))
            instance.report_runless_asset_event(_slice_event(asset, item))
    return changes


def positions(existing: Sequence[str]) -> dict[str, int]:
    """The place of each key in its set."""
    return {key: place for place, key in enumerate(existing)}


def range_tags(keys: Sequence[str], position: Mapping[str, int]) -> dict[str, str]:
    """Run tags for the smallest contiguous range of a set (its `positions`) that holds all of `keys`. Raises KeyError for an unknown key."""
    ordered = sorted(keys, key=lambda key: position[key])
    return {RANGE_START_TAG: ordered[0], RANGE_END_TAG: ordered[-1]}


def _slice_event(asset: str, item: PlanSlice) -> dg.AssetMaterialization:
    job = item.job
    metadata: dict[str, str | int] = {
        "route": str(job.route),
        "families": ", ".join(job.model_families),
        "n_features": len(job.features),
        "reason": job.reason,
        "job_id": job.job_id,
    }
    return dg.AssetMaterialization(asset, partition=item.key, metadata=metadata, tags=_version_tags(item))


def _version_tags(item: PlanSlice) -> dict[str, str]:
    return {DATA_VERSION_TAG: item.version, f"{DATA_VERSION_TAG}_is_user_provided": "true"}


def trained_versions(instance: DagsterInstance, asset: str, slices: str, keys: Sequence[str]) -> dict[str, str]:
    """The version of the plan's slice that each of these partitions of a model asset was last trained from; keys never trained are absent."""
    tag = f"dagster/input_data_version/{slices}"
    versions = {}
    for key in keys:
        records = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[key]), limit=1).records
        event = records[0].asset_materialization if records else None
        if event is not None and event.tags and tag in event.tags:
            versions[key] = event.tags[tag]
    return versions


def _recorded_versions(instance: DagsterInstance, asset: dg.AssetKey) -> Mapping[str, str]:
    """The data version last recorded for each key; keys that never were are absent."""
    found = instance.event_log_storage.get_latest_tags_by_partition(asset, DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG])
    return {key: tags.get(DATA_VERSION_TAG, "") for key, tags in found.items()}


def keys_in_flight(runs: Iterable[DagsterRun], existing: Sequence[str]) -> set[str]:
    """The keys of a set that these runs hold, each alone or in a range; a stretch that many ranges cover is walked once."""
    position = positions(existing)
    busy: set[str] = set()
    stretches = []
    for run in runs:
        if (single := run.tags.get(PARTITION_TAG)) in position:
            busy.add(str(single))
        first, last = position.get(run.tags.get(RANGE_START_TAG, "")), position.get(run.tags.get(RANGE_END_TAG, ""))
        if first is not None and last is not None:
            stretches.append((first, last))
    walked = 0
    for first, last in sorted(stretches):
        busy.update(existing[max(first, walked) : last + 1])
        walked = max(walked, last + 1)
    return busy
