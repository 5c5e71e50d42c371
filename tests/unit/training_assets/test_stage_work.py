"""What a run is asked to train of its partitions, and what its log says of how far it is."""

import pytest

from tests.panels import REGRESSION_TARGET, make_panel, plan_of, symbol_job
from training_assets.contracts import Route, TrainingType
from training_assets.outcomes import FamilyFailure, JobOutcome, TrainedModel
from training_assets.plan_reader import PlanSlice, plan_slices
from training_assets.stage_work import chosen_keys, progress_line, shortfall

PANEL = make_panel(n_symbols=3, n_bars=60)
ROUTES = (Route.BOTH, Route.SYMBOL_SPECIFIC, Route.SYMBOL_SPECIFIC)
KEYS = [f"{REGRESSION_TARGET}|{symbol}" for symbol in PANEL.symbols]


@pytest.fixture
def slices() -> dict[str, PlanSlice]:
    jobs = [symbol_job(PANEL, symbol, REGRESSION_TARGET, ("Ridge",), route) for symbol, route in zip(PANEL.symbols, ROUTES, strict=True)]
    return plan_slices(plan_of(PANEL, *jobs), TrainingType.SYMBOL_SPECIFIC)


def test_a_run_without_a_choice_trains_all_of_its_partitions(slices: dict[str, PlanSlice]) -> None:
    assert chosen_keys(slices, KEYS, [], []) == KEYS


def test_keys_and_routes_choose_together_and_a_route_needs_no_prefix(slices: dict[str, PlanSlice]) -> None:
    assert chosen_keys(slices, KEYS, KEYS[:2], []) == KEYS[:2]
    assert chosen_keys(slices, KEYS, [], ["both"]) == chosen_keys(slices, KEYS, [], ["ROUTE_BOTH"]) == KEYS[:1]
    assert chosen_keys(slices, KEYS, KEYS[:2], ["symbol_specific"]) == KEYS[1:2]


def test_a_route_that_is_none_is_an_error_that_lists_the_routes(slices: dict[str, PlanSlice]) -> None:
    with pytest.raises(ValueError, match="'sideways' is no route; use some of CROSS_SECTIONAL, SYMBOL_SPECIFIC, BOTH"):
        chosen_keys(slices, KEYS, [], ["sideways"])


def test_a_partition_that_the_plan_lacks_is_kept_so_that_it_is_refused_by_name(slices: dict[str, PlanSlice]) -> None:
    assert chosen_keys(slices, [*KEYS, "gone|X"], [], ["both"]) == [KEYS[0], "gone|X"]


def test_the_log_tells_what_is_done_and_what_time_is_left() -> None:
    assert progress_line(25, 100, "a|B, 2 models in 1.5 s", 50.0) == "25/100: a|B, 2 models in 1.5 s; 50 s so far, about 150 s left"
    assert progress_line(100, 100, "z", 200.0).endswith("about 0 s left")


def outcome_of(n_models: int, n_failures: int) -> JobOutcome:
    models = tuple(TrainedModel(f"Good{number}", f"models/Good{number}", "id", "key", (), 100, 0.1, "cpu", False) for number in range(n_models))
    failures = tuple(FamilyFailure(f"Bad{number}", "t", "A", "singular") for number in range(n_failures))
    return JobOutcome("t|A", models, failures, False, 1.0)


@pytest.mark.parametrize(("n_models", "n_failures", "least"), [(1, 2, 1), (2, 1, 2), (1, 0, 2), (3, 0, 5), (1, 1, 0)])
def test_a_job_stands_with_as_many_families_as_it_needs_of_those_it_tried(n_models: int, n_failures: int, least: int) -> None:
    assert shortfall(outcome_of(n_models, n_failures), least) is None


@pytest.mark.parametrize("least", [0, 1, 3])
def test_a_job_without_a_model_never_stands_and_its_errors_say_why(least: int) -> None:
    assert shortfall(outcome_of(0, 2), least) == "t/A Bad0 not trained: singular; t/A Bad1 not trained: singular"
    assert shortfall(outcome_of(0, 0), least) == "no model"


def test_a_job_with_too_few_families_is_told_with_its_errors_and_the_models_that_stay() -> None:
    told = "1 of 2 families succeeded < 2 (routing.require_min_successful_families); t/A Bad0 not trained: singular; Good0 stays at models/Good0"
    assert shortfall(outcome_of(1, 1), 5) == told
    assert (shortfall(outcome_of(1, 2), 2) or "").startswith("1 of 3 families succeeded < 2 ")
