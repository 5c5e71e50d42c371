"""What a run is asked to train of its partitions, and what its log says of how far it is."""

import pytest

from tests.panels import REGRESSION_TARGET, make_panel, plan_of, symbol_job
from training_assets.contracts import Route, TrainingType
from training_assets.plan_reader import PlanSlice, plan_slices
from training_assets.stage_work import chosen_keys, progress_line

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
