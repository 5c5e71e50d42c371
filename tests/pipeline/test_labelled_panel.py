"""A folder of one's own panel, features and targets in it, to trained models in three commands and without a line of code or of configuration."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from routing_assets.api import load_model
from tests.pipeline.command import switchyard

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
N_BARS = 1_500


def write_labelled_panel(folder: Path) -> None:
    """Daily bars of which the feature `known` tells a little of the next return for every symbol alike; `y_noise_3d` is told by nothing."""
    folder.mkdir()
    generator = np.random.default_rng(7)
    for symbol in SYMBOLS:
        features = generator.normal(size=(N_BARS, 4))
        returns = 0.01 * (np.r_[0.0, 0.12 * features[:-1, 0]] + generator.normal(size=N_BARS))
        close = 100.0 * np.exp(np.cumsum(returns))
        frame = pd.DataFrame({"timestamp": pd.date_range("2015-01-01", periods=N_BARS, freq="D"), "open": close, "close": close})
        frame["high"], frame["low"] = close * 1.004, close * 0.996
        frame[["known", "idle_a", "idle_b", "idle_c"]] = features
        frame["fwd_ret_1d"] = np.r_[np.exp(returns[1:]) - 1.0, np.nan]
        frame["y_noise_3d"] = np.r_[generator.normal(size=N_BARS - 3), np.full(3, np.nan)]
        frame.to_parquet(folder / f"{symbol}.parquet")


def test_a_folder_of_own_features_and_targets_is_trained_by_three_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_labelled_panel(tmp_path / "panel")
    made = switchyard("init", "--data-dir", "panel")
    checked = switchyard("validate")
    ran = switchyard("run", "--families", "Ridge", "LightGBM", "--json")
    assert (made.status, checked.status, ran.status) == (0, 0, 0), made.err + checked.err + ran.err

    candidates = pd.read_parquet("results/METRICS/routing_candidates.parquet")
    assert set(candidates["target"]) == {"fwd_ret_1d", "y_noise_3d"}
    routes = json.loads(Path("results/METRICS/routing_plan/routing_plan.json").read_text(encoding="utf-8"))["targets"]
    told = [pair["route"] for pair in routes["fwd_ret_1d"]["symbols"].values()]
    untold = [pair["route"] for pair in routes["y_noise_3d"]["symbols"].values()]
    assert set(told) <= {"ROUTE_CROSS_SECTIONAL", "ROUTE_BOTH", "ROUTE_SYMBOL_SPECIFIC"}
    assert set(untold) == {"ROUTE_BLOCKED"}

    board = pd.read_parquet("results/METRICS/model_leaderboard.parquet")
    assert set(board["target"]) == {"fwd_ret_1d"}
    assert {"Ridge", "LightGBM"} <= set(board["family"])
    pooled = load_model("results", "fwd_ret_1d", "Ridge")
    assert "known" in pooled.card.features
    predicted = switchyard("predict", "--data-dir", "panel", "--json")
    assert predicted.status == 0, predicted.err
