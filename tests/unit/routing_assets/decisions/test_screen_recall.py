"""The screen's recall held against populations whose truth is known, and against signals that a closed form sees or cannot see."""

from dataclasses import replace

import numpy as np
import pytest

from routing_assets.contracts import Candidates, ScreenOutcome
from routing_assets.decisions.policy import route_candidates
from routing_assets.decisions.screen_recall import ScreenRecall, recall_of, screen_recall
from tests.candidate_rows import candidates, local, pooled
from tests.panels import REGRESSION_TARGET, Planted, make_panel
from tests.report_samples import candidates_of, easy_config, random_report, report_of
from training_assets.panel.panel import Panel


def recall_of_table(table: Candidates) -> ScreenRecall:
    config = easy_config()
    return screen_recall(route_candidates(table, config.routing), config.scoring.confidence)


def one_target(panel: Panel) -> Panel:
    """The panel with its regression target alone."""
    place = panel.target_code(REGRESSION_TARGET)
    one = slice(place, place + 1)
    return replace(panel, target_infos=panel.target_infos[one], labels=panel.labels[one], label_end_codes=panel.label_end_codes[one])


@pytest.mark.parametrize("missed", [0, 5, 40, 400])
def test_the_interval_holds_the_true_recall_as_often_as_it_says(missed: int) -> None:
    n_refused, n_audited, n_kept_passed = 1_000, 50, 200
    truth = n_kept_passed / (n_kept_passed + missed)
    drawn = np.random.default_rng(missed).hypergeometric(missed, n_refused - missed, n_audited, 2_000) if missed else np.zeros(2_000, int)
    found = [recall_of(500, n_kept_passed, n_refused, n_audited, int(passed), 0.95) for passed in drawn]
    assert np.mean([one.ci_low <= truth + 1e-12 and truth <= one.ci_high + 1e-12 for one in found]) >= 0.95
    missed_by_estimate = np.mean([n_kept_passed / one.recall - n_kept_passed for one in found])
    assert missed_by_estimate == pytest.approx(missed, rel=0.15, abs=1e-9)


@pytest.mark.parametrize(("counts", "recall"), [((10, 8, 4, 4, 2), 0.8), ((10, 8, 4, 4, 0), 1.0), ((10, 8, 0, 0, 0), 1.0), ((0, 0, 4, 4, 1), 0.0)])
def test_where_all_that_was_refused_is_scored_the_recall_is_known_exactly(counts: tuple[int, ...], recall: float) -> None:
    found = recall_of(*counts, 0.95)
    assert (found.recall, found.ci_low, found.ci_high) == (recall, recall, recall)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((10, 8, 4, 0, 0), "not known: 8 of 10 that it kept passed, and none of the 4 that it refused was drawn"),
        ((10, 0, 40, 2, 0), "not known: 0 of 10 that it kept passed, and 0 of 2 drawn from the 40 that it refused passed in full"),
        ((0, 0, 0, 0, 0), "No pair was screened"),
        ((7, 3, 0, 0, 0), "refused none of 7 pairs"),
        ((10, 8, 40, 4, 1), "kept 44% (20% to 89%) of the pairs that pass: 8 kept, and 1 of 4 drawn from the 40 that it refused passed in full"),
    ],
)
def test_the_sentence_says_what_is_known_and_what_is_not(counts: tuple[int, ...], told: str) -> None:
    assert told in recall_of(*counts, 0.95).text()


def test_pairs_are_counted_by_outcome_and_state_and_pooled_rows_are_not() -> None:
    rows = [
        *(local(f"K{number}", screen_outcome=ScreenOutcome.KEPT) for number in range(3)),
        local("K9", screen_outcome=ScreenOutcome.KEPT, p_value=0.4, score=0.5),
        *(local(f"R{number}", screen_outcome=ScreenOutcome.REFUSED, p_value=0.9, score=0.5) for number in range(5)),
        local("A0", screen_outcome=ScreenOutcome.AUDITED),
        local("A1", screen_outcome=ScreenOutcome.AUDITED, p_value=0.9, score=0.5),
        local("N0", p_value=0.9, score=0.5),
    ]
    found = recall_of_table(candidates(pooled(stability="UNKNOWN"), *({**row, "stability": "UNKNOWN"} for row in rows)))
    assert (found.n_kept, found.n_kept_passed, found.n_refused, found.n_audited, found.n_audited_passed) == (4, 3, 7, 2, 1)
    assert found.recall == pytest.approx(3 / (3 + 7 / 2))


def test_a_signal_that_only_trees_see_shows_as_lost_recall_and_one_that_the_closed_form_sees_does_not() -> None:
    config = easy_config("scoring.families=[Ridge,LightGBM]", "scoring.audit_fraction=1.0", "scoring.screen_max_p=0.3", "resources.workers=1")
    straight = one_target(make_panel(n_symbols=10, n_bars=900, planted=Planted(0.0, 1.0, 2.0)))
    values = np.abs(np.asarray(straight.features[0], float)) + np.random.default_rng(1).normal(size=straight.n_rows)
    bent = replace(straight, labels=np.where(np.isfinite(straight.labels), values, np.nan).astype(np.float32))
    found = {name: recall_of_table(candidates_of(panel, config)) for name, panel in (("straight", straight), ("bent", bent))}
    assert found["straight"].n_kept_passed >= 8
    assert found["straight"].recall == 1.0
    assert found["bent"].n_audited_passed >= 3
    assert found["bent"].recall is not None
    assert found["bent"].recall < 0.7


def test_the_report_says_it_where_something_was_refused_and_is_silent_where_nothing_was() -> None:
    config = easy_config("scoring.families=[Ridge,LightGBM]", "scoring.audit_fraction=1.0", "scoring.screen_max_p=0.0", "resources.workers=1")
    panel = one_target(make_panel(n_symbols=4, n_bars=700, planted=Planted(0.3, 0.0), holdout_fraction=0.25))
    assert any("drawn from the" in verdict for verdict in report_of(panel, config).verdicts)
    assert not any("screen" in verdict.lower() for verdict in random_report(("t_1b",), ("A", "B")).verdicts)
