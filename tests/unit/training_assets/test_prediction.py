"""A plan is served by the models that it names, each pair by those of its route."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from config.schema import Config
from tests.panels import REGRESSION_TARGET, make_panel, pooled_job, symbol_job
from training_assets.contracts import Route, Stage, TrainingJob
from training_assets.model_store import PREDICTION_COLUMNS, load_model
from training_assets.panel.panel import Panel
from training_assets.prediction import jobs_without_models, missing_models, predict_plan
from training_assets.trainer import train_blends, train_jobs

FAMILIES = ("Ridge", "LightGBM")


@pytest.fixture(scope="module")
def panel() -> Panel:
    return make_panel(4, 400)


@pytest.fixture(scope="module")
def jobs(panel: Panel) -> list[TrainingJob]:
    return [
        pooled_job(panel, REGRESSION_TARGET, FAMILIES, ("S000", "S001"), for_blends=True),
        symbol_job(panel, "S001", REGRESSION_TARGET, FAMILIES, Route.BOTH),
        symbol_job(panel, "S002", REGRESSION_TARGET, FAMILIES),
        symbol_job(panel, "S003", REGRESSION_TARGET, ("Ridge",), Route.EXPERIMENTAL_ONLY),
    ]


@pytest.fixture(scope="module")
def output(panel: Panel, jobs: list[TrainingJob], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    (folder / "panel").mkdir()
    panel.write(folder / "panel")
    outcomes = [*train_jobs(jobs, folder / "panel", Config(), folder, Stage.CPU), *train_blends(jobs, folder / "panel", Config(), folder)]
    assert not [failure for outcome in outcomes for failure in outcome.failures]
    return folder


def test_each_pair_is_served_by_every_model_of_its_route_at_its_newest_bar(panel: Panel, jobs: list[TrainingJob], output: Path) -> None:
    table, unusable = predict_plan(panel, output / "models", jobs)
    assert tuple(table.columns) == PREDICTION_COLUMNS
    assert table.groupby("symbol")["route"].agg(set).to_dict() == {
        "S000": {"ROUTE_CROSS_SECTIONAL"},
        "S001": {"ROUTE_BOTH"},
        "S002": {"ROUTE_SYMBOL_SPECIFIC"},
    }
    assert table.groupby("symbol").size().to_dict() == {"S000": 2, "S001": 2, "S002": 2}
    assert table["model_id"].is_unique
    assert set(table["timestamp"].astype("int64")) == {int(panel.times_ns[-1])}
    assert missing_models(jobs, output / "models") == []
    assert unusable == {}


def test_the_experimental_lane_is_left_out_unless_asked_for(panel: Panel, jobs: list[TrainingJob], output: Path) -> None:
    asked, _ = predict_plan(panel, output / "models", jobs, include_experimental=True)
    experimental = asked[asked["symbol"] == "S003"]
    assert experimental["route"].tolist() == ["ROUTE_EXPERIMENTAL_ONLY"]
    rest = asked[asked["symbol"] != "S003"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, predict_plan(panel, output / "models", jobs)[0])


def test_the_whole_panel_is_predicted_as_each_model_alone_predicts_it(panel: Panel, jobs: list[TrainingJob], output: Path) -> None:
    table, _ = predict_plan(panel, output / "models", jobs, newest_only=False)
    model = load_model(output / "models" / REGRESSION_TARGET / "symbol=S002" / "Ridge")
    served = table[table["model_id"] == model.card.model_id].reset_index(drop=True)
    pd.testing.assert_frame_equal(served, model.predict(panel)[list(PREDICTION_COLUMNS)])


def test_models_of_another_plan_do_not_serve_this_one_and_are_named_as_missing(panel: Panel, jobs: list[TrainingJob], output: Path) -> None:
    changed = [replace(job, features=job.features[:2]) for job in jobs]
    assert len(predict_plan(panel, output / "models", [replace(jobs[2], features=jobs[2].features[:2])])[0]) == 0
    names = [folder.name for folder in missing_models([changed[2]], output / "models")]
    assert names == ["Ridge", "LightGBM"]


def test_some_of_a_plans_jobs_are_served_as_the_whole_plan_says(panel: Panel, jobs: list[TrainingJob], output: Path) -> None:
    """The pooled job alone predicts no pair routed BOTH, and the pair alone is served by its blends."""
    pooled, pair = ([job] for job in jobs[:2])
    assert set(predict_plan(panel, output / "models", pooled, plan_jobs=jobs)[0]["symbol"]) == {"S000"}
    assert len(predict_plan(panel, output / "models", pair, plan_jobs=jobs)[0]) == 2
    assert missing_models(pair, output / "models", plan_jobs=jobs) == []
    assert jobs_without_models(pair, output / "models", jobs) == ()


def test_a_blend_that_stands_on_a_pooled_model_of_another_plan_does_not_serve_this_one(panel: Panel, jobs: list[TrainingJob], output: Path) -> None:
    """The pair's own features are a part of what the blend reads, and the pooled part of an earlier plan read more."""
    narrow = [replace(job, features=job.features[:2]) for job in jobs[:2]]
    assert len(predict_plan(panel, output / "models", narrow)[0]) == 0
    assert [folder.name for folder in missing_models(narrow[1:], output / "models", plan_jobs=narrow)] == ["Blend-Ridge", "Blend-LightGBM"]


def test_models_that_were_never_trained_have_no_rows_and_are_named(panel: Panel, jobs: list[TrainingJob], tmp_path: Path) -> None:
    assert tuple(predict_plan(panel, tmp_path / "models", jobs)[0].columns) == PREDICTION_COLUMNS
    assert len(missing_models(jobs, tmp_path / "models", include_experimental=True)) == 7


def test_a_model_that_was_spoiled_costs_its_own_rows_and_says_why(panel: Panel, jobs: list[TrainingJob], output: Path, tmp_path: Path) -> None:
    shutil.copytree(output / "models", tmp_path / "models")
    spoiled = tmp_path / "models" / REGRESSION_TARGET / "symbol=S002" / "Ridge"
    (spoiled / "oos_predictions.parquet").write_bytes(b"cut")
    table, unusable = predict_plan(panel, tmp_path / "models", jobs)
    assert list(unusable) == [spoiled]
    assert "changed since it was written" in unusable[spoiled]
    assert table.groupby("symbol").size().to_dict() == {"S000": 2, "S001": 2, "S002": 1}


def test_jobs_that_lack_a_model_are_those_whose_folder_is_gone_or_of_another_plan(panel: Panel, jobs: list[TrainingJob], output: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(output / "models", models)
    assert jobs_without_models(jobs, models) == ()
    lost = next(job for job in jobs if job.symbol is not None)
    for folder in (models / lost.target / f"symbol={lost.symbol}").iterdir():
        shutil.rmtree(folder)
    assert jobs_without_models(jobs, models) == (lost,)
    changed = [replace(job, features=job.features[:1]) if job is not lost else job for job in jobs]
    assert jobs_without_models(changed, models) == tuple(changed)
