"""Quality suites of candidates and plans: what the house makes passes, and each planted fault fails the expectation that is meant for it."""

from dataclasses import replace

import pytest

from routing_assets.contracts import Candidates, RoutingPlan
from routing_assets.evidence.candidates_quality import check_candidates
from routing_assets.plans.plan_quality import check_routing_plan, check_training_plan
from routing_assets.plans.training_plan import make_training_plan
from tests.candidate_rows import candidates, local, pooled
from tests.plan_samples import FAMILIES, TRAINING, five_routes, plan_of
from training_assets.contracts import Route, TrainingPlan
from training_assets.expectations import QualityReport

CANDIDATES = five_routes()


def broken(report: QualityReport) -> set[str | None]:
    assert all(one.examples for one in report.failures())
    return {one.column or one.name for one in report.failures()}


def routed(table: Candidates = CANDIDATES) -> RoutingPlan:
    return plan_of(table)


def planned(routing: RoutingPlan) -> TrainingPlan:
    return make_training_plan(routing, CANDIDATES, dict.fromkeys(CANDIDATES.targets, ("f1", "f2")), FAMILIES, TRAINING)


def test_what_the_house_makes_passes_every_expectation() -> None:
    plan = routed()
    for report in (check_candidates(CANDIDATES), check_routing_plan(plan, CANDIDATES), check_training_plan(planned(plan), plan)):
        assert report.success, report.failures()


def test_a_score_outside_its_interval_is_found() -> None:
    report = check_candidates(candidates(pooled(), local("A"), local("B", score=0.9)))
    assert broken(report) == {"expect_column_pair_values_a_to_be_greater_than_b"}
    assert report.failures()[0].n_unexpected == 1


def test_a_route_of_no_candidate_is_found() -> None:
    fewer = candidates(pooled(), local("BOTH"))
    assert broken(check_routing_plan(routed(), fewer)) == {"is_no_candidate"}


def test_a_pair_that_leaks_and_is_routed_all_the_same_is_found() -> None:
    leaking = candidates(pooled(), *(local(name, leakage_status="BLOCKED") for name in CANDIDATES.symbols))
    report = check_routing_plan(routed(), leaking)
    assert broken(report) == {"leaks_and_is_routed"}


@pytest.mark.parametrize(
    ("change", "column"),
    [({"features": ()}, "n_features"), ({"priority": 7}, "priority"), ({"job_id": "twice"}, "job_id"), ({"route": Route.BLOCKED}, "route")],
)
def test_a_job_with_one_fault_fails_its_own_expectation(change: dict[str, object], column: str) -> None:
    routing = routed()
    plan = planned(routing)
    jobs = [replace(job, **change) if job.symbol is not None else job for job in plan.jobs]
    assert column in broken(check_training_plan(replace(plan, jobs=tuple(jobs)), routing)) <= {column, "differs_from_route"}
