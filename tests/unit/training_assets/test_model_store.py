"""A model folder gives back what was saved, names what is wrong with it, and stays where it belongs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest

from config.schema import Config
from tests.panels import BINARY_TARGET, CLASS_TARGET, REGRESSION_TARGET, make_panel, pooled_job, symbol_job
from training_assets.contracts import Stage, TrainingJob
from training_assets.model_store import CARD_FILE, OOS_FILE, ModelError, load_model, model_folder, read_card
from training_assets.panel.panel import Panel
from training_assets.trainer import train_jobs

FAMILIES = ("Ridge", "LightGBM", "XGBoost")


def trained(panel: Panel, job: TrainingJob, output: Path) -> list[Path]:
    (output / "panel").mkdir(parents=True)
    panel.write(output / "panel")
    (outcome,) = train_jobs([job], output / "panel", Config(), output, Stage.CPU)
    assert outcome.failures == ()
    return [Path(model.path) for model in outcome.models]


@pytest.fixture(scope="module")
def panel() -> Panel:
    return make_panel(3, 300, late_starts={1: 40})


@pytest.fixture
def folder(panel: Panel, tmp_path: Path) -> Path:
    return trained(panel, symbol_job(panel, "S000", REGRESSION_TARGET, ("Ridge",)), tmp_path)[0]


@pytest.mark.parametrize("target", [REGRESSION_TARGET, BINARY_TARGET, CLASS_TARGET])
def test_a_loaded_model_predicts_what_training_would_have_on_any_part_of_the_panel(panel: Panel, target: str, tmp_path: Path) -> None:
    for folder in trained(panel, pooled_job(panel, target, FAMILIES), tmp_path):
        model = load_model(folder)
        everything = model.predict(panel)
        assert len(everything) == panel.n_rows
        assert everything["prediction"].notna().all()
        one = model.predict(panel, ["S001"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(one, everything[everything["symbol"] == "S001"].reset_index(drop=True))
        newest = model.predict(panel, newest_only=True)
        pd.testing.assert_frame_equal(newest.reset_index(drop=True), everything.groupby("symbol").tail(1).reset_index(drop=True))
        pd.testing.assert_frame_equal(load_model(folder).predict(panel), everything)


def test_a_multi_class_prediction_is_the_mean_of_class_values_and_a_binary_one_a_probability(panel: Panel, tmp_path: Path) -> None:
    (classes,) = trained(panel, pooled_job(panel, CLASS_TARGET, ("Ridge",)), tmp_path / "a")
    (binary,) = trained(panel, pooled_job(panel, BINARY_TARGET, ("Ridge",)), tmp_path / "b")
    table = pd.read_parquet(classes / OOS_FILE)
    probabilities = table[["probability_0", "probability_1", "probability_2"]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(table["prediction"], probabilities @ np.array([-1.0, 0.0, 1.0]), atol=1e-6)
    assert load_model(binary).predict(panel)["prediction"].between(0.0, 1.0).all()
    assert load_model(classes).predict(panel)["prediction"].min() < 0.0


def test_out_of_sample_predictions_name_their_rows_and_end_before_the_holdout(panel: Panel, folder: Path) -> None:
    table = pd.read_parquet(folder / OOS_FILE)
    assert list(table.columns) == ["timestamp", "symbol", "target", "fold", "label", "prediction"]
    rows = panel.rows_of("S000")
    codes = np.searchsorted(panel.times_ns, table["timestamp"].astype("int64"))
    np.testing.assert_array_equal(table["label"], panel.labels[0, rows][codes])
    assert (panel.label_end_codes[0, rows][codes] < panel.holdout_start_code).all()
    assert set(table["fold"]) == {0}


def test_later_bars_do_not_change_an_earlier_prediction(panel: Panel, tmp_path: Path) -> None:
    (folder,) = trained(panel, pooled_job(panel, REGRESSION_TARGET, ("LightGBM",)), tmp_path)
    features = panel.features.copy()
    features[:, panel.time_codes >= 200] += 3.0
    before, after = load_model(folder).predict(panel), load_model(folder).predict(replace(panel, features=features))
    early = panel.time_codes < 200
    pd.testing.assert_frame_equal(before[early], after[early])
    assert not before[~early].equals(after[~early])


def test_features_are_found_by_name_whatever_their_order(panel: Panel, folder: Path) -> None:
    turned = replace(panel, features=panel.features[::-1], feature_infos=panel.feature_infos[::-1])
    pd.testing.assert_frame_equal(load_model(folder).predict(turned), load_model(folder).predict(panel))


def test_a_panel_without_a_feature_and_a_symbol_nobody_trained_are_named(panel: Panel, folder: Path) -> None:
    model = load_model(folder)
    with pytest.raises(ModelError, match="f3"):
        model.predict(replace(panel, features=panel.features[:3], feature_infos=panel.feature_infos[:3]))
    with pytest.raises(ModelError, match="was not trained on S002; it knows S000"):
        model.predict(panel, ["S002"])
    assert len(model.predict(replace(panel, symbols=("X", "Y", "Z")))) == 0


def test_a_changed_missing_or_added_file_is_named(folder: Path) -> None:
    state = folder / "state.safetensors"
    content = state.read_bytes()
    state.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"state\.safetensors: changed since it was written"):
        load_model(folder)
    state.unlink()
    with pytest.raises(ModelError, match=r"state\.safetensors: missing"):
        load_model(folder)
    state.write_bytes(content)
    (folder / "extra.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match=r"extra\.pkl: not part of the model"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "cannot be read"), (b"{", "cannot be read"), (b"[]", "not a model card"), (b'{"target": "a"}', "not a model card"), (b"null", "not a model card")],
)
def test_a_card_that_is_none_is_refused(folder: Path, content: bytes, said: str) -> None:
    (folder / CARD_FILE).write_bytes(content)
    with pytest.raises(ModelError, match=said):
        load_model(folder)


def test_a_card_with_an_unknown_family_or_field_is_refused(folder: Path) -> None:
    document = orjson.loads((folder / CARD_FILE).read_bytes())
    (folder / CARD_FILE).write_bytes(orjson.dumps({**document, "family": "Oracle"}))
    with pytest.raises(ModelError, match="Oracle"):
        load_model(folder)
    (folder / CARD_FILE).write_bytes(orjson.dumps({**document, "surprise": 1}))
    with pytest.raises(ModelError, match="unknown fields surprise"):
        load_model(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model here"):
        load_model(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "..", ".", "a/b", "", "con\x00trol", "x" * 400, "ünïcode"])
def test_no_name_leads_a_model_out_of_its_root(name: str, tmp_path: Path) -> None:
    root = tmp_path / "models"
    for folder in (model_folder(root, name, "S", "Ridge"), model_folder(root, "t", name, "Ridge"), model_folder(root, "t", None, name)):
        assert folder.resolve().is_relative_to(root.resolve())
        assert len(folder.relative_to(root).parts) == 3


def test_the_card_reads_back_as_it_was_written(folder: Path) -> None:
    card = read_card(folder)
    assert isinstance(card.oos_metrics[0].score, float)
    assert set(card.details["files"]) == {"model.json", "state.safetensors", OOS_FILE}
    assert card.fit_seconds > 0
