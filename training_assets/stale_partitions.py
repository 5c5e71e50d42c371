"""When a model's partition is out of date: what its events say it was made from, and when declarative automation asks for it again.

Belongs here: provenance tags, and the condition. Does not: keys (`partition_keys`), or the sensor that asks in the condition's place (`sensors`).
"""

from collections.abc import Mapping

import dagster as dg

from training_assets.partitions import DATA_VERSION_TAG
from training_assets.plan_reader import PlanSlice


def provenance_tags(item: PlanSlice, slices_of: str, version: str, read: Mapping[str, str], code_version: str | None) -> dict[str, str]:
    """Provenance that Dagster writes itself for other assets, so that staleness is true for these too."""
    return {
        **read,
        "dagster/data_version": version or item.version,
        "dagster/data_version_is_user_provided": "true",
        **({} if code_version is None else {"dagster/code_version": code_version}),
        f"dagster/input_data_version/{slices_of}": item.version,
    }


def versions_read(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Tags that say which version and event of each dependency this run reads; of one that was never materialized here, none.

    Of a partitioned dependency the pointer alone counts: Dagster looks for events of the partition after it.
    """
    tags = {}
    for dependency in sorted(dep.asset_key.to_user_string() for spec in context.assets_def.specs for dep in spec.deps):
        records = context.instance.fetch_materializations(dg.AssetKey(dependency), limit=1).records
        written = records[0].asset_materialization if records else None
        if written is not None:
            tags[f"dagster/input_event_pointer/{dependency}"] = str(records[0].storage_id)
            tags[f"dagster/input_data_version/{dependency}"] = (written.tags or {}).get(DATA_VERSION_TAG, "")
    return tags


def changed_slice_condition() -> dg.AutomationCondition[dg.AssetKey]:
    """When declarative automation asks for a model: its slice is new or of another version, and no blocking check of slice or plan stands against it.

    A check of slices runs beside models, so one that never ran must not hold them back: the lock inside the asset refuses what leaks all the same.
    A slice's version holds the data and the features that survived the audit; what else a model depends on would only ask for it twice. A plan
    without nets never fills their asset, which must not hold blends back; blends of nets are asked for by the sensor, once the net is there.
    """
    conditions = dg.AutomationCondition
    changed = conditions.newly_missing() | conditions.any_deps_updated().replace("newly_updated", conditions.data_version_changed())
    # A change counts until a request that came after it. `eager` takes it for handled by any request or event of the partition, so that what changes
    # between a request and the next look, or while a run of the version before is under way, would be lost.
    asked = conditions.newly_requested() & ~changed
    pending = changed.since(asked | conditions.initial_evaluation())
    ready = pending & ~conditions.any_deps_missing() & ~conditions.any_deps_in_progress() & ~conditions.in_progress()
    slice_failed = conditions.any_deps_match(conditions.any_checks_match(conditions.check_failed(), blocking_only=True))
    plan_passed = conditions.asset_matches("training_plan", conditions.all_checks_match(conditions.check_passed(), blocking_only=True))
    return (ready & ~slice_failed).ignore(dg.AssetSelection.assets("panel", "leakage_audit", "cross_sectional_sequence_models")) & plan_passed
