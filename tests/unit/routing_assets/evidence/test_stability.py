"""Stability held against signals that are known to stay, move, turn round or not exist."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from config.load import load_config
from config.schema import Config
from config.sections.base import Stability
from config.sections.routing import StabilityClassification
from routing_assets.evidence.agreement import nogueira
from routing_assets.evidence.stability import STABILITY_COLUMNS, classify, measure_stability
from tests.panels import REGRESSION_TARGET, make_panel
from training_assets.leakage.status import empty_audit
from training_assets.panel.panel import Panel

BOUNDS = StabilityClassification()
N_FEATURES = 16
PASSES = {Stability.STABLE.value, Stability.DRIFTING.value}


def config(**values: object) -> Config:
    return load_config(None, [], values)


def signal_panel(kind: str, seed: int, n_symbols: int = 6, n_bars: int = 1_200, strength: float = 0.12, n_features: int = N_FEATURES) -> Panel:
    """Independent features of which three carry the label: for ever, by others later (`moves`), with the sign turned (`flips`), or never (`noise`)."""
    panel = make_panel(n_symbols=n_symbols, n_bars=n_bars, n_features=n_features, seed=seed)
    rng = np.random.default_rng([seed, 1])
    x = np.asarray(panel.features, float)
    first, later = np.zeros(n_features), np.zeros(n_features)
    first[:3] = strength
    later[{"moves": slice(3, 6), "stays": slice(0, 3), "flips": slice(0, 3), "noise": slice(0, 0)}[kind]] = -strength if kind == "flips" else strength
    first *= kind != "noise"
    half = panel.time_codes < panel.holdout_start_code // 2
    values = np.where(half, first @ x, later @ x) + rng.normal(size=panel.n_rows)
    labels = np.where(np.isfinite(panel.labels[0]), values, np.nan).astype(np.float32)
    return replace(panel, labels=np.stack([labels, *np.asarray(panel.labels[1:])]))


def measured(panel: Panel, settings: Config | None = None, earlier: pd.DataFrame | None = None) -> pd.DataFrame:
    selection = pd.DataFrame({"target": [REGRESSION_TARGET], "feature": ["f0"]})
    return measure_stability(panel, selection, empty_audit(), settings or config(), earlier)


def pooled_names(kind: str, n_trials: int) -> list[str]:
    return [str(measured(signal_panel(kind, seed))["stability"].iloc[0]) for seed in range(n_trials)]


def top_selections(scores: NDArray[np.float64], top: int) -> NDArray[np.bool_]:
    return scores >= np.sort(scores, axis=-1)[..., [-top]]


def test_a_random_selector_is_refused_and_a_fixed_one_passes_in_99_percent_of_trials() -> None:
    scores = np.random.default_rng(0).normal(size=(300, 30, 40))
    random = nogueira(top_selections(scores, 10), 0.95)
    fixed = nogueira(top_selections(scores + 6.0 * (np.arange(40) < 10), 10), 0.95)
    nothing_moved = np.full(300, np.nan)
    assert np.isin(classify(random.ci_low, nothing_moved, BOUNDS), list(PASSES)).mean() <= 0.01
    assert (classify(fixed.ci_low, nothing_moved, BOUNDS) == Stability.STABLE.value).mean() >= 0.99


@pytest.mark.parametrize(
    ("low", "persistence_high", "name"),
    [
        (0.40, np.nan, "STABLE"),
        (0.399, np.nan, "DRIFTING"),
        (0.02, 0.5, "DRIFTING"),
        (0.019, np.nan, "DIVERGED"),
        (0.9, 0.499, "DIVERGED"),
        (0.9, 0.5, "STABLE"),
        (np.nan, 0.9, "UNKNOWN"),
        (np.nan, 0.1, "UNKNOWN"),
    ],
)
def test_names_change_exactly_at_the_bounds(low: float, persistence_high: float, name: str) -> None:
    assert classify(np.array([low]), np.array([persistence_high]), BOUNDS).tolist() == [name]


def test_a_signal_that_stays_keeps_its_name() -> None:
    names = pooled_names("stays", 12)
    assert sum(name in PASSES for name in names) >= 11


@pytest.mark.parametrize("kind", ["moves", "flips"])
def test_a_signal_that_moves_or_turns_round_has_diverged(kind: str) -> None:
    names = pooled_names(kind, 12)
    assert names.count(Stability.DIVERGED.value) >= 11


def test_noise_is_never_stable_and_never_unknown() -> None:
    names = pooled_names("noise", 16)
    assert Stability.UNKNOWN.value not in names
    assert Stability.STABLE.value not in names


def test_persistence_is_near_one_for_a_signal_that_stays_zero_for_one_that_moves_and_minus_one_for_one_that_turns() -> None:
    found = {kind: np.nanmean([measured(signal_panel(kind, seed))["persistence"].iloc[0] for seed in range(6)]) for kind in ("stays", "moves", "flips")}
    assert found["stays"] == pytest.approx(1.0, abs=0.25)
    assert found["moves"] == pytest.approx(0.0, abs=0.25)
    assert found["flips"] == pytest.approx(-1.0, abs=0.25)


def test_the_table_has_a_pooled_row_and_a_row_a_symbol_and_repeats_itself() -> None:
    panel = signal_panel("stays", 0)
    table = measured(panel)
    assert tuple(table.columns) == STABILITY_COLUMNS
    assert table["symbol"].isna().tolist() == [True] + [False] * 6
    assert table["mode"].tolist() == ["CROSS_SECTIONAL"] + ["SYMBOL_SPECIFIC"] * 6
    assert (table["n_snapshots"] == BOUNDS.n_blocks * BOUNDS.n_bootstraps).all()
    assert (table["stability_ci_low"] <= table["stability_score"]).all()
    pd.testing.assert_frame_equal(table, measured(panel))


def test_nothing_of_the_holdout_is_read() -> None:
    panel = signal_panel("stays", 1)
    inside = panel.time_codes >= panel.holdout_start_code
    ends_inside = panel.label_end_codes[0] >= panel.holdout_start_code
    features, labels = np.array(panel.features), np.array(panel.labels)
    features[:, inside], labels[:, inside | ends_inside] = 1e6, 1e6
    pd.testing.assert_frame_equal(measured(panel), measured(replace(panel, features=features, labels=labels)))


def test_a_symbol_too_short_to_measure_is_unknown_with_null_numbers_and_its_neighbours_are_not() -> None:
    panel = make_panel(n_symbols=3, n_bars=600, n_features=8, late_starts={1: 480}, seed=2)
    table = measured(panel).set_index("symbol")
    assert table.loc["S001", "stability"] == Stability.UNKNOWN.value
    assert table.loc["S001", ["stability_score", "stability_ci_low", "mean_overlap", "mean_tau", "persistence"]].isna().all()
    assert table.loc["S001", "n_snapshots"] == 0
    assert Stability.UNKNOWN.value not in table.loc[["S000", "S002"], "stability"].tolist()


def test_a_single_feature_leaves_nothing_to_choose_and_is_unknown() -> None:
    assert set(measured(make_panel(n_features=1))["stability"]) == {Stability.UNKNOWN.value}


def test_a_target_without_labels_is_unknown() -> None:
    panel = make_panel(n_features=6)
    empty = replace(panel, labels=np.full_like(panel.labels, np.nan), label_end_codes=np.full_like(panel.label_end_codes, -1))
    assert set(measured(empty)["stability"]) == {Stability.UNKNOWN.value}


@pytest.mark.parametrize(("rise", "name"), [(0.0, "STABLE"), (0.29, "STABLE"), (0.31, "DRIFTING"), (0.61, "DIVERGED")])
def test_a_fall_against_an_earlier_plan_lowers_the_name(rise: float, name: str) -> None:
    panel = signal_panel("stays", 3, n_symbols=2, strength=0.8, n_features=12)
    now = measured(panel)
    before = now.assign(stability_score=now["stability_score"] + rise)
    assert now["stability"].iloc[0] == Stability.STABLE.value
    assert measured(panel, earlier=before)["stability"].iloc[0] == name


def test_an_earlier_plan_neither_lifts_a_name_nor_gives_one_to_what_was_not_measured() -> None:
    panel = make_panel(n_symbols=2, n_bars=600, n_features=8, late_starts={1: 480}, seed=4)
    now = measured(panel)
    before = now.assign(stability_score=[-1.0, -1.0, 2.0])
    assert measured(panel, earlier=before)["stability"].tolist() == now["stability"].tolist()


def test_copies_of_a_feature_count_as_one_cluster() -> None:
    panel = signal_panel("stays", 5, n_features=8)
    doubled = replace(
        panel,
        features=np.concatenate([panel.features, panel.features * 2.0]),
        feature_infos=(*panel.feature_infos, *(replace(info, name=f"{info.name}_twice") for info in panel.feature_infos)),
    )
    pd.testing.assert_series_equal(measured(panel)["stability_score"], measured(doubled)["stability_score"])
