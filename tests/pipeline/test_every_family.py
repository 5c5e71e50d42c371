"""`switchyard run` with every family by its own name, on a tiny market with small nets: each ends in the leaderboard."""

import json
from pathlib import Path

import pandas as pd

from tests.pipeline.command import TINY_CONFIG, switchyard, write_config, write_market
from training_assets.contracts import Stage
from training_assets.families.registry import FAMILIES
from training_assets.leaderboard import LEADERBOARD_COLUMNS

SMALL = {
    **{name: {"max_rounds": 10} for name in ("LightGBM", "XGBoost", "QuantileLightGBM", "NGBoost")},
    **{name: {"epochs": 1, "hidden": 8} for name, family in FAMILIES.items() if family.stage is Stage.GPU},
    "MetaLearning": {"meta_rounds": 5},
    "RewardBased": {"max_iterations": 20},
}


def test_every_family_is_trained_by_its_own_name_on_whatever_is_routed(tmp_path: Path) -> None:
    config = TINY_CONFIG.replace("families: [Ridge, LightGBM], blend_folds: 2", f"blend_folds: 1, hyperparameters: {json.dumps(SMALL)}")
    options = ("--data-dir", write_market(tmp_path / "market", ("AAA", "BBB"), n_bars=700), "--config-dir", write_config(tmp_path / "config", config))
    answer = switchyard("run", *options, "--output-dir", tmp_path / "out", "--families", *(name.lower() for name in FAMILIES))
    assert answer.status == 0, answer.err
    board = pd.read_parquet(tmp_path / "out" / "METRICS" / "model_leaderboard.parquet")
    assert list(board.columns) == list(LEADERBOARD_COLUMNS)
    assert set(board["family"]) == {*FAMILIES, "Blend"}
    assert not board["score"].isna().any()
