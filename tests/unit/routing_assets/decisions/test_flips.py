"""The columnar nearest flip against the explanation of each pair."""

import pytest

from config.load import load_config
from routing_assets.contracts import ROUTES
from routing_assets.decisions.explain import explain
from routing_assets.decisions.flips import nearest_flips
from routing_assets.decisions.policy import route_candidates
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
