"""What is shown of a plan is what it says; a training plan that does not say what the step before said is found out."""

from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pytest

from routing_assets.contracts import ROUTES as CODED
from routing_assets.contracts import Mode, RoutingPlan
from routing_assets.plans.plan_consistency import plan_against_routes
from routing_assets.report.plan_summary import decision_lines, job_counts, moved_pairs, plan_routes, reasons_by_route, scores_of_side, status_by_detector
from tests.panels import make_panel, symbol_job
from training_assets.contracts import Route, TrainingJob, TrainingPlan, TrainingType

PANEL = make_panel(n_symbols=3, n_bars=60)
TARGET = "value_3b"


def routing(**routes: Route) -> RoutingPlan:
    states = {"cs_state": "DISALLOWED", "local_state": "STRONG", "reason": ["SCORE"], "evidence": {}}
    pairs = {symbol: {"route": str(route), **states} for symbol, route in routes.items()}
    return RoutingPlan({"plan_id": "r1", "route_counts": {}}, {TARGET: {"cross_sectional": {}, "symbols": pairs}})


def training(*jobs: TrainingJob, without_family: int = 0) -> TrainingPlan:
    return TrainingPlan({"routing_plan_id": "r1"}, jobs, {"total_without_family": without_family})


def local(symbol: str, route: Route = Route.SYMBOL_SPECIFIC) -> TrainingJob:
    return symbol_job(PANEL, symbol, TARGET, ("Ridge",), route)


def pooled(*symbols: str) -> TrainingJob:
    return replace(local("S000", Route.CROSS_SECTIONAL), symbol=None, symbols=symbols, training_type=TrainingType.CROSS_SECTIONAL)


ROUTES = routing(S000=Route.SYMBOL_SPECIFIC, S001=Route.CROSS_SECTIONAL, S002=Route.BLOCKED)


def test_a_plan_that_follows_its_routes_has_no_fault() -> None:
    assert plan_against_routes(training(local("S000"), pooled("S001")), ROUTES) == ()


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        (training(local("S000"), local("S002"), pooled("S001")), "the routing plan says ROUTE_BLOCKED"),
        (training(local("S000", Route.BOTH), pooled("S001")), "trains under ROUTE_BOTH"),
        (training(local("S000"), pooled("S001", "S002")), "pools S002, which is routed ROUTE_BLOCKED"),
        (training(pooled("S001")), "1 routed pairs have no job"),
        (replace(training(local("S000"), pooled("S001")), metadata={"routing_plan_id": "another"}), "follows routing plan another"),
    ],
)
def test_a_plan_with_one_fault_names_it(plan: TrainingPlan, fault: str) -> None:
    faults = plan_against_routes(plan, ROUTES)
    assert len(faults) == 1
    assert fault in faults[0]


def test_a_routed_pair_that_no_family_can_take_is_no_fault_where_it_is_counted() -> None:
    assert plan_against_routes(training(pooled("S001"), without_family=1), ROUTES) == ()


def test_the_routes_of_a_plan_are_a_matrix_with_holes_where_a_target_lacks_a_symbol() -> None:
    plan = replace(ROUTES, targets={**ROUTES.targets, "other": {"cross_sectional": {}, "symbols": {"S001": {"route": "ROUTE_BOTH"}}}})
    targets, symbols, routes = plan_routes(plan)
    assert (targets, symbols) == ([TARGET, "other"], ["S000", "S001", "S002"])
    expected = [[Route.SYMBOL_SPECIFIC, Route.CROSS_SECTIONAL, Route.BLOCKED], [None, Route.BOTH, None]]
    assert [[None if code < 0 else CODED[code] for code in line] for line in routes.tolist()] == expected


def test_scores_of_a_side_stand_by_metric_best_first_without_what_was_not_computed() -> None:
    shared = {"symbol": None, "mode": "CROSS_SECTIONAL", "metric_name": "auc", "score_ci_low": 0.5, "score_ci_high": 0.7, "score_null": 0.5}
    rows = [shared | {"target": name, "score": score} for name, score in (("weak", 0.55), ("strong", 0.65), ("none", None))]
    rows.append(shared | {"target": "strong", "symbol": "S001", "mode": "SYMBOL_SPECIFIC", "score": 0.9})
    (found, null) = scores_of_side(pa.Table.from_pylist(rows), Mode.CROSS_SECTIONAL)["auc"]
    assert [row.label for row in found] == ["strong", "weak"]
    assert null == 0.5
    (local, _) = scores_of_side(pa.Table.from_pylist(rows), Mode.SYMBOL_SPECIFIC)["auc"]
    assert [row.label for row in local] == ["strong / S001"]


def test_pairs_that_moved_between_two_plans_are_listed_and_no_others() -> None:
    entry = ROUTES.targets[TARGET]
    moved = {**entry, "symbols": {**entry["symbols"], "S000": {**entry["symbols"]["S000"], "route": "ROUTE_BLOCKED", "reason": ["SCORE"]}}}
    del moved["symbols"]["S002"]
    assert moved_pairs(ROUTES, ROUTES).empty
    table = moved_pairs(ROUTES, replace(ROUTES, targets={TARGET: moved}))
    assert table.values.tolist() == [
        [TARGET, "S000", "ROUTE_SYMBOL_SPECIFIC", "ROUTE_BLOCKED", "SCORE"],
        [TARGET, "S002", "ROUTE_BLOCKED", None, ""],
    ]


def test_jobs_are_counted_by_route_and_findings_by_detector() -> None:
    jobs = job_counts(training(pooled("S001")))
    assert jobs["jobs"].tolist() == [1]
    audit = pd.DataFrame({"detector": ["copies", "copies", "clocks"], "status": ["SAFE", "BLOCKED", "SAFE"]})
    assert status_by_detector(audit).to_dict("list") == {"detector": ["clocks", "copies"], "BLOCKED": [0, 1], "SAFE": [1, 1]}


def test_reasons_and_decisions_are_told_in_words() -> None:
    assert reasons_by_route(ROUTES)["ROUTE_BLOCKED"] == "SCORE (1)"
    assert list(decision_lines(ROUTES))[2] == f"{TARGET}/S002: ROUTE_BLOCKED (pooled DISALLOWED, local STRONG): SCORE"
