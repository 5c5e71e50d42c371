"""A leak beside an honest signal is quarantined, and every pair is then routed as on the same panel without the leak; what is done is told in words."""

import json
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from resources.instance import open_instance
from tests.pipeline.command import switchyard, write_config

HORIZON = 5
SIGNAL = {"AAA": 0.3, "BBB": 0.3, "CCC": 0.3, "DDD": 0.0, "EEE": 0.0}
CONFIG = """\
targets:
  builtin: []
  auto_rank: false
features: {builtin: false, auto_select: false}
scoring: {families: [Ridge]}
routing:
  min_sample_size: {symbol: 200, cross_sectional: 500, effective_symbol: 20, effective_cross_sectional: 50}
  stability_classification: {n_blocks: 4, n_bootstraps: 5}
resources: {workers: 1}
"""
Plant = Callable[[pd.DataFrame, np.random.Generator], pd.Series]
LEAKS: dict[str, tuple[str, Plant]] = {
    "the label under noise": ("single_feature_skill", lambda frame, rng: frame["y_5b"] + rng.normal(size=len(frame)) * frame["y_5b"].std() * 0.5),
    "tomorrow's price level": ("later_bars", lambda frame, rng: frame["close"].shift(-1)),
}


def market(symbol: str, n_bars: int = 1_000) -> pd.DataFrame:
    """Daily bars, three honest columns of which `alpha` foresees the next bars where the symbol has a signal, and the five-bar label."""
    rng = np.random.default_rng([7, ord(symbol[0])])
    alpha = rng.normal(size=n_bars)
    moves = 0.01 * rng.standard_t(5, n_bars)
    moves[1:] += SIGNAL[symbol] * 0.02 * alpha[:-1]
    close = 100.0 * np.exp(np.cumsum(moves))
    spread = np.exp(0.003 * np.abs(rng.normal(size=(2, n_bars))))
    times = pd.date_range("2015-01-01", periods=n_bars, freq="B")
    frame = pd.DataFrame({"timestamp": times, "open": close, "high": close * spread[0], "low": close / spread[1], "close": close, "volume": 1e6})
    frame["alpha"], frame["noise"] = alpha, rng.normal(size=n_bars)
    frame["momentum"] = frame["close"].pct_change(10)
    frame["y_5b"] = frame["close"].shift(-HORIZON) / frame["close"] - 1.0
    return frame


def plan(root: Path, name: str, leak: Plant | None) -> Path:
    folder = root / name / "bars"
    folder.mkdir(parents=True)
    for place, symbol in enumerate(SIGNAL):
        frame = market(symbol)
        if leak is not None:
            frame["leak"] = leak(frame, np.random.default_rng([11, place]))
        frame.to_parquet(folder / f"{symbol}.parquet")
    config = write_config(root / "config", CONFIG)
    answer = switchyard("plan", "--data-dir", folder, "--config-dir", config, "--output-dir", root / name / "out")
    assert answer.status == 0, answer.err
    return root / name / "out"


def routes(out: Path) -> dict[str, str]:
    document = json.loads((out / "METRICS" / "routing_plan" / "routing_plan.json").read_text())
    return {symbol: pair["route"] for symbol, pair in document["targets"]["y_5b"]["symbols"].items()}


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The output folder of each plan, by leak; the clean one under its own name."""
    root = tmp_path_factory.mktemp("beside")
    return {name: plan(root, str(place), leak) for place, (name, leak) in enumerate([("clean", None), *((name, leak) for name, (_, leak) in LEAKS.items())])}


@pytest.mark.parametrize("name", LEAKS)
def test_with_the_leak_quarantined_every_pair_routes_as_without_it(outs: dict[str, Path], name: str) -> None:
    audit = pd.read_parquet(outs[name] / "METRICS" / "leakage_audit.parquet")
    found = audit[(audit["feature"] == "leak") & (audit["status"] == "BLOCKED")]
    assert LEAKS[name][0] in set(found["detector"])
    assert found["score_with"].notna().all()
    assert routes(outs[name]) == routes(outs["clean"])
    assert {routes(outs["clean"])[symbol] for symbol in ("AAA", "BBB", "CCC")} <= {"ROUTE_CROSS_SECTIONAL", "ROUTE_BOTH", "ROUTE_SYMBOL_SPECIFIC"}
    jobs = json.loads((outs[name] / "globals" / "training_plan" / "master_training_plan.json").read_text())["jobs"]
    assert jobs
    assert all("leak" not in job["features"] for job in jobs)


def test_explain_and_the_plans_page_tell_the_finding_in_words(outs: dict[str, Path]) -> None:
    out = outs["tomorrow's price level"]
    said = switchyard("explain", "y_5b", "AAA", "--output-dir", out)
    assert said.status == 0
    page = (out / "METRICS" / "routing_plan" / "routing_plan.md").read_text()
    assert "## Leakage" in page
    assert "BLOCKED later\\_bars, feature leak" in page
    for words in ("BLOCKED later_bars, feature leak", ">= 0.4", "made of bars that had not happened", "leave it out", "leakage.accept", "and 0."):
        assert words in said.out
    document = json.loads(switchyard("explain", "y_5b", "AAA", "--output-dir", out, "--json").out)
    assert any("later_bars" in line for line in document["leakage"])


def test_a_plan_without_findings_says_that_every_detector_ran(outs: dict[str, Path]) -> None:
    assert "Every detector that applies ran" in (outs["clean"] / "METRICS" / "routing_plan" / "routing_plan.md").read_text()
    assert "leakage:" not in switchyard("explain", "y_5b", "AAA", "--output-dir", outs["clean"]).out


def test_every_suite_has_its_page_and_its_checks_lead_there(outs: dict[str, Path]) -> None:
    pages = {page.relative_to(outs["clean"] / "data_docs").parts[1] for page in (outs["clean"] / "data_docs").rglob("validations/**/*.html")}
    assert pages == {"bars", "panel", "candidates", "routing_plan", "training_plan"}
    checks = {"market_bars": "bars_quality", "panel": "panel_quality", "routing_candidates": "candidates_quality"}
    checks |= {"routing_plan": "routing_plan_quality", "training_plan": "training_plan_quality"}
    with open_instance(outs["clean"]) as instance:
        for asset, check in checks.items():
            key = dg.AssetCheckKey(dg.AssetKey(asset), check)
            (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
            evaluation = record.event.dagster_event.event_specific_data
            assert evaluation.passed, evaluation.metadata
            assert Path(evaluation.metadata["data_docs"].value.removeprefix("file://")).is_file()
