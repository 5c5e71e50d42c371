"""The routing plan as a person reads it: a map, every pair with its reasons, and no name that breaks the page."""

from routing_assets.decisions import plan_markdown
from routing_assets.decisions.plan_markdown import routing_plan_markdown
from routing_assets.decisions.policy import route_candidates
from routing_assets.decisions.routing_plan import routing_plan
from tests.candidate_rows import candidates, local, pooled
from tests.plan_samples import plan_of
from tests.report_samples import easy_config, random_candidates


def test_every_pair_stands_in_the_page_with_its_route_and_reasons() -> None:
    plan = plan_of()
    text = routing_plan_markdown(plan)
    for target, entry in plan.targets.items():
        for symbol, pair in entry["symbols"].items():
            row = f"| {plan_markdown.cell(target)} | {symbol} | {pair['route']} | {pair['cs_state']} | {pair['local_state']} | {', '.join(pair['reason'])} |"
            assert row in text


def test_the_map_has_a_letter_a_pair_in_the_order_of_the_symbols() -> None:
    assert "\n.BPLE  fwd_ret_12b\n" in routing_plan_markdown(plan_of())  # BLOCKED, BOTH, CS, LOCAL, TRY


def test_a_hostile_name_breaks_neither_table_nor_map() -> None:
    name = "a|b\n```\n# c"
    plan = plan_of(candidates(pooled(target=name), local(target=name, symbol=name)))
    lines = routing_plan_markdown(plan).splitlines()
    assert [line for line in lines if line.startswith("# ")] == [f"# Routing plan {plan.plan_id}"]
    assert sum(line.startswith("```") for line in lines) == 2


def test_more_pairs_than_anybody_reads_are_counted_and_left_to_the_files() -> None:
    config = easy_config().routing
    many = random_candidates(("t_1b",), tuple(f"S{number:04d}" for number in range(plan_markdown.MAX_PAIRS + 1)))
    text = routing_plan_markdown(routing_plan(route_candidates(many, config), config))
    assert "1,001 pairs are too many to read" in text
    assert "S0500" not in text
    assert "## Map" not in text
