"""What differs: one set of candidates under two settings (`what_if`), or two training plans (`diff`).

Belongs here: comparing. Does not: routing, or reading plans.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from config.sections.routing import RoutingConfig
from routing_assets.contracts import ROUTES, Candidates, RoutingPlan
from routing_assets.decisions.policy import decisions_table, route_candidates
from routing_assets.decisions.routing_plan import pair_reasons
from routing_assets.plans.training_plan import job_document
from training_assets.contracts import TrainingPlan

# What a plan stands on, in the order in which one thing makes the next differ, and what its metadata calls it.
CAUSES = (("data", "data_hash"), ("config", "config_hash"), ("code", "git_commit"), ("library version", "library_versions"), ("candidates", "metrics_snapshot"))
PROVENANCE = (*(name for _, name in CAUSES), "routing_plan_id", "dev_mode")


@dataclass(frozen=True)
class WhatIf:
    """Candidates routed twice.

    Attributes
    ----------
    moved : one row a pair whose route changes: `target, symbol, route_before, route_after, reason_before, reason_after`.
    moves : (route before, route after) to pairs, unmoved ones included.
    """

    moved: pa.Table
    moves: dict[tuple[str, str], int]

    def text(self, limit: int = 20) -> str:
        """The moves for a terminal."""
        lines = [f"{before} -> {after}: {count:,}" for (before, after), count in sorted(self.moves.items()) if before != after]
        lines = [f"{self.moved.num_rows:,} of {sum(self.moves.values()):,} pairs move", *(f"  {line}" for line in lines)]
        for row in self.moved.slice(0, limit).to_pylist():
            lines.append(f"  {row['target']} / {row['symbol']}: {row['route_before']} -> {row['route_after']} ({row['reason_after'] or 'nothing refuses'})")
        return "\n".join(lines + ([f"  ... and {self.moved.num_rows - limit:,} more"] if self.moved.num_rows > limit else []))


@dataclass(frozen=True)
class JobChange:
    """A job that stands in both plans: each field that differs, before and after, and why."""

    job_id: str
    fields: dict[str, tuple[Any, Any]]
    reason: str


@dataclass(frozen=True)
class PlanDiff:
    """What two training plans do not share.

    Attributes
    ----------
    added, removed : a job's id to the reason.
    provenance : name in the metadata to its value before and after, where they differ; of the library versions those alone that do.
    first_cause : the first of data, config, code and library version that differs, in words; "candidates" where none of these does but the
        candidates do, as when one of the tables came from elsewhere. None where nothing differs.
    """

    added: dict[str, str]
    removed: dict[str, str]
    changed: tuple[JobChange, ...]
    provenance: dict[str, tuple[Any, Any]]
    first_cause: str | None

    @property
    def differs(self) -> bool:
        """True where any job was added, removed or changed; provenance alone is no difference in what is trained."""
        return bool(self.added or self.removed or self.changed)

    def text(self) -> str:
        """The difference for a terminal."""
        lines = [f"{len(self.added)} jobs added, {len(self.removed)} removed, {len(self.changed)} changed"]
        lines += [f"first cause: {self.first_cause}"] if self.first_cause else []
        lines += [f"  {name}: {_brief(before, after)}" for name, (before, after) in self.provenance.items()]
        lines += [f"+ {job}: {reason}" for job, reason in self.added.items()]
        lines += [f"- {job}: {reason}" for job, reason in self.removed.items()]
        for change in self.changed:
            lines.append(f"~ {change.job_id}: {change.reason}")
            lines += [f"    {name}: {_brief(before, after)}" for name, (before, after) in change.fields.items()]
        return "\n".join(lines)


def what_if(candidates: Candidates, before: RoutingConfig, after: RoutingConfig) -> WhatIf:
    """Route the same candidates under two settings, without any data."""
    old, new = route_candidates(candidates, before), route_candidates(candidates, after)
    keys, counts = np.unique(old.routes.astype(np.int64) * len(ROUTES) + new.routes, return_counts=True)
    moves = {(str(ROUTES[key // len(ROUTES)]), str(ROUTES[key % len(ROUTES)])): int(count) for key, count in zip(keys, counts, strict=True)}
    places = np.flatnonzero(old.routes != new.routes)
    tables = [decisions_table(decisions).take(pa.array(places)) for decisions in (old, new)]
    reasons = [pair_reasons(decisions) for decisions in (old, new)]
    moved = pa.table(
        {
            "target": tables[0].column("target").cast(pa.string()),
            "symbol": tables[0].column("symbol").cast(pa.string()),
            "route_before": tables[0].column("route").cast(pa.string()),
            "route_after": tables[1].column("route").cast(pa.string()),
            "reason_before": pa.array([", ".join(reasons[0][place]) for place in places], pa.string()),
            "reason_after": pa.array([", ".join(reasons[1][place]) for place in places], pa.string()),
        }
    )
    return WhatIf(moved, moves)


def diff(before: TrainingPlan, after: TrainingPlan, routing_before: RoutingPlan | None = None, routing_after: RoutingPlan | None = None) -> PlanDiff:
    """Jobs added, removed and changed between two training plans.

    Parameters
    ----------
    routing_before, routing_after : the routing plans behind them, where at hand: they say why a pair has no job.
    """
    old, new = ({job.job_id: job_document(job) for job in plan.jobs} for plan in (before, after))
    provenance = _provenance(before.metadata, after.metadata)
    causes = ", ".join(f"{name} changed" for name in provenance if name != "routing_plan_id")
    changed = []
    for job_id in sorted(old.keys() & new.keys()):
        fields = {name: (old[job_id][name], new[job_id][name]) for name in sorted(new[job_id]) if old[job_id][name] != new[job_id][name]}
        if fields:
            why = f"{old[job_id]['reason']} -> {new[job_id]['reason']}" if "reason" in fields else causes or new[job_id]["reason"]
            changed.append(JobChange(job_id, fields, why))
    return PlanDiff(
        added={job_id: _why(new[job_id], routing_before, new[job_id]["reason"], "was") for job_id in sorted(new.keys() - old.keys())},
        removed={job_id: _why(old[job_id], routing_after, causes or old[job_id]["reason"], "now") for job_id in sorted(old.keys() - new.keys())},
        changed=tuple(changed),
        provenance=provenance,
        first_cause=next((f"{cause} ({_brief(*provenance[name])})" for cause, name in CAUSES if name in provenance), None),
    )


def _provenance(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs of the metadata that says where a plan comes from; plans of older versions state fewer of them."""
    found = {name: (before.get(name), after.get(name)) for name in PROVENANCE if before.get(name) != after.get(name)}
    old, new = found.get("library_versions", (None, None))
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
        found["library_versions"] = ({name: old.get(name) for name in changed}, {name: new.get(name) for name in changed})
    return found


def _why(job: Mapping[str, Any], other: RoutingPlan | None, otherwise: str, when: str) -> str:
    """Why the other plan has no such job: its own words where they are at hand."""
    if other is None:
        return otherwise
    entry = other.targets.get(job["target"])
    if entry is None:
        return f"{otherwise}; {when} no such target"
    if job["symbol"] is None:
        return f"{otherwise}; {when} {entry['cross_sectional']['route']}: {entry['cross_sectional']['reason']}"
    pair = entry["symbols"].get(job["symbol"])
    return f"{otherwise}; {when} no such pair" if pair is None else f"{otherwise}; {when} {pair['route']}: {', '.join(pair['reason']) or 'nothing refuses'}"


def _brief(before: Any, after: Any) -> str:
    if isinstance(before, list) and isinstance(after, list):
        gone, come = [item for item in before if item not in after], [item for item in after if item not in before]
        moves = [f"-{item}" for item in gone[:10]] + [f"+{item}" for item in come[:10]]
        return f"{len(before)} -> {len(after)} entries: {' '.join(moves) or 'another order'}"
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return ", ".join(f"{name} {before.get(name)} -> {after.get(name)}" for name in names)
    return f"{before} -> {after}"
