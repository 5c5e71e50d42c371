"""Explaining a decision, asking what if, comparing plans, and the packaged presets."""

from dataclasses import replace

import pytest

from config.load import PACKAGED_CONFIG_DIR, load_config, parse_yaml
from config.sections.routing import RoutingConfig, Significance
from routing_assets.decisions.explain import explain
from routing_assets.decisions.policy import route_candidates
from routing_assets.plans.comparison import diff, what_if
from tests.candidate_rows import STATE_CHANGES, candidates, local, pooled
from tests.plan_samples import five_routes, plan_of, training_of

CONFIG = RoutingConfig()


def explained(table, symbol="AAPL", config=CONFIG):
    return explain(route_candidates(table, config), config, "fwd_ret_12b", symbol)


def test_the_nearest_flip_names_the_number_the_route_and_how_much_more_data():
    answer = explained(candidates(pooled(p_value=0.0655), local(**STATE_CHANGES["DISALLOWED"])))
    assert answer.outcome == "ROUTE_BLOCKED"
    assert answer.flips[0].text == "pooled q_value 0.131 > 0.1: would be ROUTE_CROSS_SECTIONAL at <= 0.1, about 1.3 times the data"


def test_a_passing_side_flips_at_its_narrowest_margin():
    answer = explained(candidates(pooled(**STATE_CHANGES["DISALLOWED"]), local(score=0.521, n_effective=45.0)))
    assert answer.outcome == "ROUTE_SYMBOL_SPECIFIC"
    assert answer.flips[0].name == "score"
    assert answer.flips[0].outcome == "ROUTE_EXPERIMENTAL_ONLY"


@pytest.mark.parametrize("make", [pooled, local])
def test_a_flip_holds_what_it_says_when_the_number_is_changed(make):
    """Twin: move the number to the bound that the flip names, and the route is the one it names."""
    other = local(**STATE_CHANGES["DISALLOWED"]) if make is pooled else pooled(**STATE_CHANGES["DISALLOWED"])
    faults = {"score": 0.505, "sample_size": 100, "n_effective": 5.0}
    bounds = {pooled: {"score": 0.515, "sample_size": 2_000, "n_effective": 60.0}, local: {"score": 0.52, "sample_size": 400, "n_effective": 40.0}}[make]
    for name, value in faults.items():
        flip = next(flip for flip in explained(candidates(make(**{name: value}), other)).flips if flip.name == name)
        assert flip.outcome == explained(candidates(make(**{name: bounds[name]}), other)).outcome


def test_every_number_stands_beside_its_bound_and_margin():
    answer = explained(candidates(pooled(), local(score=0.53)))
    number = next(number for number in answer.numbers if number.name == "score" and number.side == "SYMBOL_SPECIFIC")
    assert (number.value, number.bound, number.passed) == (0.53, 0.52, True)
    assert number.margin == pytest.approx(0.01)
    assert "SAMPLE_SIZE" in answer.text()
    assert "ROUTE_BOTH" in answer.text()


def test_a_leaking_pair_is_flipped_by_its_leakage_status_alone():
    answer = explained(candidates(pooled(), local(leakage_status="BLOCKED")))
    assert answer.reasons[0] == "PAIR_LEAKS"
    assert {flip.name for flip in answer.flips} == {"leakage_status"}
    assert "local leakage_status BLOCKED: would be ROUTE_BOTH if SAFE" in [flip.text for flip in answer.flips]


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        ({}, "local_minus_pooled_ci_low", "local local_minus_pooled_ci_low -0.01 <= 0: would be ROUTE_SYMBOL_SPECIFIC at > 0"),
        ({}, "local_minus_pooled_ci_high", "local local_minus_pooled_ci_high 0.03 >= 0: would be ROUTE_CROSS_SECTIONAL at < 0"),
        ({"local_minus_pooled_ci_low": 0.01}, "local_minus_pooled_ci_low", "local local_minus_pooled_ci_low 0.01 > 0: would be ROUTE_BOTH at <= 0"),
        (
            {"pooled_score_on_symbol_ci_high": 0.49},
            "pooled_score_on_symbol_ci_high",
            "pooled pooled_score_on_symbol_ci_high 0.49 < 0.5: would be ROUTE_BOTH at >= 0.5",
        ),
        ({"n_effective": None}, "n_effective", "local n_effective not computed: would be ROUTE_CROSS_SECTIONAL at < 40"),
    ],
)
def test_flips_of_the_difference_of_harm_and_of_what_was_not_computed_say_what_has_to_be(changes, name, text):
    row = {"local_minus_pooled_ci_low": -0.01, "local_minus_pooled_ci_high": 0.03, "pooled_score_on_symbol_ci_high": 0.56, **changes}
    assert text in [flip.text for flip in explained(candidates(pooled(), local(**row))).flips if flip.name == name]


def test_distances_run_to_the_next_count_and_on_the_scale_of_normal_deviates():
    answer = explained(candidates(pooled(), local(sample_size=400, p_value=0.05, q_value=0.05)))
    distances = {flip.name: flip.distance for flip in answer.flips if flip.side == "SYMBOL_SPECIFIC"}
    assert distances["sample_size"] == pytest.approx(1 / 400)
    assert distances["q_value"] == pytest.approx((1.6449 - 1.2816) / 1.2816, rel=1e-3)


def test_a_pooled_side_is_explained_without_a_symbol():
    answer = explained(candidates(pooled(score=0.5), local()), None)
    assert answer.outcome == "DISALLOWED"
    assert [flip.outcome for flip in answer.flips] == ["EXPERIMENTAL", "WEAK_BUT_OK"]
    assert explained(candidates(local()), None).reasons == ("NO_METRICS",)


def test_unknown_names_are_errors():
    decisions = route_candidates(candidates(pooled(), local()), CONFIG)
    with pytest.raises(KeyError, match="no symbol 'B'"):
        explain(decisions, CONFIG, "fwd_ret_12b", "B")
    with pytest.raises(KeyError, match="target 'x'"):
        explain(decisions, CONFIG, "x")


def test_what_if_lists_the_pairs_that_move_and_from_what_to_what():
    table = candidates(pooled(p_value=0.04), local("A", **STATE_CHANGES["DISALLOWED"]), local("B"))
    answer = what_if(table, CONFIG, RoutingConfig(significance=Significance(max_q=0.05)))
    assert [(row["symbol"], row["route_before"], row["route_after"]) for row in answer.moved.to_pylist()] == [
        ("A", "ROUTE_CROSS_SECTIONAL", "ROUTE_BLOCKED"),
        ("B", "ROUTE_BOTH", "ROUTE_SYMBOL_SPECIFIC"),
    ]
    assert "2 of 2 pairs move" in answer.text()
    assert what_if(table, CONFIG, CONFIG).moved.num_rows == 0


def test_what_if_may_change_the_significance_method():
    table = candidates(pooled(score=None), local("A", p_value=0.09), local("B", p_value=0.9))
    answer = what_if(table, CONFIG, RoutingConfig(significance=Significance(method="none")))
    assert answer.moved.column("symbol").to_pylist() == ["A"]


def test_a_plan_does_not_differ_from_itself():
    assert not diff(training_of(), training_of()).differs


def of_metadata(**changes):
    """A plan whose metadata say so; its id is not what is compared."""
    plan = training_of()
    return replace(plan, metadata={**plan.metadata, "library_versions": {"numpy": "2.0", "scipy": "1.14"}, **changes})


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"data_hash": "d", "config_hash": "e", "git_commit": "f"}, "data (0123456789abcdef -> d)"),
        ({"config_hash": "e", "git_commit": "f"}, f"config ({'c' * 16} -> e)"),
        ({"git_commit": "f", "library_versions": {"numpy": "2.1", "scipy": "1.14"}}, "code (None -> f)"),
        ({"library_versions": {"numpy": "2.1", "scipy": "1.14"}, "metrics_snapshot": "m"}, "library version (numpy 2.0 -> 2.1)"),
        ({}, None),
    ],
)
def test_diff_names_the_first_cause_of_what_differs(changes, cause):
    answer = diff(of_metadata(), of_metadata(**changes))
    assert answer.first_cause == cause
    assert (f"first cause: {cause}" in answer.text()) == (cause is not None)
    assert "scipy" not in answer.text()


def test_diff_tells_added_removed_and_changed_jobs_with_reasons():
    before_table, after_table = (
        five_routes(),
        candidates(pooled(), local("BOTH"), local("NEW"), local("LOCAL", sample_size=1, pooled_score_on_symbol_ci_high=0.4)),
    )
    answer = diff(training_of(before_table), training_of(after_table), plan_of(before_table), plan_of(after_table))
    assert answer.differs
    assert list(answer.added) == ["symbol_specific:fwd_ret_12b:NEW"]
    assert "was no such pair" in answer.added["symbol_specific:fwd_ret_12b:NEW"]
    assert "now ROUTE_BLOCKED: POOLED_HARMFUL, SYMBOL_SPECIFIC:SAMPLE_SIZE" in answer.removed["symbol_specific:fwd_ret_12b:LOCAL"]
    pool = next(change for change in answer.changed if change.job_id == "cross_sectional:fwd_ret_12b")
    assert pool.fields["symbols"] == (["BOTH", "CS"], ["BOTH", "NEW"])
    assert "-CS +NEW" in answer.text()


@pytest.mark.parametrize(
    ("name", "rows", "auc"), [("foxml_default", (5_000, 1_000), (0.52, 0.58, 0.54, 0.60)), ("foxml_strict", (50_000, 5_000), (0.55, 0.60, 0.58, 0.62))]
)
def test_a_preset_loads_over_the_shipped_settings(name, rows, auc):
    sections = parse_yaml((PACKAGED_CONFIG_DIR / "presets" / name / "routing.yaml").read_text(), name)
    routing = load_config(values={f"routing.{key}": value for key, value in sections["routing"].items()}).routing
    assert (routing.min_sample_size.cross_sectional, routing.min_sample_size.symbol) == rows
    sides = (routing.cross_sectional, routing.symbol)
    assert tuple(bound.classification for side in sides for bound in (side.min_score, side.strong_score)) == auc
