"""Each gate and its twin, the states, and what may never un-block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sections.base import LeakageStatus, Stability
from config.sections.routing import Experimental, MinSampleSize, RegressionTiers, RoutingConfig, ScoreBounds, SideThresholds, Significance
from routing_assets.contracts import REASONS, ROUTES, STATES
from routing_assets.decisions.gates import GATES, pass_gates
from routing_assets.decisions.policy import route_candidates
from tests.candidate_rows import candidates, local, pooled

SAFE_ONLY = RoutingConfig(require_safe_features_only=True)
# Gate to the one fault that fails it and no other.
FAULTS = {
    "LEAKAGE": {"leakage_status": "BLOCKED"},
    "SAMPLE_SIZE": {"sample_size": 100},
    "FAMILIES_FAILED": {"failed_model_families": ["Ridge", "LightGBM"]},
    "UNSAFE_FEATURES": {"unsafe_features": ["close_lead_1"]},
    "NOT_SIGNIFICANT": {"p_value": 0.4},
    "STABILITY": {"stability": "DIVERGED"},
    "SCORE": {"score": 0.505},
}
ROW_MAKERS = (pooled, local)


def state_of(config=SAFE_ONLY, row=local, **changes):
    side = pass_gates(candidates(row(**changes)), config)
    return str(STATES[side.states[0]]), str(REASONS[side.reasons[0]])


def test_every_gate_has_a_twin():
    assert [str(gate.code) for gate in GATES] == ["NO_METRICS", *FAULTS]


@pytest.mark.parametrize("make", ROW_MAKERS)
def test_a_clean_row_passes_every_gate(make):
    side = pass_gates(candidates(make()), SAFE_ONLY)
    assert not side.refusals.any()
    assert REASONS[side.reasons[0]] == "PASSED"


@pytest.mark.parametrize("make", ROW_MAKERS)
@pytest.mark.parametrize("gate", FAULTS)
def test_one_fault_fails_its_gate_and_no_other(make, gate):
    refusals = pass_gates(candidates(make(**FAULTS[gate])), SAFE_ONLY).refusals[:, 0]
    assert [str(entry.code) for entry, refused in zip(GATES, refusals, strict=True) if refused] == [gate]


def test_a_row_without_a_score_is_refused_for_having_no_metrics_first():
    assert state_of(score=None) == ("DISALLOWED", "NO_METRICS")


def test_the_first_gate_that_fails_names_the_reason():
    assert state_of(leakage_status="BLOCKED", sample_size=1, score=0.4)[1] == "LEAKAGE"
    assert state_of(sample_size=1, score=0.4)[1] == "SAMPLE_SIZE"


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"score": 0.57}, "STRONG"),
        ({"score": 0.5699}, "WEAK_BUT_OK"),
        ({"score": 0.52}, "WEAK_BUT_OK"),
        ({"score": 0.5199}, "EXPERIMENTAL"),
        ({"score": 0.5099}, "DISALLOWED"),
        ({"p_value": None}, "DISALLOWED"),
        ({"p_value": None, "q_value": 0.05}, "WEAK_BUT_OK"),
        ({"p_value": None, "q_value": 0.5}, "DISALLOWED"),
        ({"stability": None}, "EXPERIMENTAL"),
        ({"stability": "DIVERGED", "p_value": 0.03}, "DISALLOWED"),
        ({"leakage_status": "SUSPECT"}, "EXPERIMENTAL"),
        ({"leakage_status": "SUSPECT", "sample_size": 10}, "DISALLOWED"),
        ({"leakage_status": None}, "DISALLOWED"),
        ({"leakage_status": "UNKNOWN"}, "DISALLOWED"),
        ({"sample_size": None}, "DISALLOWED"),
        ({"n_effective": None}, "WEAK_BUT_OK"),
        ({"n_effective": 39.0}, "DISALLOWED"),
        ({"model_status": "FAILED"}, "DISALLOWED"),
        ({"attempted_model_families": None, "failed_model_families": None}, "WEAK_BUT_OK"),
        ({"unsafe_features": None}, "DISALLOWED"),
    ],
)
def test_a_local_side_gets_the_state_that_the_contract_gives_it(changes, state):
    assert state_of(**{"score": 0.56, **changes})[0] == state


def test_without_a_significance_method_an_unknown_p_passes_and_a_known_one_is_its_own_q():
    config = RoutingConfig(significance=Significance(method="none"))
    assert state_of(config, p_value=None)[0] == "WEAK_BUT_OK"
    assert state_of(config, p_value=0.2)[1] == "NOT_SIGNIFICANT"


def test_an_allow_list_with_suspect_still_leaves_it_the_experimental_lane_only():
    config = RoutingConfig(allowed_feature_leakage_status=(LeakageStatus.SAFE, LeakageStatus.SUSPECT, LeakageStatus.UNKNOWN))
    assert state_of(config, leakage_status="SUSPECT")[0] == "EXPERIMENTAL"
    assert state_of(config, leakage_status="UNKNOWN")[0] == "WEAK_BUT_OK"


def test_a_closed_experimental_lane_disallows_near_misses():
    assert state_of(RoutingConfig(enable_experimental_lane=False), stability="DIVERGED")[0] == "DISALLOWED"


def test_dev_mode_relaxes_leakage_and_sample_gates_only():
    config = RoutingConfig(dev_mode=True)
    assert state_of(config, leakage_status=None, sample_size=None, n_effective=1.0)[0] == "WEAK_BUT_OK"
    assert state_of(config, leakage_status="BLOCKED")[1] == "LEAKAGE"
    assert state_of(config, p_value=0.5)[1] == "NOT_SIGNIFICANT"


@pytest.mark.parametrize(("horizon", "tier"), [(None, 0), (59, 1), (60, 2), (239, 2), (240, 3), (1439, 3), (1440, 4)])
def test_a_regression_bound_is_that_of_its_horizon_tier(horizon, tier):
    low = RegressionTiers(default=0.1, short=0.2, medium=0.3, long=0.4, very_long=0.5)
    bounds = ScoreBounds(regression=low)
    config = RoutingConfig(symbol=SideThresholds(min_score=bounds, strong_score=ScoreBounds(classification=0.9, regression=RegressionTiers(default=0.9))))
    side = pass_gates(candidates(local(task_type="REGRESSION", horizon_minutes=horizon, score=0.35)), config)
    bound = next(measure.bounds[0] for measure in side.gates[-1].measures)
    assert bound == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5)[tier])


def test_a_row_of_unknown_task_meets_the_larger_bound():
    assert state_of(RoutingConfig(enable_experimental_lane=False), task_type=None, score=0.3)[1] == "SCORE"


NUMBERS = st.one_of(st.none(), st.floats(0.0, 1.0))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "score": st.one_of(st.none(), st.floats(0.45, 0.65)),
            "p_value": NUMBERS,
            "sample_size": st.one_of(st.none(), st.integers(0, 5_000)),
            "stability": st.sampled_from([None, *Stability]),
            "leakage_status": st.sampled_from([None, "SAFE", "SAFE", *LeakageStatus]),
            "score_ci_low": st.one_of(st.none(), st.floats(0.4, 0.6)),
        }
    ),
    min_size=2,
    max_size=8,
)
UNCAPPED = Experimental(max_fraction_symbols_per_target=1.0)


def routed(rows, config):
    table = candidates(pooled(**rows[0]), *(local(f"S{place}", **row) for place, row in enumerate(rows[1:])))
    decisions = route_candidates(table, config)
    return decisions, np.array([ROUTES[code] == "ROUTE_BLOCKED" for code in decisions.routes])


def stricter(raised: float) -> dict[str, RoutingConfig]:
    base = {"experimental": UNCAPPED}
    bounds = SideThresholds(
        min_score=ScoreBounds(classification=0.52 + raised), strong_score=ScoreBounds(classification=0.7, regression=RegressionTiers(default=1.0))
    )
    return {
        "score": RoutingConfig(symbol=bounds, **base),
        "q": RoutingConfig(significance=Significance(max_q=0.1 * (1 - raised * 10)), **base),
        "rows": RoutingConfig(min_sample_size=MinSampleSize(symbol=400 + int(raised * 1e5), cross_sectional=2_000 + int(raised * 1e5)), **base),
        "lane": RoutingConfig(experimental=Experimental(max_fraction_symbols_per_target=1.0, max_p=0.02 * (1 - raised * 10))),
        "lane score": RoutingConfig(experimental=Experimental(max_fraction_symbols_per_target=1.0, min_score=0.51 + raised)),
    }


@settings(max_examples=60, deadline=None)
@given(ROWS, st.floats(0.0, 0.1))
def test_raising_a_threshold_never_unblocks_a_pair_or_betters_a_side(rows, raised):
    """The lane's cap apart: a place that one near miss leaves, another may take."""
    before, blocked = routed(rows, RoutingConfig(experimental=UNCAPPED))
    for name, config in stricter(raised).items():
        after, still_blocked = routed(rows, config)
        assert (still_blocked | ~blocked).all(), name
        assert (after.side.states >= before.side.states).all(), name
