"""Whether a plan says what the step before it said, by an independent reading of both documents.

Belongs here: faults as text. Does not: making or mending plans.
"""

from routing_assets.contracts import Candidates, RoutingPlan
from routing_assets.evidence.candidates_table import candidates_hash
from routing_assets.plans.left_out import names_left_out
from training_assets.contracts import Route, TrainingPlan

MAX_FAULTS = 20
_POOLED = {Route.CROSS_SECTIONAL, Route.BOTH}


def plan_against_candidates(plan: RoutingPlan, candidates: Candidates) -> tuple[str, ...]:
    """Faults of a routing plan against the candidates it claims to stand on; none when every pair is there once."""
    faults = []
    snapshot = candidates_hash(candidates)
    if plan.metadata.get("metrics_snapshot") != snapshot:
        faults.append(f"the plan stands on candidates {plan.metadata.get('metrics_snapshot')}, these are {snapshot}; materialize routing_plan again")
    columns = candidates.table.select(["target", "symbol"]).to_pydict()
    wanted = {(target, symbol) for target, symbol in zip(columns["target"], columns["symbol"], strict=True) if symbol is not None}
    routed = {(target, symbol) for target, entry in plan.targets.items() for symbol in entry["symbols"]}
    faults += [f"{target}/{symbol} is a candidate and has no route" for target, symbol in sorted(wanted - routed)]
    faults += [f"{target}/{symbol} has a route and is no candidate" for target, symbol in sorted(routed - wanted)]
    return tuple(faults[:MAX_FAULTS])


def plan_against_routes(plan: TrainingPlan, routing: RoutingPlan) -> tuple[str, ...]:
    """Faults of a training plan against the routes it claims to follow.

    A routed pair without a job is a fault only where other jobs of its kind have families: a job that no family can take is left out by design and counted
    in the plan's summary, which also names the pairs that are routed and not to be trained.
    """
    faults = []
    if plan.metadata.get("routing_plan_id") != routing.plan_id:
        faults.append(f"the plan follows routing plan {plan.metadata.get('routing_plan_id')}, this is {routing.plan_id}; materialize training_plan again")
    routes = {(target, symbol): Route(pair["route"]) for target, entry in routing.targets.items() for symbol, pair in entry["symbols"].items()}
    for job in plan.jobs:
        if job.symbol is not None and routes.get((job.target, job.symbol)) is not job.route:
            faults.append(f"{job.job_id} trains under {job.route}, the routing plan says {routes.get((job.target, job.symbol))}")
        strangers = [symbol for symbol in job.symbols or () if routes.get((job.target, symbol)) not in _POOLED]
        faults += [f"{job.job_id} pools {symbol}, which is routed {routes.get((job.target, symbol))}" for symbol in strangers]
    local = {(job.target, job.symbol) for job in plan.jobs if job.symbol is not None}
    without_job = [pair for pair, route in routes.items() if route not in (Route.BLOCKED, Route.CROSS_SECTIONAL) and pair not in local]
    named = names_left_out(plan.summary)
    missing = sum(not named & {(target, symbol), (target, None), (None, symbol)} for target, symbol in without_job)
    if missing > plan.summary.get("total_without_family", 0):
        faults.append(f"{missing} routed pairs have no job, and only {plan.summary.get('total_without_family', 0)} are counted as without a family")
    return tuple(faults[:MAX_FAULTS])
