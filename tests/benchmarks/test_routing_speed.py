"""How fast the router is, in processor seconds beside a floor measured in the same run.

Small sizes by default; the sizes of the claim (1,000,000 candidate rows, 100,000 pairs to text) with

    SWITCHYARD_BENCHMARK_FULL=1 OMP_NUM_THREADS=1 pytest tests/benchmarks/test_routing_speed.py -s
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.sections.routing import RoutingConfig
from routing_assets.contracts import CANDIDATE_SCHEMA
from routing_assets.decisions.plan_documents import write_routing_plan
from routing_assets.decisions.policy import decisions_table, route_candidates
from routing_assets.decisions.routing_plan import routing_plan
from routing_assets.evidence.candidates_table import candidates_from_table, parquet_bytes, read_candidates
from tests.benchmarks.conftest import Against

FULL = os.environ.get("SWITCHYARD_BENCHMARK_FULL") == "1"
ROUTE_SHAPE = (1_000, 999) if FULL else (50, 999)  # targets, symbols
TEXT_SHAPE = (100, 1_000) if FULL else (10, 500)
SECONDS_A_ROW = 5.0 / 1_000_000
SECONDS_A_PAIR = 6.0 / 100_000


def synthetic(n_targets: int, n_symbols: int) -> pa.Table:
    """A candidates table with every number filled, a pooled row a target, in a shuffled order of targets and symbols."""
    rng = np.random.default_rng(0)
    n_rows = n_targets * (n_symbols + 1)
    target, symbol = np.divmod(np.arange(n_rows), n_symbols + 1)
    score = rng.normal(0.52, 0.03, n_rows)

    def words(codes: Any, names: list[str], mask: Any = None) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(np.asarray(codes, np.int32), mask=mask), pa.array(names)).cast(pa.string())

    empty = pa.ListArray.from_arrays(pa.array(np.zeros(n_rows + 1), pa.int32()), pa.array([], pa.string()))
    families = pa.ListArray.from_arrays(pa.array(np.arange(n_rows + 1) * 2, pa.int32()), pa.array(["Ridge", "LightGBM"] * n_rows))
    columns = {
        "target": words(target, [f"fwd_ret_{code}b" for code in range(n_targets)]),
        "symbol": words(symbol - 1, [f"SYM{code:05d}" for code in range(n_symbols)], symbol == 0),
        "mode": words(symbol > 0, ["CROSS_SECTIONAL", "SYMBOL_SPECIFIC"]),
        "task_type": words(target % 2, ["BINARY_CLASSIFICATION", "REGRESSION"]),
        "stability": words(rng.integers(0, 4, n_rows), ["STABLE", "DRIFTING", "DIVERGED", "UNKNOWN"]),
        "leakage_status": words(rng.choice(4, n_rows, p=[0.9, 0.05, 0.03, 0.02]), ["SAFE", "SUSPECT", "BLOCKED", "UNKNOWN"]),
        "model_status": words(np.zeros(n_rows), ["OK"]),
        "score": pa.array(score),
        "score_null": pa.array(np.full(n_rows, 0.5)),
        "score_ci_low": pa.array(score - 0.02),
        "p_value": pa.array(rng.uniform(size=n_rows) ** 3),
        "whole_target_p_value": pa.array(rng.uniform(size=n_rows)),
        "q_value": pa.array(rng.uniform(size=n_rows)),
        "n_effective": pa.array(rng.uniform(20, 200, n_rows)),
        "unsafe_features": empty,
        "failed_model_families": empty,
        "attempted_model_families": families,
    }
    for field in CANDIDATE_SCHEMA:
        if field.name not in columns and field.type == pa.int64():
            columns[field.name] = pa.array(rng.integers(100, 5_000, n_rows))
        elif field.name not in columns:
            columns[field.name] = pa.array(rng.normal(size=n_rows)) if field.type == pa.float64() else words(np.zeros(n_rows), ["x"])
    return pa.table([columns[name] for name in CANDIDATE_SCHEMA.names], schema=CANDIDATE_SCHEMA)


@pytest.fixture(autouse=True)
def one_core():
    threads = pa.cpu_count()
    pa.set_cpu_count(1)
    yield
    pa.set_cpu_count(threads)


def test_a_million_candidates_are_read_gated_combined_and_written_in_five_seconds(tmp_path: Path, against: Against):
    source = tmp_path / "candidates.parquet"
    source.write_bytes(parquet_bytes(synthetic(*ROUTE_SHAPE)))
    n_rows = ROUTE_SHAPE[0] * (ROUTE_SHAPE[1] + 1)

    def copy() -> None:
        pq.write_table(pq.read_table(source, partitioning=None), tmp_path / "copy.parquet", compression="zstd")

    def route() -> int:
        decisions = route_candidates(read_candidates(source), RoutingConfig())
        (tmp_path / "decisions.parquet").write_bytes(parquet_bytes(decisions_table(decisions)))
        return decisions.candidates.n_rows

    measured = against(route, copy, "pyarrow reading and writing the same file", "candidate rows", n_rows, n_rows, rounds=3)
    assert measured.result == n_rows
    assert measured.seconds <= max(n_rows * SECONDS_A_ROW, 0.5)


def test_a_hundred_thousand_pairs_become_json_yaml_and_markdown_in_six_seconds(tmp_path: Path, against: Against):
    decisions = route_candidates(candidates_from_table(synthetic(*TEXT_SHAPE)), RoutingConfig())
    made = routing_plan(decisions, RoutingConfig())
    pairs = [pair for entry in made.targets.values() for pair in entry["symbols"].values()]

    def write() -> None:
        write_routing_plan(routing_plan(decisions, RoutingConfig()), tmp_path / "plan", ("json", "yaml", "md"), 1_000_000)

    measured = against(
        write, lambda: [json.dumps(pair, sort_keys=True) for pair in pairs], "json.dumps of every pair, one format of three", "pairs", len(pairs), len(pairs), 3
    )
    assert measured.seconds <= max(decisions.n_pairs * SECONDS_A_PAIR, 0.7)
