"""The combination table, harmful pools, leaking pairs, the cap, and q-values."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sections.routing import Experimental, RoutingConfig, Significance
from routing_assets.contracts import REASONS, ROUTES, STATES
from routing_assets.decisions.policy import decisions_table, over_the_cap, route_candidates
from routing_assets.evidence.candidates_table import candidates_from_table
from routing_assets.evidence.significance import adjusted_p_values, candidate_q_values
from tests.candidate_rows import STATE_CHANGES, candidates, local, pooled

BEHAVIOURS = ("ROUTE_BOTH", "PREFER_CS", "PREFER_SYMBOL", "EVIDENCE")
UNCAPPED = Experimental(max_fraction_symbols_per_target=1.0)
PASSING = ("STRONG", "WEAK_BUT_OK")


def decide(*rows, **settings_):
    return route_candidates(candidates(*rows), RoutingConfig(**{"experimental": UNCAPPED, **settings_}))


def route(decisions, pair=0):
    return str(ROUTES[decisions.routes[pair]])


def expected(cs, own, behaviour):
    """The contract's table, written out once more by hand."""
    if cs in PASSING and own in PASSING:
        return {"ROUTE_BOTH": "ROUTE_BOTH", "PREFER_CS": "ROUTE_CROSS_SECTIONAL", "PREFER_SYMBOL": "ROUTE_SYMBOL_SPECIFIC", "EVIDENCE": "ROUTE_BOTH"}[behaviour]
    if cs in PASSING:
        return "ROUTE_CROSS_SECTIONAL"
    if own in PASSING:
        return "ROUTE_SYMBOL_SPECIFIC"
    return "ROUTE_EXPERIMENTAL_ONLY" if "EXPERIMENTAL" in (cs, own) else "ROUTE_BLOCKED"


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("cs", STATE_CHANGES)
@pytest.mark.parametrize("own", STATE_CHANGES)
def test_every_pair_of_states_gets_the_route_of_the_contract(cs, own, behaviour):
    decisions = decide(pooled(**STATE_CHANGES[cs]), local(**STATE_CHANGES[own]), both_strong_behavior=behaviour)
    assert (STATES[decisions.cs_states[0]], STATES[decisions.local_states[0]]) == (cs, own)
    assert route(decisions) == expected(cs, own, behaviour)


@pytest.mark.parametrize(
    ("low", "high", "wanted", "reason"),
    [
        (0.01, 0.05, "ROUTE_SYMBOL_SPECIFIC", "LOCAL_BETTER"),
        (-0.05, -0.01, "ROUTE_CROSS_SECTIONAL", "POOLED_BETTER"),
        (-0.01, 0.05, "ROUTE_BOTH", "DIFFERENCE_UNCLEAR"),
        (0.0, 0.05, "ROUTE_BOTH", "DIFFERENCE_UNCLEAR"),
        (None, None, "ROUTE_BOTH", "DIFFERENCE_UNCLEAR"),
        (0.01, None, "ROUTE_BOTH", "DIFFERENCE_UNCLEAR"),
    ],
)
def test_the_paired_difference_decides_under_evidence(low, high, wanted, reason):
    decisions = decide(pooled(), local(local_minus_pooled_ci_low=low, local_minus_pooled_ci_high=high))
    assert (route(decisions), REASONS[decisions.policy_reasons[0]]) == (wanted, reason)


def test_a_pool_that_harms_a_symbol_is_not_available_to_it_alone():
    decisions = decide(pooled(), local("A", sample_size=1, pooled_score_on_symbol_ci_high=0.49), local("B", sample_size=1, pooled_score_on_symbol_ci_high=0.5))
    assert [route(decisions, pair) for pair in (0, 1)] == ["ROUTE_BLOCKED", "ROUTE_CROSS_SECTIONAL"]
    assert REASONS[decisions.cs_reasons[0]] == "POOLED_HARMFUL"


def test_a_leaking_pair_is_blocked_whatever_the_pool_says():
    decisions = decide(pooled(score=0.6), local("A", leakage_status="BLOCKED"), local("B"))
    assert [route(decisions, pair) for pair in (0, 1)] == ["ROUTE_BLOCKED", "ROUTE_BOTH"]


def test_a_target_without_a_pooled_row_has_no_pooled_side():
    decisions = decide(local())
    assert route(decisions) == "ROUTE_SYMBOL_SPECIFIC"
    assert (STATES[decisions.cs_states[0]], REASONS[decisions.cs_reasons[0]]) == ("DISALLOWED", "NO_METRICS")


def test_the_lane_takes_the_best_lower_bounds_up_to_its_share_rounded_down():
    bounds = [0.50, 0.53, 0.52, None, 0.53, 0.51, 0.50]
    rows = [local(f"S{place}", stability="DIVERGED", score_ci_low=bound) for place, bound in enumerate(bounds)]
    decisions = decide(pooled(sample_size=1), *rows, experimental=Experimental(max_fraction_symbols_per_target=0.5))
    lane = [place for place in range(7) if route(decisions, place) == "ROUTE_EXPERIMENTAL_ONLY"]
    assert lane == [1, 2, 4]
    assert {str(REASONS[code]) for place, code in enumerate(decisions.policy_reasons) if place not in lane} == {"EXPERIMENTAL_CAP"}


def test_the_cap_breaks_ties_by_symbol_and_never_exceeds_its_share():
    over = over_the_cap(np.ones(10, bool), np.repeat([0, 1], 5), np.zeros(10, np.int64), np.full(10, 0.5), 0.2)
    assert np.flatnonzero(~over).tolist() == [0, 5]
    assert over_the_cap(np.ones(3, bool), np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3), 0.2).all()


def test_where_the_pooled_side_alone_is_experimental_the_best_lower_bounds_go_first_too_and_those_that_cannot_be_trained_last():
    bounds = [0.50, 0.53, 0.52, None]
    rows = [local(f"S{place}", stability="UNKNOWN", p_value=0.9, score_ci_low=bound) for place, bound in enumerate(bounds)]
    short = local("A", sample_size=20, score_ci_low=0.9)
    decisions = decide(pooled(stability="DIVERGED"), short, *rows, experimental=Experimental(max_fraction_symbols_per_target=0.4))
    assert [route(decisions, pair) for pair in range(5)] == ["ROUTE_BLOCKED", "ROUTE_BLOCKED", *["ROUTE_EXPERIMENTAL_ONLY"] * 2, "ROUTE_BLOCKED"]


@pytest.mark.parametrize("refused", [{"sample_size": 20}, {"leakage_status": "UNKNOWN"}, {"score": None}, {"model_status": "FAILED"}])
def test_a_pair_in_the_lane_for_its_pooled_side_says_where_no_local_model_may_be_trained(refused):
    decisions = decide(pooled(stability="DIVERGED"), local("A", **refused), local("B", stability="UNKNOWN", p_value=0.9))
    assert [route(decisions, pair) for pair in range(2)] == ["ROUTE_EXPERIMENTAL_ONLY"] * 2
    assert [REASONS[code] if code >= 0 else None for code in decisions.policy_reasons] == ["NO_LOCAL_JOB", None]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.floats(0, 1))), min_size=1, max_size=30), st.sampled_from(["fdr_bh", "fdr_by"]))
def test_q_values_equal_those_of_the_textbook_loop(rows, method):
    groups = np.array([group for group, _ in rows])
    p_values = np.array([np.nan if p is None else p for _, p in rows])
    wanted = np.full(len(rows), np.nan)
    for group in set(groups.tolist()):
        members = [place for place in range(len(rows)) if groups[place] == group and not np.isnan(p_values[place])]
        m = len(members)
        factor = sum(1 / k for k in range(1, m + 1)) if method == "fdr_by" else 1.0
        for place in members:
            at_least = [p for p in p_values[members] if p >= p_values[place]]
            wanted[place] = min(1.0, min(p * m * factor / sum(p_values[members] <= p) for p in at_least))
    np.testing.assert_allclose(adjusted_p_values(p_values, groups, method), wanted, rtol=1e-12, atol=1e-300)


def test_pooled_and_local_rows_are_corrected_apart_and_leaks_buy_nothing_for_their_neighbours():
    leaks = [local(f"L{place}", p_value=1e-12, leakage_status="BLOCKED") for place in range(9)]
    table = candidates(pooled(p_value=0.04), local("A", p_value=0.04), local("B", p_value=0.9), *leaks)
    q_values = candidate_q_values(table, Significance(family="all"))
    assert q_values[0] == pytest.approx(0.04)
    assert q_values[1] == pytest.approx(0.08)


def test_a_pooled_side_is_held_to_half_the_rate_where_targets_must_stand_out():
    table = candidates(pooled(p_value=0.04), local("A", p_value=0.04))
    assert candidate_q_values(table, Significance(family="both"))[0] == pytest.approx(0.08)


def test_a_lone_pair_of_one_target_does_not_open_among_targets_of_noise():
    noise = [local("A", p_value=0.5 + place / 100, target=f"noise{place}") for place in range(9)]
    q_values = candidate_q_values(candidates(local("A", p_value=0.03), *noise), Significance(family="both"))
    assert q_values.min() == pytest.approx(0.03 / 0.9 * 10)


def test_a_pooled_side_lends_its_strength_to_no_pair_of_another_target():
    pairs = [local("A", p_value=0.012 if place == 0 else 0.5, target=f"t{place}") for place in range(10)]
    alone = candidate_q_values(candidates(*pairs), Significance(family="both"))
    beside = candidate_q_values(candidates(*pairs, pooled(p_value=1e-9, target="t9")), Significance(family="both"))
    np.testing.assert_allclose(np.delete(beside, 9), alone)  # the rows of t9 follow the others, its pooled one first


def test_the_mean_of_a_target_lowers_the_q_of_its_weak_pairs_and_without_it_nothing_does():
    weak = [0.01 * place for place in range(1, 21)]
    with_mean = candidates(*(local(f"S{place:02d}", p_value=p, whole_target_p_value=1e-6) for place, p in enumerate(weak)))
    without = candidates(*(local(f"S{place:02d}", p_value=p) for place, p in enumerate(weak)))
    plain = candidate_q_values(without, Significance(family="both"))
    shrunk = candidate_q_values(with_mean, Significance(family="both"))
    assert (plain >= 0.19).all()
    np.testing.assert_allclose(shrunk, 0.2 * 0.1)  # one in ten counted without a signal: (0 + 1) / (20 x 0.5)


def test_a_family_by_target_is_corrected_by_target():
    table = candidates(local("A", p_value=0.04), local("A", p_value=0.9, target="other"))
    assert candidate_q_values(table, Significance(family="all"))[0] == pytest.approx(0.08)
    assert candidate_q_values(table, Significance(family="target"))[0] == pytest.approx(0.04)


def test_decisions_do_not_depend_on_the_order_of_rows():
    rows = [
        pooled(),
        pooled(target="b"),
        *(local(f"S{place}", target=target, score=0.5 + place / 100) for place in range(9) for target in ("b", "fwd_ret_12b")),
    ]
    table = candidates(*rows)
    shuffled = candidates_from_table(table.table.take(pa.array(np.random.default_rng(0).permutation(table.n_rows))))
    assert decisions_table(route_candidates(shuffled, RoutingConfig())).equals(decisions_table(route_candidates(table, RoutingConfig())))


def test_somebody_elses_table_keeps_the_q_it_states():
    table = candidates(pooled(p_value=1e-7, q_value=0.131), local(p_value=1e-7, q_value=0.02))
    np.testing.assert_array_equal(candidate_q_values(table, Significance(method="fdr_by")), [0.131, 0.02])
    assert route(route_candidates(table, RoutingConfig(experimental=Experimental(max_p=0.0)))) == "ROUTE_SYMBOL_SPECIFIC"


def test_a_table_that_says_how_it_was_corrected_is_corrected_again_when_another_way_is_asked_for():
    asked = Significance(method="fdr_bh", family="all")
    table = replace(candidates(local("A", p_value=0.02, q_value=0.5), local("B", p_value=0.5, q_value=0.5)), corrected_by=asked.name)
    np.testing.assert_array_equal(candidate_q_values(table, asked), [0.5, 0.5])
    np.testing.assert_allclose(candidate_q_values(table, Significance(method="none", family="all")), [0.02, 0.5])


# The symbol's own interval, .53 to .59 at 95%, means an error of .0153 and at one-sided 95% an upper bound .0252 above the pooled score there.
@pytest.mark.parametrize(("pooled_there", "wanted"), [(0.47, "ROUTE_SYMBOL_SPECIFIC"), (0.48, "ROUTE_BOTH")])
def test_a_pooled_score_without_a_bound_of_its_own_is_harmful_by_the_error_of_the_local_score(pooled_there, wanted):
    assert route(decide(pooled(), local(pooled_score_on_symbol=pooled_there))) == wanted


@pytest.mark.parametrize(("pooled_there", "wanted"), [(-0.05, "ROUTE_SYMBOL_SPECIFIC"), (-0.04, "ROUTE_BOTH")])
def test_without_any_interval_it_is_harmful_by_the_error_of_chance(pooled_there, wanted):
    # 1.645 / sqrt(1500) = .0425
    own = {"task_type": "REGRESSION", "score_null": None, "score_ci_low": None, "score_ci_high": None, "score": 0.3}
    assert route(decide(pooled(**own), local(**own, pooled_score_on_symbol=pooled_there))) == wanted
