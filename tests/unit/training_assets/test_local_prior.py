"""The panel's prior on local parts is found where it was planted, and is infinite where symbols have nothing of their own."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from config.schema import Config
from config.sections.base import TaskType
from tests.panels import BINARY_TARGET, CLASS_TARGET, REGRESSION_TARGET, Planted, make_panel, pooled_job, symbol_job
from training_assets.contracts import Route, Stage
from training_assets.families.linear import strongest_without_doubt
from training_assets.families.preprocessing import Rows
from training_assets.local_prior import LOCAL_PRIOR_ROWS, local_prior_rows
from training_assets.model_store import read_card
from training_assets.panel.panel import Panel
from training_assets.samples import JobRows, gather_rows
from training_assets.trainer import train_blends, train_jobs


def rows_of(panel: Panel, target: str) -> tuple[JobRows, NDArray[np.int64]]:
    rows = gather_rows(panel, panel.symbols, panel.feature_names, target, panel.holdout_start_code)
    return rows, np.flatnonzero(rows.usable)


@pytest.mark.parametrize("local", [0.1, 0.3, 1.0])
def test_the_prior_is_the_noise_over_the_variance_of_the_symbols_own_weights(local: float) -> None:
    """Labels of one bar, so that a row is a row; noise 3, weights of their own with deviation `local`."""
    panel = make_panel(40, 800, n_features=6, planted=Planted(0.0, local, 3.0), horizon_bars=1, seed=3)
    rows, positions = rows_of(panel, REGRESSION_TARGET)
    found = local_prior_rows(rows, positions, np.zeros(positions.size, np.float32), TaskType.REGRESSION, 1)
    assert found is not None
    # What the pooled model leaves is noise and the symbol's own part; seven weights count, the intercept too, and it has none of its own.
    assert found == pytest.approx((3.0**2 + 6 * local**2) / local**2 * 7 / 6, rel=0.35)


def test_labels_that_overlap_on_paper_only_count_as_the_independent_rows_that_they_are() -> None:
    """The weights say a third of each row; the labels are independent, which the scores tell. In a fit's weights the prior is then a third."""
    for horizon, share in ((1, 1.0), (3, 1 / 3)):
        panel = make_panel(40, 800, n_features=6, planted=Planted(0.0, 0.3, 3.0), horizon_bars=horizon, seed=3)
        rows, positions = rows_of(panel, REGRESSION_TARGET)
        found = local_prior_rows(rows, positions, np.zeros(positions.size, np.float32), TaskType.REGRESSION, horizon)
        assert found == pytest.approx(share * (3.0**2 + 6 * 0.3**2) / 0.3**2 * 7 / 6, rel=0.35)


def test_the_prior_is_found_whatever_the_order_in_which_rows_were_predicted() -> None:
    panel = make_panel(6, 300, planted=Planted(0.5, 0.5, 1.0))
    rows, positions = rows_of(panel, REGRESSION_TARGET)
    predictions = np.random.default_rng(0).normal(size=positions.size).astype(np.float32)
    shuffled = np.random.default_rng(1).permutation(positions.size)
    first = local_prior_rows(rows, positions, predictions, TaskType.REGRESSION, 3)
    assert local_prior_rows(rows, positions[shuffled], predictions[shuffled], TaskType.REGRESSION, 3) == first


def test_symbols_of_one_kind_have_a_prior_of_many_times_their_rows() -> None:
    panel = make_panel(40, 800, n_features=6, planted=Planted(0.0, 0.0, 3.0), horizon_bars=1, seed=3)
    rows, positions = rows_of(panel, REGRESSION_TARGET)
    found = local_prior_rows(rows, positions, np.zeros(positions.size, np.float32), TaskType.REGRESSION, 1)
    assert found is not None
    # Of 280 weights that are noise the variance is known to within 8 %: twice that over a symbol's 680 rows is a prior of 5 times as many.
    assert found > 5 * panel.holdout_start_code


def test_residuals_smaller_than_their_noise_allows_have_an_infinite_prior() -> None:
    """Alternating residuals are clear of every smooth feature, so that no symbol has weights at all."""
    panel = make_panel(3, 400, n_features=1, horizon_bars=1)
    smooth = np.sin(panel.time_codes / 30.0)[None].astype(np.float32)
    labels = np.where(np.isfinite(panel.labels), (-1.0) ** panel.time_codes, np.nan).astype(np.float32)
    rows, positions = rows_of(replace(panel, features=smooth, labels=labels), REGRESSION_TARGET)
    assert local_prior_rows(rows, positions, np.zeros(positions.size, np.float32), TaskType.REGRESSION, 1) == math.inf


def test_what_a_pooled_model_misses_of_all_symbols_alike_is_no_difference_between_them() -> None:
    """Were it one, the prior would be near 20 rows."""
    panel = make_panel(20, 600, n_features=6, planted=Planted(1.0, 0.0, 3.0), horizon_bars=1, seed=3)
    rows, positions = rows_of(panel, REGRESSION_TARGET)
    found = local_prior_rows(rows, positions, np.zeros(positions.size, np.float32), TaskType.REGRESSION, 1)
    assert found is not None
    assert found > panel.holdout_start_code


def test_a_binary_label_gives_a_prior_and_several_classes_none() -> None:
    panel = make_panel(30, 600, planted=Planted(0.0, 1.0, 2.0), horizon_bars=1)
    rows, positions = rows_of(panel, BINARY_TARGET)
    found = local_prior_rows(rows, positions, np.full(positions.size, 0.5, np.float32), TaskType.BINARY_CLASSIFICATION, 1)
    assert found is not None
    assert 3.0 < found < 30.0
    assert local_prior_rows(rows, positions, np.zeros((positions.size, 3), np.float32), TaskType.MULTICLASS_CLASSIFICATION, 1) is None


@pytest.mark.parametrize(("target", "has_prior"), [(REGRESSION_TARGET, True), (BINARY_TARGET, True), (CLASS_TARGET, False)])
def test_pooled_and_blend_cards_name_the_prior_and_the_local_part_is_fitted_under_it(target: str, has_prior: bool, tmp_path: Path) -> None:
    panel = make_panel(4, 500, planted=Planted(1.0, 1.0, 2.0))
    (tmp_path / "panel").mkdir()
    panel.write(tmp_path / "panel")
    jobs = [pooled_job(panel, target, ("Ridge",), for_blends=True), symbol_job(panel, "S000", target, ("Ridge",), Route.BOTH)]
    list(train_jobs(jobs, tmp_path / "panel", Config(), tmp_path, Stage.CPU))
    (outcome,) = train_blends(jobs, tmp_path / "panel", Config(), tmp_path)
    pooled = read_card(tmp_path / "models" / target / "cross_sectional" / "Ridge").details[LOCAL_PRIOR_ROWS]["final_fit"]
    fit = read_card(Path(outcome.models[0].path)).details["fit"]
    assert fit[LOCAL_PRIOR_ROWS] == pooled
    assert (pooled is not None) == has_prior
    assert (len(fit["local"]["inner_losses"]) == 1) == has_prior


def test_the_prior_of_the_scored_fit_knows_nothing_of_the_part_that_is_scored(tmp_path: Path) -> None:
    panel = make_panel(4, 500, planted=Planted(1.0, 1.0, 2.0))
    late = panel.time_codes >= round(panel.holdout_start_code * 0.76)
    labels = np.where(late & np.isfinite(panel.labels), panel.labels + 5.0 * panel.features[:1], panel.labels)
    priors = []
    for name, changed in (("clean", panel), ("changed", replace(panel, labels=labels))):
        folder = tmp_path / name
        (folder / "panel").mkdir(parents=True)
        changed.write(folder / "panel")
        list(train_jobs([pooled_job(changed, REGRESSION_TARGET, ("Ridge",), for_blends=True)], folder / "panel", Config(), folder, Stage.CPU))
        priors.append(read_card(folder / "models" / REGRESSION_TARGET / "cross_sectional" / "Ridge").details[LOCAL_PRIOR_ROWS])
    assert priors[0]["scored_fit"] == priors[1]["scored_fit"]
    assert priors[0]["final_fit"] != priors[1]["final_fit"]


def test_the_penalty_is_the_strongest_that_is_not_clearly_worse() -> None:
    generator = np.random.default_rng(0)
    z, ones, zeros = generator.normal(size=(400, 1)), np.ones(400), np.zeros(400)
    noise, codes = generator.normal(size=400), np.zeros(400, np.int32)
    noise -= z[:, 0] * (z[:, 0] @ noise) / (z[:, 0] @ z[:, 0])  # so that the best weight is the signal's to the digit
    path = [np.array([[1.0], [0.0]]), np.array([[0.98], [0.0]]), np.array([[0.0], [0.0]])]

    def chosen(signal: float) -> float:
        return strongest_without_doubt((0.1, 1.0, 10.0), path, Rows(z, signal * z[:, 0] + noise, ones, zeros, codes, codes), TaskType.REGRESSION)

    assert chosen(1.0) == 1.0
    assert chosen(0.0) == 10.0
