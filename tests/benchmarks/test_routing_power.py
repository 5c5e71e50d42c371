"""What share of pairs with a planted signal is found, by kind and strength; prints the table of docs/statistics.md.

SWITCHYARD_BENCHMARK_FULL=1 OMP_NUM_THREADS=1 pytest tests/benchmarks/test_routing_power.py -s
"""

import os

import pandas as pd

from config.load import load_config
from tests.routing_worlds import planted_panel, routed

FULL = os.environ.get("SWITCHYARD_BENCHMARK_FULL") == "1"
KINDS = ("shared", "mixed", "opposite", "own", "short") if FULL else ("shared", "opposite")
STRENGTHS = (0.05, 0.07, 0.10, 0.15) if FULL else (0.05, 0.10)
N_SEEDS = 5 if FULL else 1


def test_share_of_planted_signals_that_is_found():
    config = load_config(None, ["scoring.families=[Ridge]"])
    found: dict[str, list[float]] = {}
    for kind in KINDS:
        for strength in STRENGTHS:
            table = pd.concat([routed(planted_panel(kind, strength, seed), config) for seed in range(N_SEEDS)])
            found.setdefault(kind, []).append(float((table["route"] != "ROUTE_BLOCKED").mean()))
    print(f"\n{pd.DataFrame(found, index=list(STRENGTHS)).T.round(2).to_string()}")
    assert min(found["shared"]) >= 0.9
    assert found["opposite"][-1] >= 0.9
