"""A blend is its pooled part until its local part earns its say, and stands alone once it is saved."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.schema import Config
from config.sections.base import TaskType
from tests.panels import BINARY_TARGET, CLASS_TARGET, REGRESSION_TARGET, Planted, make_panel, pooled_job, symbol_job
from training_assets.contracts import Route, Stage, TrainingJob
from training_assets.ensemble import blended, choose_strength
from training_assets.model_store import OOS_FILE, load_model, read_card
from training_assets.outcomes import JobOutcome
from training_assets.panel.panel import Panel
from training_assets.samples import gather_rows
from training_assets.serving import serves
from training_assets.trainer import train_blends, train_jobs

MIXED = Planted(pooled=1.0, local=0.6, noise=3.0)


def train_both(panel: Panel, target: str, output: Path, families: tuple[str, ...] = ("Ridge",), symbols: tuple[str, ...] = ("S000",)) -> list[JobOutcome]:
    output.mkdir(exist_ok=True, parents=True)
    (output / "panel").mkdir()
    panel.write(output / "panel")
    jobs = [pooled_job(panel, target, families, for_blends=True)]
    jobs += [symbol_job(panel, symbol, target, families, Route.BOTH) for symbol in symbols]
    for outcome in train_jobs(jobs, output / "panel", Config(), output, Stage.CPU):
        assert outcome.failures == ()
    return list(train_blends(jobs, output / "panel", Config(), output))


@pytest.fixture(scope="module")
def panel() -> Panel:
    return make_panel(4, 600, planted=MIXED)


def test_strength_is_zero_where_the_local_part_is_noise_and_full_where_it_is_the_truth() -> None:
    generator = np.random.default_rng(0)
    truth, noise = generator.normal(size=(2, 4000)).astype(np.float32)
    pooled, weights = (0.5 * truth).astype(np.float32), np.ones(4000, np.float32)
    grid = (0.1, 0.25, 0.5, 1.0)
    assert choose_strength([(pooled, pooled + noise, truth, weights)], grid, TaskType.REGRESSION).strength == 0.0
    assert choose_strength([(pooled, truth, truth, weights)], grid, TaskType.REGRESSION).strength == pytest.approx(1.0, abs=0.01)
    assert choose_strength([(pooled, pooled + truth, truth, weights)], grid, TaskType.REGRESSION).strength == pytest.approx(0.5, abs=0.01)
    assert choose_strength([], grid, TaskType.REGRESSION).strength == 0.0


def test_a_blend_of_strength_zero_is_the_pooled_prediction_and_of_one_the_local() -> None:
    generator = np.random.default_rng(1)
    for task_type, pooled, local in (
        (TaskType.REGRESSION, *generator.normal(size=(2, 50))),
        (TaskType.BINARY_CLASSIFICATION, *generator.uniform(0.1, 0.9, size=(2, 50))),
        (TaskType.MULTICLASS_CLASSIFICATION, *generator.dirichlet(np.ones(3), size=(2, 50))),
    ):
        a, b = pooled.astype(np.float32), local.astype(np.float32)
        assert blended(a, b, 0.0, task_type) is a
        np.testing.assert_allclose(blended(a, b, 1.0, task_type), b, rtol=1e-4)
    middle = blended(np.array([0.2], np.float32), np.array([0.8], np.float32), 0.5, TaskType.BINARY_CLASSIFICATION)
    np.testing.assert_allclose(middle, [0.5], rtol=1e-5)


@pytest.mark.parametrize("target", [REGRESSION_TARGET, BINARY_TARGET, CLASS_TARGET])
def test_a_blend_is_scored_against_its_parts_and_stands_alone(panel: Panel, target: str, tmp_path: Path) -> None:
    (outcome,) = train_both(panel, target, tmp_path, ("Ridge", "LightGBM"))
    assert outcome.failures == ()
    assert len(outcome.models) == 2
    for model in outcome.models:
        metrics = [interval.metric for interval in model.oos_metrics]
        assert metrics == [metrics[0], f"pooled_part.{metrics[0]}", f"local_alone.{metrics[0]}"]
        assert len({interval.n_rows for interval in model.oos_metrics}) == 1
        alone = tmp_path / "alone" / Path(model.path).name
        before = load_model(model.path).predict(panel)
        shutil.copytree(model.path, alone)
        shutil.rmtree(model.path)
        pd.testing.assert_frame_equal(load_model(alone).predict(panel), before)
        assert set(before["route"]) == {"ROUTE_BOTH"}
        assert before["prediction"].notna().all()
        card = read_card(alone)
        assert (card.family, card.details["base_family"]) == ("Blend", alone.name.removeprefix("Blend-"))
        assert {"pooled", "local", "blend.json", OOS_FILE, "model_card.json"} == {path.name for path in alone.iterdir()}


@pytest.mark.parametrize(("target", "n_metrics"), [(REGRESSION_TARGET, 3), (BINARY_TARGET, 2), (CLASS_TARGET, 2)])
def test_a_pair_with_nets_only_gets_a_blend_of_the_pooled_net_and_a_ridge_on_what_it_leaves(target: str, n_metrics: int, tmp_path: Path) -> None:
    panel = make_panel(6, 700, planted=Planted(pooled=1.0, local=1.0, noise=1.0))
    (tmp_path / "panel").mkdir()
    panel.write(tmp_path / "panel")
    config = Config.model_validate({"training": {"hyperparameters": {"MLP": {"epochs": 4, "hidden": 8}}}})
    pooled = replace(pooled_job(panel, target, ("MLP",), for_blends=True), stage_families={Stage.CPU: (), Stage.GPU: ("MLP",)})
    pair = symbol_job(panel, "S001", target, ("MLP",), Route.BOTH, Stage.GPU)
    # With the symbol's own net there, the blend is held against that too.
    trained = list(train_jobs([pooled, pair] if n_metrics == 3 else [pooled], tmp_path / "panel", config, tmp_path, Stage.GPU))
    assert not [failure for outcome in trained for failure in outcome.failures]
    (outcome,) = train_blends([pooled, pair], tmp_path / "panel", config, tmp_path)
    assert outcome.failures == ()
    (model,) = outcome.models
    card, loaded = read_card(Path(model.path)), load_model(model.path)
    assert (Path(model.path).name, card.details["base_family"], card.details["local_family"]) == ("Blend-MLP", "MLP", "Ridge")
    assert {"torch", "scipy", "numpy"} <= card.library_versions.keys()
    assert len(card.oos_metrics) == n_metrics
    scores = [interval.score or 0.0 for interval in card.oos_metrics]
    assert scores[0] > scores[1], "a third of the signal is the symbol's own"
    sample = gather_rows(panel, ("S001",), panel.feature_names).sample(np.ones(700, bool))
    pooled_says, local_says = loaded.model.predict_parts(sample)
    np.testing.assert_array_equal(loaded.model.predict(sample), blended(pooled_says, local_says, card.details["strength"], card.task_type))


def explained(output: Path, panel: Panel, folder_name: str) -> float:
    """Mean over symbols of the share of the label's square that a model explains on the blend's out-of-sample rows."""
    root, shares = output / "models" / REGRESSION_TARGET, []
    for symbol in panel.symbols:
        blend = pd.read_parquet(root / f"symbol={symbol}" / "Blend-Ridge" / OOS_FILE).set_index("timestamp")
        place = root / "cross_sectional" / "Ridge" if folder_name == "pooled" else root / f"symbol={symbol}" / folder_name
        table = pd.read_parquet(place / OOS_FILE)
        predictions = table[table["symbol"] == symbol].set_index("timestamp")["prediction"].reindex(blend.index)
        shares.append(1.0 - float(((blend["label"] - predictions) ** 2).mean() / (blend["label"] ** 2).mean()))
    return float(np.mean(shares))


def test_blends_beat_pooled_and_local_where_neither_is_the_whole_truth(tmp_path: Path) -> None:
    panel = make_panel(8, 900, n_features=8, planted=Planted(pooled=1.0, local=0.4, noise=9.0), seed=2)
    train_both(panel, REGRESSION_TARGET, tmp_path, symbols=panel.symbols)
    blend = explained(tmp_path, panel, "Blend-Ridge")
    assert blend > explained(tmp_path, panel, "pooled")
    assert blend > explained(tmp_path, panel, "Ridge")


def test_blends_come_close_to_local_where_symbols_have_little_in_common(tmp_path: Path) -> None:
    panel = make_panel(4, 1200, planted=Planted(pooled=0.3, local=1.0, noise=3.0))
    train_both(panel, REGRESSION_TARGET, tmp_path, symbols=panel.symbols)
    blend, pooled, local = (explained(tmp_path, panel, name) for name in ("Blend-Ridge", "pooled", "Ridge"))
    assert blend - pooled > 0.8 * (local - pooled) > 0.0


def test_a_blend_keeps_to_the_pooled_part_where_symbols_have_nothing_of_their_own(tmp_path: Path) -> None:
    panel = make_panel(8, 400, n_features=8, planted=Planted(pooled=1.0, local=0.0, noise=9.0), seed=5)
    outcomes = train_both(panel, REGRESSION_TARGET, tmp_path, symbols=panel.symbols)
    blends = [load_model(outcome.models[0].path).model for outcome in outcomes]
    for symbol, blend in zip(panel.symbols, blends, strict=True):
        sample = gather_rows(panel, (symbol,), panel.feature_names).sample(np.ones(400, bool))
        pooled, moved = blend.pooled.predict(sample), blend.predict(sample)
        assert np.std(moved - pooled) < 0.25 * np.std(pooled)
    scores = np.array([[interval.score for interval in outcome.models[0].oos_metrics] for outcome in outcomes]).mean(axis=0)
    assert scores[0] > scores[2]


def test_the_pooled_model_predicts_every_row_out_of_sample_for_blends(panel: Panel, tmp_path: Path) -> None:
    train_both(panel, REGRESSION_TARGET, tmp_path)
    table = pd.read_parquet(tmp_path / "models" / REGRESSION_TARGET / "cross_sectional" / "Ridge" / OOS_FILE)
    assert table["fold"].max() == 4
    assert not table.duplicated(["timestamp", "symbol"]).any()
    assert len(table) > 0.9 * 4 * (panel.holdout_start_code - 3)


def test_a_blend_without_its_pooled_model_fails_and_says_what_to_train(panel: Panel, tmp_path: Path) -> None:
    (tmp_path / "panel").mkdir()
    panel.write(tmp_path / "panel")
    job = symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",), Route.BOTH)
    pooled = pooled_job(panel, REGRESSION_TARGET, ("Ridge",), for_blends=True)
    (outcome,) = train_blends([pooled, job], tmp_path / "panel", Config(), tmp_path)
    assert outcome.models == ()
    assert [failure.family for failure in outcome.failures] == ["Blend-Ridge"]
    assert "no model here" in outcome.failures[0].error


def blend_oos(panel: Panel, output: Path) -> pd.DataFrame:
    """What the blend of S000 was scored on, once everything before it has been trained."""
    (outcome,) = train_both(panel, REGRESSION_TARGET, output)
    assert outcome.failures == ()
    return pd.read_parquet(Path(outcome.models[0].path) / OOS_FILE)


@pytest.mark.parametrize("stop", [500, 830])
def test_nothing_after_a_symbol_ended_changes_what_its_blend_is_scored_on(stop: int, tmp_path: Path) -> None:
    panel = make_panel(4, 1000, planted=MIXED, early_ends={0: stop})
    later = panel.time_codes >= stop
    features, labels = panel.features.copy(), panel.labels.copy()
    features[:, later] = np.random.default_rng(7).normal(size=features[:, later].shape)
    labels[np.isfinite(labels) & (panel.label_end_codes >= stop)] = 1.0
    clean = blend_oos(panel, tmp_path / "clean")
    pd.testing.assert_frame_equal(clean, blend_oos(replace(panel, features=features, labels=labels), tmp_path / "changed"))
    assert len(clean) > 100
    # The same without what the pooled model learned later is no empty promise: what it learned before does count.
    features[:, (panel.time_codes < stop // 2) & (panel.time_codes > 20)] = 0.0
    assert not clean.equals(blend_oos(replace(panel, features=features), tmp_path / "past"))


def test_a_symbol_that_ends_before_any_pooled_fit_on_its_past_has_no_blend_and_is_told_why(tmp_path: Path) -> None:
    (outcome,) = train_both(make_panel(4, 1000, planted=MIXED, early_ends={0: 180}), REGRESSION_TARGET, tmp_path)
    assert outcome.models == ()
    assert "177 rows are left out of the score" in outcome.failures[0].error
    assert "the symbol ends before the others" in outcome.failures[0].error


def test_a_pair_cut_a_few_bars_before_the_pooled_model_is_scored_on_the_part_that_both_have(tmp_path: Path) -> None:
    """So that it keeps the rows of the first block, and the panel's prior, that know labels up to there."""
    panel = make_panel(4, 800, planted=MIXED, early_ends={0: 670})
    table = blend_oos(panel, tmp_path)
    root = tmp_path / "models" / REGRESSION_TARGET
    pooled, own = (pd.read_parquet(root / place / OOS_FILE) for place in ("cross_sectional/Ridge", "symbol=S000/Ridge"))
    start = pooled.loc[pooled["fold"] == pooled["fold"].max(), "timestamp"].min()
    assert own["timestamp"].min() < start
    assert table["timestamp"].min() == start


def test_the_blend_is_held_against_the_plans_own_local_model_on_its_own_rows(tmp_path: Path) -> None:
    panel = make_panel(4, 800, planted=MIXED, early_ends={0: 670})
    pooled, pair = pooled_job(panel, REGRESSION_TARGET, ("Ridge",), for_blends=True), symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",), Route.BOTH)
    (tmp_path / "panel").mkdir()
    panel.write(tmp_path / "panel")

    def blended_now() -> tuple[JobOutcome, list[str]]:
        (outcome,) = train_blends([pooled, pair], tmp_path / "panel", Config(), tmp_path)
        assert outcome.failures == ()
        return outcome, [interval.metric.split(".")[0] for interval in outcome.models[0].oos_metrics[1:]]

    def trained(*jobs: TrainingJob) -> None:
        assert not [failure for outcome in train_jobs(jobs, tmp_path / "panel", Config(), tmp_path, Stage.CPU) for failure in outcome.failures]

    trained(pooled)
    assert blended_now()[1] == ["pooled_part"]
    trained(replace(pair, features=("f0",)))
    assert blended_now()[1] == ["pooled_part"], "the local model of another plan is no measure"
    trained(pair)
    outcome, metrics = blended_now()
    assert (outcome.cached, metrics) == (False, ["pooled_part", "local_alone"])
    local = pd.read_parquet(tmp_path / "models" / REGRESSION_TARGET / "symbol=S000" / "Ridge" / OOS_FILE)
    rows = pd.read_parquet(Path(outcome.models[0].path) / OOS_FILE).merge(local, on="timestamp", suffixes=("", "_local"))
    alone = outcome.models[0].oos_metrics[2]
    assert alone.n_rows == len(rows) < len(local)
    assert alone.score == pytest.approx(rows["label"].corr(rows["prediction_local"], method="spearman"), abs=1e-6)
    assert blended_now()[0].cached


def test_a_blend_is_trained_once_and_again_when_its_pooled_model_changes(panel: Panel, tmp_path: Path) -> None:
    assert [outcome.cached for outcome in train_both(panel, REGRESSION_TARGET, tmp_path)] == [False]
    job = symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",), Route.BOTH)
    whole = pooled_job(panel, REGRESSION_TARGET, ("Ridge",), for_blends=True)
    assert [outcome.cached for outcome in train_blends([whole, job], tmp_path / "panel", Config(), tmp_path)] == [True]
    fewer = pooled_job(panel, REGRESSION_TARGET, ("Ridge",), ("S000", "S001"), for_blends=True)
    list(train_jobs([fewer], tmp_path / "panel", Config(), tmp_path, Stage.CPU))
    assert [outcome.cached for outcome in train_blends([fewer, job], tmp_path / "panel", Config(), tmp_path)] == [False]


def test_a_blend_stands_on_the_pooled_model_of_the_plan_and_on_none_that_an_earlier_plan_left(panel: Panel, tmp_path: Path) -> None:
    train_both(panel, REGRESSION_TARGET, tmp_path)
    whole = pooled_job(panel, REGRESSION_TARGET, ("Ridge",), for_blends=True)
    pair = symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",), Route.BOTH)
    without = replace(pair, features=("f0", "f1"))

    def error(pooled: TrainingJob | None) -> str:
        (outcome,) = train_blends([without], tmp_path / "panel", Config(), tmp_path, plan_jobs=[pooled, without] if pooled else [without])
        assert outcome.models == ()
        return outcome.failures[0].error

    assert "it reads f2, f3 beyond the plan; train the pooled model from this plan first" in error(replace(whole, features=("f0", "f1")))
    assert "it pools S001, S002, S003 beyond the plan" in error(replace(whole, symbols=("S000",)))
    assert "the plan trains LightGBM, not Ridge" in error(replace(whole, stage_families={Stage.CPU: ("LightGBM",)}))
    assert "the plan pools no S000 for value_3b" in error(replace(whole, symbols=("S001",)))
    assert "the plan pools no S000 for value_3b" in error(None)
    (outcome,) = train_blends([without], tmp_path / "panel", Config(), tmp_path, plan_jobs=[whole, without])
    assert outcome.failures == ()
    card = read_card(Path(outcome.models[0].path))
    assert card.features == ("f0", "f1", "f2", "f3")
    assert serves(card, without, whole)
    for other in (replace(whole, features=("f0", "f1")), replace(whole, symbols=("S000", "S001")), None):
        assert not serves(card, without, other)
