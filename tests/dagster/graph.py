"""The asset graph as text that a person can review."""

from dagster import AssetKey, Definitions


def describe_graph(definitions: Definitions) -> str:
    """Every asset with its group, kinds, partitions, pool and dependencies; then checks, jobs and sensors."""
    graph = definitions.resolve_asset_graph()
    lines = []
    for key in sorted(graph.get_all_asset_keys(), key=AssetKey.to_user_string):
        node = graph.get(key)
        partitions = getattr(node.partitions_def, "name", None) or "none"
        made = "made" if node.is_materializable else "recorded"
        pools = ", ".join(sorted(node.pools)) if node.is_materializable and node.pools else "none"
        lines.append(f"{key.to_user_string()}: {made}, group {node.group_name}, kinds {' '.join(sorted(node.kinds))}, partitions {partitions}, pool {pools}")
        lines += [f"    after {parent.to_user_string()}" for parent in sorted(node.parent_keys, key=AssetKey.to_user_string)]
    lines.append("")
    for check in sorted(graph.asset_check_keys, key=lambda key: key.to_user_string()):
        blocking = graph.get(check).blocking
        lines.append(f"check {check.to_user_string()}: {'blocking' if blocking else 'shown only'}")
    lines += [f"job {job.name}" for job in sorted(definitions.jobs or (), key=lambda job: job.name)]
    lines += [f"sensor {sensor.name}" for sensor in sorted(definitions.sensors or (), key=lambda sensor: sensor.name)]
    return "\n".join(lines) + "\n"
