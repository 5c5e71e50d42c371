"""The names for notebooks: what they give, that they agree with the domain, and what they say when they cannot."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.load import ConfigError, load_config
from config.stored import SETTINGS_FILE
from routing_assets import api
from routing_assets.decisions import policy
from routing_assets.evidence.candidates_table import write_candidates
from tests.candidate_rows import candidates, local, pooled
from training_assets.model_store import ModelError

TABLE = candidates(pooled(), local("AAPL"), local("MSFT", score=0.60), local("IBM", q_value=0.5, p_value=0.4))


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api_bars")
    generator = np.random.default_rng(1)
    times = pd.date_range("2018-01-01", periods=300, freq="B", tz="UTC")
    for symbol in ("AAA", "BBB", "CCC"):
        close = 100 * np.exp(np.cumsum(0.01 * generator.normal(size=300)))
        pd.DataFrame({"timestamp": times, "open": close, "high": close * 1.01, "low": close * 0.99, "close": close}).to_parquet(folder / f"{symbol}.parquet")
    return folder


def test_a_panel_loads_with_its_bars_on_the_same_rows(bars: Path) -> None:
    loaded = api.load_panel(bars, symbols=["AAA", "CCC"], overrides=["features.max_lookback_bars=30"])
    assert loaded.panel.symbols == loaded.bars.symbols == ("AAA", "CCC")
    assert loaded.panel.features.shape == (len(loaded.panel.feature_infos), 600)
    assert np.array_equal(loaded.panel.time_codes, loaded.bars.time_codes)
    assert loaded.problems == ()
    assert any("volume" in note for note in loaded.notes)


def test_a_symbol_that_cannot_be_used_is_a_line_and_the_others_load(bars: Path, tmp_path: Path) -> None:
    for path in bars.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "BAD.parquet").write_bytes(b"no parquet")
    loaded = api.load_panel(tmp_path)
    assert len(loaded.panel.symbols) == 3
    assert loaded.problems[0].startswith("BAD: ")


def test_an_unknown_setting_names_the_nearest(bars: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'targets\.top_n'"):
        api.load_panel(bars, overrides=["targets.topn=3"])


def test_routes_and_what_if_are_those_of_the_domain() -> None:
    config = load_config()
    routed = api.route_candidates(TABLE, config)
    assert np.array_equal(routed.decisions.routes, policy.route_candidates(TABLE, config.routing).routes)
    assert sum(routed.counts().values()) == len(routed.table()) == routed.decisions.n_pairs
    stricter = api.what_if(routed, {"routing.significance.max_q": 0.0, "routing.enable_experimental_lane": False})
    assert sum(stricter.moves.values()) == routed.decisions.n_pairs
    assert {after for _, after in stricter.moves} == {"ROUTE_BLOCKED"}


def test_settings_are_checked_and_the_first_ones_left_alone() -> None:
    config = load_config()
    assert api.changed_config(config, {"routing.significance.max_q": 0.05}).routing.significance.max_q == 0.05
    assert config.routing.significance.max_q != 0.05
    with pytest.raises(ConfigError, match=r"routing\.significance\.max_q"):
        api.changed_config(config, {"routing.significance.max_q": 2})


def test_a_run_is_routed_under_its_own_settings(tmp_path: Path) -> None:
    write_candidates(TABLE, tmp_path / api.CANDIDATES_FILE)
    values = json.dumps({"routing.significance.max_q": 0.0, "routing.enable_experimental_lane": False})
    (tmp_path / SETTINGS_FILE).write_text(json.dumps({"config_dir": None, "overrides": [], "values_json": values}), encoding="utf-8")
    routed = api.read_run(tmp_path)
    assert routed.config.routing.significance.max_q == 0.0
    assert {route for route, count in routed.counts().items() if count} == {"ROUTE_BLOCKED"}


def test_an_unknown_pair_and_a_missing_model_say_what_there_is(tmp_path: Path) -> None:
    routed = api.route_candidates(TABLE)
    with pytest.raises(KeyError, match="no_such_target"):
        api.explain(routed, "no_such_target")
    card = tmp_path / "models" / "t" / "cross_sectional" / "Ridge" / "model_card.json"
    card.parent.mkdir(parents=True)
    card.write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="t/cross_sectional/Ridge"):
        api.load_model(tmp_path, "t", "LightGBM")


def test_importing_the_api_loads_neither_dagster_nor_a_modelling_library() -> None:
    code = "import sys, routing_assets.api; print([name for name in ('dagster', 'torch', 'lightgbm', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
