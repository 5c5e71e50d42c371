"""The Great Expectations suites over the two plans, each held against the step before it.

Belongs here: plans as frames and what is expected of them. Does not: faults that stop a run (`plan_consistency`), or making plans.
"""

import pandas as pd

from routing_assets.contracts import Candidates, RoutingPlan, SignalState
from training_assets.contracts import Route, TrainingPlan, TrainingType
from training_assets.expectations import Expected, QualityReport, run_suite

_NONE = {"min_value": 0, "max_value": 0}
_ROUTING: tuple[Expected, ...] = (
    ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
    ("ExpectCompoundColumnsToBeUnique", {"column_list": ["target", "symbol"]}),
    ("ExpectColumnValuesToBeInSet", {"column": "route", "value_set": [str(route) for route in Route]}),
    ("ExpectColumnValuesToBeInSet", {"column": "cs_state", "value_set": [str(state) for state in SignalState]}),
    ("ExpectColumnValuesToBeInSet", {"column": "local_state", "value_set": [str(state) for state in SignalState]}),
    ("ExpectColumnValuesToBeBetween", {"column": "is_no_candidate", **_NONE}),
    ("ExpectColumnValuesToBeBetween", {"column": "leaks_and_is_routed", **_NONE}),
)
_TRAINING: tuple[Expected, ...] = (
    ("ExpectColumnValuesToBeUnique", {"column": "job_id"}),
    ("ExpectColumnValuesToNotBeNull", {"column": "target"}),
    ("ExpectColumnValuesToBeInSet", {"column": "training_type", "value_set": [str(kind) for kind in TrainingType]}),
    ("ExpectColumnValuesToBeInSet", {"column": "route", "value_set": [str(route) for route in Route if route is not Route.BLOCKED]}),
    ("ExpectColumnValuesToBeBetween", {"column": "priority", "min_value": 1, "max_value": 3}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_features", "min_value": 1}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_families", "min_value": 1}),
    ("ExpectColumnValuesToBeBetween", {"column": "estimated_samples", "min_value": 0}),
    ("ExpectColumnValuesToBeBetween", {"column": "n_symbols_not_pooled_by_route", **_NONE}),
    ("ExpectColumnValuesToBeBetween", {"column": "differs_from_route", **_NONE}),
)


def check_routing_plan(plan: RoutingPlan, candidates: Candidates) -> QualityReport:
    """Hold a routing plan against the suite `routing_plan`: one known route a pair, every pair a candidate, no leaking pair routed."""
    columns = candidates.table.select(["target", "symbol", "leakage_status"]).to_pydict()
    statuses = dict(zip(zip(columns["target"], columns["symbol"], strict=True), columns["leakage_status"], strict=True))
    rows = [
        (target, symbol, pair["route"], pair["cs_state"], pair["local_state"], statuses.get((target, symbol), "no candidate"))
        for target, entry in plan.targets.items()
        for symbol, pair in entry["symbols"].items()
    ]
    frame = pd.DataFrame(rows, columns=["target", "symbol", "route", "cs_state", "local_state", "leakage_status"])
    leaks = (frame["leakage_status"] == "BLOCKED") & (frame["route"] != str(Route.BLOCKED))
    if plan.metadata["dev_mode"]:  # the one mode that may let a leaking pair pass, and says so
        leaks &= False
    frame = frame.assign(is_no_candidate=(frame["leakage_status"] == "no candidate").astype(int), leaks_and_is_routed=leaks.astype(int))
    return run_suite("routing_plan", frame, _ROUTING, ("target", "symbol"))


def check_training_plan(plan: TrainingPlan, routing: RoutingPlan) -> QualityReport:
    """Hold a training plan against the suite `training_plan`: jobs with features and families, each under its pair's own route."""
    routes = {(target, symbol): pair["route"] for target, entry in routing.targets.items() for symbol, pair in entry["symbols"].items()}
    pooled = {str(Route.CROSS_SECTIONAL), str(Route.BOTH)}
    rows = [
        {
            "job_id": job.job_id,
            "target": job.target,
            "symbol": job.symbol or "",
            "training_type": str(job.training_type),
            "route": str(job.route),
            "priority": job.priority,
            "n_features": len(job.features),
            "n_families": len(job.model_families),
            "estimated_samples": job.estimated_samples,
            "n_symbols_not_pooled_by_route": sum(routes.get((job.target, symbol)) not in pooled for symbol in job.symbols or ()),
            "differs_from_route": int(job.symbol is not None and routes.get((job.target, job.symbol)) != str(job.route)),
        }
        for job in plan.jobs
    ]
    frame = pd.DataFrame(rows, columns=list(_TRAINING_COLUMNS))
    return run_suite("training_plan", frame, _TRAINING, ("job_id",))


_TRAINING_COLUMNS = (
    "job_id",
    "target",
    "symbol",
    "training_type",
    "route",
    "priority",
    "n_features",
    "n_families",
    "estimated_samples",
    "n_symbols_not_pooled_by_route",
    "differs_from_route",
)
