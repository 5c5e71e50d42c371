"""Pictures show every pair and break on no name; a plan that does not say what the step before said is found out."""

import base64
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from routing_assets.contracts import RoutingPlan
from routing_assets.plan_consistency import plan_against_routes
from routing_assets.plan_summary import decision_lines, reasons_by_route
from routing_assets.route_picture import COLOURS, ScoreBar, picture_markdown, route_picture, score_plot
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


def test_the_picture_has_one_cell_a_pair_in_the_colour_of_its_route() -> None:
    tree = ElementTree.fromstring(route_picture(ROUTES))
    cells = [rect.get("fill") for rect in tree.iter("{http://www.w3.org/2000/svg}rect") if rect.get("height") == "15"]
    assert sorted(map(str, cells)) == sorted(COLOURS[route] for route in (Route.SYMBOL_SPECIFIC, Route.CROSS_SECTIONAL, Route.BLOCKED))


def test_hostile_names_break_no_picture() -> None:
    plan = RoutingPlan({}, {"<script>&": {"symbols": {'"><b>': {"route": "ROUTE_BOTH"}}}})
    assert "<script>" not in route_picture(plan)
    ElementTree.fromstring(route_picture(plan))


def test_a_large_picture_says_what_it_leaves_out() -> None:
    plan = RoutingPlan({}, {f"t{number}": {"symbols": {f"s{n}": {"route": "ROUTE_BLOCKED"} for n in range(151)}} for number in range(42)})
    assert "not shown: 2 targets and 1 symbols" in route_picture(plan)


def test_a_score_plot_holds_a_score_and_goes_into_markdown_whole() -> None:
    svg = score_plot([ScoreBar("t", 0.1, 0.05, 0.15, 0.0)], "rank_ic")
    assert "0.100" in svg
    encoded = picture_markdown(svg, "scores").partition("base64,")[2].removesuffix(")")
    assert base64.b64decode(encoded).decode() == svg
    assert score_plot([], "rank_ic").startswith("<svg")


def test_reasons_and_decisions_are_told_in_words() -> None:
    assert reasons_by_route(ROUTES)["ROUTE_BLOCKED"] == "SCORE (1)"
    assert list(decision_lines(ROUTES))[2] == f"{TARGET}/S002: ROUTE_BLOCKED (pooled DISALLOWED, local STRONG): SCORE"
