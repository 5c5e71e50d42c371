"""The routing report: scores on the holdout, regret, calibration, and what it says of them."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from config.schema import Config
from routing_assets.contracts import ROUTES
from routing_assets.decisions.policy import route_candidates
from routing_assets.decisions.routing_plan import routing_plan
from routing_assets.evidence.candidates_table import candidates_bytes
from routing_assets.evidence.holdout_scores import score_holdout, tree_sides
from routing_assets.report.markdown_page import report_markdown
from routing_assets.report.regret import CONTRAST, mean_of, measure_routing
from routing_assets.report.report import REPORT_COLUMNS, ReportError, build_report, report_bytes
from tests.panels import REGRESSION_TARGET, Planted, make_panel
from tests.report_samples import candidates_of, easy_config, evidence_of, noise_holdout, random_candidates, random_report, report_of

SIDE_COLUMN = {
    "ROUTE_CROSS_SECTIONAL": "score_pooled",
    "ROUTE_SYMBOL_SPECIFIC": "score_local",
    "ROUTE_BOTH": "score_both",
    "ROUTE_EXPERIMENTAL_ONLY": "score_local",
}
HOSTILE = "x|y](http://evil.example)<script>alert(1)</script>"


@pytest.fixture(scope="module")
def config() -> Config:
    return easy_config()


@pytest.fixture(scope="module")
def panel():
    return make_panel(n_symbols=4, n_bars=700, planted=Planted(pooled=0.5, local=0.5), holdout_fraction=0.25)


@pytest.fixture(scope="module")
def report(panel, config):
    return report_of(panel, config)


@pytest.fixture(scope="module")
def noise_report():
    return random_report(tuple(f"target_{number}_1b" for number in range(4)), tuple(f"S{number:02d}" for number in range(30)))


def test_a_planted_signal_is_routed_and_holds_on_the_holdout(report):
    skill = report.mean("all", "all", "skill_routed")
    assert skill.n_pairs == int((report.table["route"] != "ROUTE_BLOCKED").sum()) > 6
    assert skill.low > 0.1
    assert "is above chance" in report.verdicts[0]


def test_regret_is_zero_where_the_route_is_the_best_side_and_positive_elsewhere(noise_report):
    routed = noise_report.table[noise_report.table["route"] != "ROUTE_BLOCKED"]
    given = np.array([row[SIDE_COLUMN[row["route"]]] for row in routed.to_dict("records")])
    best = routed[["score_pooled", "score_local", "score_both"]].max(axis=1).to_numpy()
    assert np.array_equal(routed["score_routed"], given)
    assert np.array_equal(routed["regret"] == 0.0, given == best)
    assert (routed["regret"] >= 0).all()
    assert 0 < (routed["regret"] == 0).sum() < len(routed)


def test_a_blocked_pair_has_no_routed_score_and_no_regret(noise_report):
    blocked = noise_report.table[noise_report.table["route"] == "ROUTE_BLOCKED"]
    assert len(blocked)
    assert blocked[["score_routed", "regret"]].isna().all(axis=None)
    assert blocked[["score_pooled", "score_best"]].notna().all(axis=None)


def test_means_are_those_of_the_table(noise_report):
    table = noise_report.table[noise_report.table["route"] != "ROUTE_BLOCKED"]
    assert noise_report.mean("all", "all", "regret").value == pytest.approx(table["regret"].mean())
    for route, own in table.groupby("route"):
        mean = noise_report.mean("route", route, "routed_minus_local")
        assert mean.n_pairs == len(own)
        assert mean.value == pytest.approx((own["score_routed"] - own["score_local"]).mean(), abs=1e-12)
    for target, own in table.groupby("target"):
        assert noise_report.mean("target", target, "regret_both").value == pytest.approx((own["score_best"] - own["score_both"]).mean(), abs=1e-12)


def test_calibration_counts_every_scored_pair_once_a_side(noise_report):
    calibration = noise_report.calibration
    assert calibration.groupby("side")["n_pairs"].sum().to_dict() == {"local": 120, "pooled": 120}
    strong, weak = (calibration[(calibration["side"] == "local") & (calibration["state"] == state)].iloc[0] for state in CONTRAST.split(" minus "))
    contrast = noise_report.mean("local_state", CONTRAST, "skill_local")
    assert contrast.value == pytest.approx(strong["skill_holdout"] - weak["skill_holdout"])


def test_symbols_that_are_copies_of_each_other_do_not_narrow_the_interval():
    """Twin: independent symbols do."""
    widths = {}
    for copies in (True, False):
        for n_symbols in (1, 16):
            names = tuple(f"S{number:02d}" for number in range(n_symbols))
            decisions = route_candidates(random_candidates(("t_1b",), names), Config().routing)
            routed = replace(decisions, routes=np.full(n_symbols, ROUTES.index("ROUTE_CROSS_SECTIONAL"), np.int8))
            results = measure_routing(routed, [noise_holdout("t_1b", n_symbols, 300, copies=copies)], names, (100, 400), Config().scoring)
            mean = mean_of(results.means, "all", "all", "skill_routed")
            widths[copies, n_symbols] = mean.high - mean.low
    assert widths[True, 16] == pytest.approx(widths[True, 1], rel=0.02)
    assert widths[False, 16] < 0.5 * widths[False, 1]


def test_a_fixed_choice_that_every_pair_got_is_said_to_be_the_same():
    names = ("A", "B")
    decisions = route_candidates(random_candidates(("t_1b",), names), Config().routing)
    routed = replace(decisions, routes=np.full(2, ROUTES.index("ROUTE_CROSS_SECTIONAL"), np.int8))
    results = measure_routing(routed, [noise_holdout("t_1b", 2)], names, (100, 140), Config().scoring)
    same = mean_of(results.means, "all", "all", "routed_minus_pooled")
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert mean_of(results.means, "all", "all", "routed_minus_local").high > 0


def test_changed_holdout_rows_change_the_report_and_nothing_before_it(panel, config, report):
    labels, features = panel.labels.copy(), panel.features.copy()
    held = (panel.time_codes >= panel.holdout_start_code) & (panel.label_end_codes[0] >= 0)
    labels[0, held] = np.random.default_rng(1).permutation(labels[0, held])
    features[:, held] *= -1.0
    changed = replace(panel, labels=labels, features=features)
    before, after = candidates_of(panel, config), candidates_of(changed, config)
    assert candidates_bytes(before) == candidates_bytes(after)
    other = report_of(changed, config, after)
    assert other.plan_metadata["plan_id"] == report.plan_metadata["plan_id"]
    own = report.table["target"] == REGRESSION_TARGET
    assert ((other.table.loc[own, "score_pooled"] - report.table.loc[own, "score_pooled"]).abs() > 0.01).all()
    assert report.table["route"].equals(other.table["route"])


def test_the_last_time_does_not_choose_which_sides_get_trees(panel):
    config = easy_config("scoring.families=[Ridge,LightGBM]")
    candidates = candidates_of(panel, config)
    sides = tree_sides(candidates, panel, panel.target_names)
    tried = {
        (row["target"], row["symbol"])
        for row in candidates.table.select(["target", "symbol", "attempted_model_families"]).to_pylist()
        if "LightGBM" in row["attempted_model_families"]
    }
    assert tried == {
        *((target, None) for target, side in sides.items() if side.pooled),
        *((target, symbol) for target, side in sides.items() for symbol, has in zip(panel.symbols, side.local, strict=True) if has),
    }
    with_trees, without = (
        next(iter(score_holdout(panel, {REGRESSION_TARGET: panel.feature_names}, table, config))) for table in (candidates, candidates_of(panel, easy_config()))
    )
    assert not np.allclose(with_trees.score, without.score)


def test_holdout_scores_stand_on_rows_of_the_holdout_only(panel, config):
    for scores in score_holdout(panel, dict.fromkeys(panel.target_names, panel.feature_names), candidates_of(panel, config), config):
        assert scores.time_codes.min() == panel.holdout_start_code
        assert (scores.n_rows == np.bincount(scores.symbol_codes)).all()


def test_a_symbol_without_enough_history_has_no_local_score_and_is_left_out_of_the_comparison(config):
    panel = make_panel(n_symbols=3, n_bars=700, planted=Planted(pooled=1.0), holdout_fraction=0.25, late_starts={2: 500})
    table = report_of(panel, config).table
    late = table[(table["symbol"] == "S002") & (table["target"] == REGRESSION_TARGET)].iloc[0]
    assert np.isnan(late["score_local"])
    assert late["score_pooled"] > 0


def test_k_fold_screening_is_reported_on_by_models_of_the_past(panel):
    config = easy_config("splits.scheme=kfold")
    assert report_of(panel, config).mean("all", "all", "skill_routed").low > 0.1


def test_a_target_that_the_panel_lacks_is_null_and_said_to_be_unknown(panel):
    config = Config()
    candidates = replace(random_candidates(("elsewhere_1b",), ("S000", "S001")), data_hash=panel.data_hash)
    plan = routing_plan(route_candidates(candidates, config.routing), config.routing)
    report = build_report(panel, plan, candidates, *evidence_of(panel), None, config)
    assert report.table[["score_pooled", "regret", "n_rows"]].isna().all(axis=None)
    assert report.means.empty
    assert "none could be scored" in report.verdicts[0] or "None of 2 pairs" in report.verdicts[0]


def test_a_plan_of_other_settings_data_or_candidates_is_refused(panel, config, report):
    candidates = report.decisions.candidates
    plan = routing_plan(report.decisions, config.routing, data_hash=panel.data_hash)
    with pytest.raises(ReportError, match=r"was made from data .* the panel is ffff"):
        build_report(replace(panel, data_hash="ffff"), plan, candidates, *evidence_of(panel), None, config)
    with pytest.raises(ReportError, match="the settings in use give"):
        build_report(panel, plan, candidates, *evidence_of(panel), None, easy_config("routing.both_strong_behavior=PREFER_CS"))
    with pytest.raises(ReportError, match="does not stand on these candidates"):
        build_report(panel, plan, random_candidates(panel.target_names, panel.symbols), *evidence_of(panel), None, config)


def test_the_table_is_written_with_its_columns_explained(noise_report):
    content = report_bytes(noise_report)
    assert content == report_bytes(noise_report)
    table = pq.read_table(io.BytesIO(content))
    assert table.column_names == list(REPORT_COLUMNS)
    assert table.schema.metadata[b"switchyard.column.regret"].decode() == REPORT_COLUMNS["regret"]
    assert table.column("regret").null_count == int(noise_report.table["regret"].isna().sum())
    pd.testing.assert_series_equal(table.column("score_best").to_pandas(), noise_report.table["score_best"], check_names=False)


def test_markdown_leads_with_the_answer_and_escapes_names():
    report = random_report((HOSTILE,), ("A", "B", "C"))
    text = report_markdown(report)
    assert text.index("## Did routing help?") < text.index("## By target")
    assert "<script>" not in text
    row = next(line for line in text.splitlines() if "evil" in line)
    assert row.replace("\\|", "").count("|") == 9
    assert "](http" not in row.replace("\\]", "")


def test_an_unscored_report_says_that_nothing_is_known():
    report = random_report(("t_1b",), tuple("ABCDEFGH"), scored=False)
    assert "is not known" in report.verdicts[0]
    assert len(report.verdicts) == 1
    assert "none scored" in report_markdown(report)
