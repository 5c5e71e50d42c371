"""Ranking of targets held against targets whose predictability was planted."""

from dataclasses import replace

import numpy as np
import pytest

from config.load import load_config
from config.schema import Config
from routing_assets.evidence.ranking import RANKING_COLUMNS, rank_targets
from tests.panels import BINARY_TARGET, CLASS_TARGET, REGRESSION_TARGET, Planted, make_panel
from training_assets.panel.panel import Panel


def config(**values: object) -> Config:
    return load_config(None, [], {key.replace("__", "."): value for key, value in values.items()})


@pytest.fixture(scope="module")
def panel() -> Panel:
    """The regression target is predictable, the binary one is coin tosses, the three-class one has no label."""
    made = make_panel(n_symbols=4, n_bars=500, planted=Planted(noise=2.0), seed=1)
    labels, ends = np.array(made.labels), np.array(made.label_end_codes)
    known = np.isfinite(labels[1])
    labels[1] = np.where(known, np.random.default_rng(2).random(made.n_rows) < 0.5, np.nan)
    labels[2], ends[2] = np.nan, -1
    return replace(made, labels=labels, label_end_codes=ends)


def test_a_predictable_target_stands_above_coin_tosses_and_one_without_labels_last(panel: Panel) -> None:
    table = rank_targets(panel, config())
    assert tuple(table.columns) == RANKING_COLUMNS
    assert table["target"].tolist() == [REGRESSION_TARGET, BINARY_TARGET, CLASS_TARGET]
    assert table["selected"].tolist() == [True, True, False]
    assert table["reason"].iloc[2] == "no labelled row before the holdout"
    assert table.loc[0, "skill_ci_low"] > 0 > table.loc[1, "skill_ci_low"]
    assert (table["skill_ci_low"] <= table["skill"])[:2].all()


def test_targets_beyond_the_best_are_cut_and_say_by_which_setting(panel: Panel) -> None:
    table = rank_targets(panel, config(targets__top_n=1))
    assert table["selected"].tolist() == [True, False, False]
    assert table["reason"].iloc[1] == "beyond the best 1 (targets.top_n)"


def test_with_ranking_off_every_labelled_target_is_routed(panel: Panel) -> None:
    table = rank_targets(panel, config(targets__top_n=1, targets__auto_rank=False))
    assert table["selected"].tolist() == [True, True, False]


def test_skills_of_an_area_and_of_a_rank_correlation_stand_on_one_scale() -> None:
    made = make_panel(n_symbols=4, n_bars=500, planted=Planted(noise=0.05), seed=3)
    table = rank_targets(made, config()).set_index("target")
    assert table.loc[REGRESSION_TARGET, "skill"] in table.loc[REGRESSION_TARGET, ["pooled_score", "local_mean_score"]].tolist()
    areas = table.loc[BINARY_TARGET, ["pooled_score", "local_mean_score"]].to_numpy(float)
    assert np.abs(2.0 * areas - 1.0 - table.loc[BINARY_TARGET, "skill"]).min() < 1e-12
    assert table["skill"].min() > 0.6
