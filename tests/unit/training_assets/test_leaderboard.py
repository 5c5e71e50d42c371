"""The leaderboard holds the models of its plan, and no other that lies beside them."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.schema import Config
from tests.panels import REGRESSION_TARGET, make_panel, plan_of, pooled_job, symbol_job
from training_assets.contracts import Route, Stage, TrainingJob
from training_assets.leaderboard import leaderboard_frame, read_cards
from training_assets.panel.panel import Panel
from training_assets.trainer import train_blends, train_jobs

FAMILIES = ("Ridge", "LightGBM")


@pytest.fixture(scope="module")
def panel() -> Panel:
    return make_panel(3, 400)


@pytest.fixture(scope="module")
def jobs(panel: Panel) -> list[TrainingJob]:
    return [
        pooled_job(panel, REGRESSION_TARGET, FAMILIES, for_blends=True),
        symbol_job(panel, "S000", REGRESSION_TARGET, FAMILIES, Route.BOTH),
        symbol_job(panel, "S001", REGRESSION_TARGET, FAMILIES),
    ]


@pytest.fixture(scope="module")
def output(panel: Panel, jobs: list[TrainingJob], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    (folder / "panel").mkdir()
    panel.write(folder / "panel")
    outcomes = [*train_jobs(jobs, folder / "panel", Config(), folder, Stage.CPU), *train_blends(jobs, folder / "panel", Config(), folder)]
    assert not [failure for outcome in outcomes for failure in outcome.failures]
    return folder


def listed(panel: Panel, output: Path, *jobs: TrainingJob) -> list[tuple[str | None, str]]:
    frame = leaderboard_frame(read_cards(output / "models", plan_of(panel, *jobs)))
    return sorted((symbol or "", family) for symbol, family in zip(frame["symbol"], frame["family"], strict=True))


def test_every_model_of_the_plan_is_listed_once(panel: Panel, jobs: list[TrainingJob], output: Path) -> None:
    own = [("", family) for family in ("LightGBM", "Ridge")]
    pair = [("S000", family) for family in ("Blend", "Blend", "LightGBM", "Ridge")]
    assert listed(panel, output, *jobs) == [*own, *pair, *(("S001", family) for family in ("LightGBM", "Ridge"))]


def test_models_that_an_earlier_plan_left_under_the_same_job_id_are_not_listed(panel: Panel, jobs: list[TrainingJob], output: Path) -> None:
    pooled, pair, alone = jobs
    assert listed(panel, output, replace(alone, features=("f0",))) == []
    assert listed(panel, output, replace(alone, stage_families={Stage.CPU: ("Ridge",)})) == [("S001", "Ridge")]
    assert listed(panel, output, replace(pooled, symbols=("S000", "S001"))) == []
    # The pair's own models are of the plan; its blends stand on a pool that is not.
    assert listed(panel, output, replace(pooled, symbols=("S000", "S001")), pair) == [("S000", "LightGBM"), ("S000", "Ridge")]
