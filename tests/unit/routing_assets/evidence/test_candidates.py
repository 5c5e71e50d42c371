"""The candidates table: every number out of sample, null where not computed, and quarantined features left out."""

from dataclasses import replace

import numpy as np
import pandas as pd

from config.load import load_config
from routing_assets.contracts import CANDIDATE_COLUMNS, Candidates
from routing_assets.evidence.candidates import build_candidates
from routing_assets.evidence.candidates_table import candidates_bytes
from routing_assets.evidence.feature_sets import feature_set_id, feature_sets
from routing_assets.evidence.ranking import rank_targets
from routing_assets.evidence.selection import select_features
from routing_assets.evidence.stability import measure_stability
from tests.panels import BINARY_TARGET, REGRESSION_TARGET, Planted, make_panel
from training_assets.leakage.status import AUDIT_COLUMNS
from training_assets.panel.panel import FeatureInfo, Panel

CONFIG = load_config(None, ("resources.workers=1", "scoring.families=[Ridge]"))
TARGETS = (REGRESSION_TARGET, BINARY_TARGET)


def audit_table(*findings: dict[str, object]) -> pd.DataFrame:
    """An audit in which every target was checked, with these findings beside."""
    nothing = {"symbol": None, "feature": None, "statistic": 0.0, "threshold": 1.0, "accepted": False, "message": "nothing found"}
    rows = [nothing | {"target": target, "detector": "near_copy", "status": "SAFE"} for target in TARGETS]
    return pd.DataFrame([*rows, *(nothing | finding for finding in findings)], columns=list(AUDIT_COLUMNS))


def candidates_of(panel: Panel, audit: pd.DataFrame) -> Candidates:
    selection = select_features(panel, TARGETS, CONFIG)
    return build_candidates(panel, selection, audit, measure_stability(panel, selection, audit, CONFIG), CONFIG)


def with_leak(panel: Panel) -> Panel:
    """The panel with one more feature: its regression label with a little noise."""
    noise = np.random.default_rng(1).normal(0, 0.05, panel.n_rows)
    leak = (np.nan_to_num(panel.labels[0]) + noise).astype(np.float32)
    return replace(panel, features=np.vstack([panel.features, leak]), feature_infos=(*panel.feature_infos, FeatureInfo("leak", 0, 0, False, "supplied")))


def test_every_side_has_a_row_and_what_is_not_known_is_null_not_zero() -> None:
    panel = make_panel(n_symbols=4, n_bars=700, late_starts={3: 690}, planted=Planted(1.0, 0.0, 2.0))
    table = candidates_of(panel, audit_table()).table.to_pandas()
    assert tuple(table.columns) == CANDIDATE_COLUMNS
    assert len(table) == len(TARGETS) * (1 + len(panel.symbols))
    late = table[table["symbol"] == "S003"]
    assert late[["score", "p_value", "q_value", "score_ci_low", "n_effective", "local_minus_pooled"]].isna().all(axis=None)
    assert (late["model_status"] == "FAILED").all()
    scored = table[table["symbol"] != "S003"]
    assert scored[["score", "p_value", "q_value"]].notna().all(axis=None)
    assert (scored["q_value"].between(0.0, 1.0)).all()
    assert (scored["score_ci_low"] < scored["score"]).all()


def test_the_same_inputs_give_the_same_bytes() -> None:
    panel = make_panel(n_symbols=3, n_bars=600)
    assert candidates_bytes(candidates_of(panel, audit_table())) == candidates_bytes(candidates_of(panel, audit_table()))


def test_a_quarantined_feature_scores_nothing_for_its_target() -> None:
    clean = make_panel(n_symbols=4, n_bars=700, planted=Planted(0.0, 0.0, 1.0))
    leaking = with_leak(clean)
    finding = {"target": REGRESSION_TARGET, "feature": "leak", "detector": "near_copy", "status": "BLOCKED", "statistic": 0.99, "message": "a copy"}
    open_gate, shut = candidates_of(leaking, audit_table()), candidates_of(leaking, audit_table(finding))
    unblocked, quarantined, reference = (one.table.to_pandas() for one in (open_gate, shut, candidates_of(clean, audit_table())))
    of_target = unblocked["target"].to_numpy(str) == REGRESSION_TARGET
    assert (unblocked["score"][of_target] > 0.9).all()
    np.testing.assert_allclose(quarantined["score"][of_target], reference["score"][of_target], atol=1e-6)
    assert (quarantined["leakage_status"][of_target] == "SAFE").all()
    assert (unblocked["score"][~of_target] > 0.9).all()


def test_a_finding_on_a_symbol_holds_for_that_symbol_alone() -> None:
    finding = {"target": None, "symbol": "S001", "detector": "symbol_copy", "status": "BLOCKED", "statistic": 1.0, "message": "the series of S000, shifted"}
    table = candidates_of(make_panel(n_symbols=3, n_bars=600), audit_table(finding)).table.to_pandas()
    status = table.set_index(["target", "symbol"])["leakage_status"].astype(str)
    assert (status[:, "S001"] == "BLOCKED").all()
    assert (status.drop("S001", level="symbol") == "SAFE").all()


def test_a_target_nobody_audited_is_unknown() -> None:
    table = candidates_of(make_panel(n_symbols=3, n_bars=600), audit_table().iloc[:1]).table.to_pandas()
    by_target = table.groupby(table["target"].astype(str))["leakage_status"].agg(lambda values: set(values.astype(str)))
    assert by_target[REGRESSION_TARGET] == {"SAFE"}
    assert by_target[BINARY_TARGET] == {"UNKNOWN"}


def test_a_feature_set_is_addressed_by_its_names_in_order() -> None:
    assert feature_set_id(["a", "b"]) == feature_set_id(("a", "b"))
    assert feature_set_id(["a", "b"]) != feature_set_id(["b", "a"])
    assert feature_set_id(["ab"]) != feature_set_id(["a", "b"])


def test_final_lists_hold_no_quarantined_feature() -> None:
    panel = with_leak(make_panel(n_symbols=3, n_bars=600))
    finding = {"target": REGRESSION_TARGET, "feature": "leak", "detector": "near_copy", "status": "BLOCKED", "statistic": 0.99, "message": "a copy"}
    sets = feature_sets(panel, select_features(panel, TARGETS, CONFIG), audit_table(finding))
    assert "leak" not in sets[REGRESSION_TARGET]
    assert sets[REGRESSION_TARGET]


def test_targets_of_different_tasks_are_ranked_on_one_scale() -> None:
    ranking = rank_targets(make_panel(n_symbols=4, n_bars=700, planted=Planted(1.0, 0.0, 1.0)), CONFIG)
    assert ranking["skill_ci_low"].is_monotonic_decreasing
    assert ranking["skill"].between(0.3, 1.0).all()
    assert ranking["selected"].all()


def test_ranking_keeps_the_best_and_says_why_the_rest_are_out() -> None:
    best_one = load_config(None, ("targets.top_n=1", "scoring.families=[Ridge]"))
    ranking = rank_targets(make_panel(n_symbols=4, n_bars=700), best_one)
    assert ranking["selected"].tolist() == [True, False, False]
    assert ranking["reason"].str.contains("targets.top_n").tolist() == [False, True, True]
    every = load_config(None, ("targets.top_n=1", "targets.auto_rank=false", "scoring.families=[Ridge]"))
    assert rank_targets(make_panel(n_symbols=4, n_bars=700), every)["selected"].all()
