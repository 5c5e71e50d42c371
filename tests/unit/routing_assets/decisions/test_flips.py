"""The columnar nearest flip against the explanation of each pair."""

import numpy as np
import pyarrow as pa
import pytest

from config.load import load_config
from routing_assets.contracts import CANDIDATE_SCHEMA, ROUTES
from routing_assets.decisions.explain import explain
from routing_assets.decisions.flips import nearest_flips, pair_steps
from routing_assets.decisions.policy import route_candidates
from routing_assets.evidence.candidates_table import candidates_from_table
from tests.report_samples import random_candidates


@pytest.mark.parametrize("behaviour", ["EVIDENCE", "ROUTE_BOTH", "PREFER_CS", "PREFER_SYMBOL"])
def test_the_nearest_flip_of_every_pair_is_the_one_that_its_explanation_names(behaviour):
    config = load_config(None, [f"routing.both_strong_behavior={behaviour}", "routing.significance.method=none"], {}).routing
    decisions = route_candidates(random_candidates(("a_1b", "b_1b"), tuple(f"S{number:02d}" for number in range(60)), seed=3), config)
    flips = nearest_flips(decisions, config)
    candidates = decisions.candidates
    seen = set()
    for pair, row in enumerate(decisions.rows.tolist()):
        told = explain(decisions, config, candidates.targets[candidates.target_codes[row]], candidates.symbols[candidates.symbol_codes[row]]).flips
        if not told:
            assert flips.outcomes[pair] == flips.sides[pair] == flips.measures[pair] == -1
            continue
        side = ("CROSS_SECTIONAL", "SYMBOL_SPECIFIC")[flips.sides[pair]]
        assert (told[0].side, told[0].name, told[0].outcome) == (side, flips.names[flips.measures[pair]], ROUTES[flips.outcomes[pair]])
        if told[0].distance is not None:
            assert flips.distances[pair] == pytest.approx(told[0].distance)
        seen.add(told[0].name)
    assert len(seen) >= 4


COLUMNS = {"experimental_score": "score", "experimental_p_value": "p_value"}


def beyond(measure, bound, passed):
    """The nearest value of the column at which the flip says the route is another."""
    if measure.name == "sample_size":
        return bound - 1 if passed else bound
    strict = passed == (measure.comparison in (">=", "<="))
    towards = np.inf if (measure.comparison.startswith(">")) != passed else -np.inf
    return float(np.nextafter(bound, towards)) if strict else bound


@pytest.mark.parametrize("behaviour", ["EVIDENCE", "PREFER_CS"])
def test_every_flip_that_is_told_comes_true_when_the_pair_is_routed_again_with_that_one_change(behaviour):
    overrides = [f"routing.both_strong_behavior={behaviour}", "routing.experimental.max_fraction_symbols_per_target=1.0"]
    config = load_config(None, overrides, {}).routing
    seen = set()
    strong = {"score": 0.1, "q_value": 0.001, "p_value": 1e-4, "sample_size": 9_000, "n_effective": 400.0, "stability": "STABLE", "leakage_status": "SAFE"}
    for seed, pooled in enumerate(({}, {}, strong)):
        rows = random_candidates(("a_1b",), tuple(f"S{number:02d}" for number in range(20)), seed).table.cast(CANDIDATE_SCHEMA).to_pylist()
        table = pa.Table.from_pylist([{**rows[0], **pooled}, *rows[1:]], schema=CANDIDATE_SCHEMA)
        seen |= told_and_true(candidates_from_table(table), config)
    wanted = {"score", "q_value", "stability", "leakage_status", "n_effective", "experimental_p_value", "pooled_score_on_symbol_ci_high"}
    assert wanted | ({"local_minus_pooled_ci_low", "local_minus_pooled_ci_high"} if behaviour == "EVIDENCE" else set()) <= seen


def told_and_true(candidates, config):
    """Names of the measures whose flips were told of some pair, each held against the route that the pair then really has."""
    decisions = route_candidates(candidates, config)
    q_values = next(measure.values for result in decisions.side.gates for measure in result.measures if measure.name == "q_value")
    seen = set()
    for pair in range(decisions.n_pairs):
        for step in pair_steps(decisions, config, np.array([pair])):
            if not step.applies[0] or step.measure.name in ("n_successful_families", "model_status", "n_unsafe_features"):
                continue
            pooled_side = step.mode == "CROSS_SECTIONAL" and step.measure.name != "pooled_score_on_symbol_ci_high"
            row = int(decisions.pooled_rows[pair] if pooled_side else decisions.rows[pair])
            name = COLUMNS.get(step.measure.name, step.measure.name)
            passed, bound = bool(step.measure.passed[row]), step.measure.bounds[row]
            new = step.word if step.word is not None else beyond(step.measure, float(bound), passed)
            rows = candidates.table.cast(CANDIDATE_SCHEMA).to_pylist()
            for place, q_value in enumerate(q_values):
                rows[place]["q_value"] = None if np.isnan(q_value) else float(q_value)
            rows[row][name] = new
            again = route_candidates(candidates_from_table(pa.Table.from_pylist(rows, schema=CANDIDATE_SCHEMA)), config)
            assert ROUTES[again.routes[pair]] == ROUTES[step.outcomes[0]], (pair, step.mode, step.measure.name, new)
            seen.add(step.measure.name)
    return seen
