"""Reports for the tests of the routing report: from a planted panel, and from random candidates of any size."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from config.load import load_config
from config.schema import Config
from config.sections.base import TaskType
from routing_assets.contracts import CANDIDATE_SCHEMA, Candidates
from routing_assets.decisions.policy import route_candidates
from routing_assets.decisions.routing_plan import routing_plan
from routing_assets.evidence.candidates import build_candidates
from routing_assets.evidence.candidates_table import candidates_from_table
from routing_assets.evidence.holdout_scores import HoldoutScores
from routing_assets.evidence.stability import STABILITY_COLUMNS
from routing_assets.report.regret import measure_routing
from routing_assets.report.report import RoutingReport, build_report, report_from_results
from training_assets.contributions import contributions
from training_assets.leakage.status import empty_audit
from training_assets.panel.panel import Panel, TargetInfo
from training_assets.uncertainty import score_groups

EASY = (
    "scoring.families=[Ridge]",
    "routing.min_sample_size.cross_sectional=100",
    "routing.min_sample_size.symbol=50",
    "routing.min_sample_size.effective_cross_sectional=5",
    "routing.min_sample_size.effective_symbol=5",
    "routing.stability_allowlist.cross_sectional=[UNKNOWN]",
    "routing.stability_allowlist.symbol=[UNKNOWN]",
)


def easy_config(*overrides: str) -> Config:
    """Settings under which a small planted panel is routed."""
    return load_config(None, [*EASY, *overrides], {})


def evidence_of(panel: Panel) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Selection of every feature, an empty audit, and no stability."""
    rows = [(target, feature, rank, True, True) for target in panel.target_names for rank, feature in enumerate(panel.feature_names, start=1)]
    return pd.DataFrame(rows, columns=["target", "feature", "rank", "selected", "given"]), empty_audit(), pd.DataFrame(columns=list(STABILITY_COLUMNS))


def candidates_of(panel: Panel, config: Config) -> Candidates:
    """The candidates of a panel, every side safe."""
    table = build_candidates(panel, *evidence_of(panel), config)
    safe = pa.array(["SAFE"] * table.n_rows).dictionary_encode()
    return replace(table, table=table.table.set_column(table.table.column_names.index("leakage_status"), "leakage_status", safe))


def report_of(panel: Panel, config: Config, candidates: Candidates | None = None) -> RoutingReport:
    """The report of a panel, its plan made from its own candidates."""
    candidates = candidates or candidates_of(panel, config)
    plan = routing_plan(route_candidates(candidates, config.routing), config.routing, data_hash=panel.data_hash)
    return build_report(panel, plan, candidates, *evidence_of(panel), None, config)


def random_candidates(targets: tuple[str, ...], symbols: tuple[str, ...], seed: int = 0) -> Candidates:
    """Candidates whose numbers lie about every bound, so that all routes and reasons occur."""
    generator = np.random.default_rng(seed)
    n_targets, n_pairs = len(targets), len(targets) * len(symbols)
    n_rows = n_targets + n_pairs
    score = generator.normal(0.03, 0.06, n_rows)
    columns = {
        "target": [*targets, *(target for target in targets for _ in symbols)],
        "symbol": [None] * n_targets + list(symbols) * n_targets,
        "mode": ["CROSS_SECTIONAL"] * n_targets + ["SYMBOL_SPECIFIC"] * n_pairs,
        "task_type": ["REGRESSION"] * n_rows,
        "metric_name": ["rank_ic"] * n_rows,
        "horizon_minutes": [60] * n_rows,
        "score": np.where(generator.random(n_rows) < 0.05, np.nan, score),
        "score_null": np.zeros(n_rows),
        "score_ci_low": score - 0.04,
        "score_ci_high": score + 0.04,
        "p_value": generator.random(n_rows) ** 4,
        "q_value": generator.random(n_rows) ** 3,
        "sample_size": generator.integers(300, 9_000, n_rows),
        "n_effective": generator.random(n_rows) * 500,
        "pooled_score_on_symbol": generator.normal(0, 0.05, n_rows),
        "pooled_score_on_symbol_ci_high": generator.normal(0.08, 0.05, n_rows),
        "local_minus_pooled": generator.normal(0, 0.03, n_rows),
        "local_minus_pooled_ci_low": generator.normal(-0.04, 0.03, n_rows),
        "local_minus_pooled_ci_high": generator.normal(0.04, 0.03, n_rows),
        "stability": generator.choice(["STABLE", "DRIFTING", "DIVERGED"], n_rows).tolist(),
        "leakage_status": generator.choice(["SAFE", "SAFE", "SAFE", "SUSPECT", "BLOCKED"], n_rows).tolist(),
        "unsafe_features": [[]] * n_rows,
        "attempted_model_families": [["Ridge"]] * n_rows,
        "failed_model_families": [[]] * n_rows,
        "model_status": ["OK"] * n_rows,
    }
    return candidates_from_table(
        pa.table({field.name: pa.array(columns[field.name], field.type, from_pandas=True) for field in CANDIDATE_SCHEMA if field.name in columns})
    )


def noise_holdout(target: str, n_symbols: int, n_times: int = 40, first_code: int = 100, copies: bool = False, seed: int = 0) -> HoldoutScores:
    """Holdout scores of weak predictions; `copies` gives every symbol the same rows."""
    generator = np.random.default_rng(seed)
    symbols = np.repeat(np.arange(n_symbols), n_times)

    def draw() -> np.ndarray:
        return np.tile(generator.normal(size=n_times), n_symbols) if copies else generator.normal(size=n_symbols * n_times)

    labels = draw()
    parts = [contributions(TaskType.REGRESSION, draw() + strength * labels, labels, symbols, n_symbols) for strength in (0.3, 0.2, 0.4)]
    tables = [score_groups(part, symbols, symbols, n_symbols, 1, 0.0, 0.95, 2.0) for part in parts]
    names = ("score", "ci_low", "ci_high", "n_rows", "n_effective")
    stacked = (np.stack([getattr(table, name) for table in tables]) for name in names)
    times = np.tile(np.arange(n_times) + first_code, n_symbols)
    info = TargetInfo(target, TaskType.REGRESSION, 1, 60, "supplied", "none")
    return HoldoutScores(info, "rank_ic", 0.0, *stacked, times, symbols, np.stack([part.influence for part in parts]))


def random_report(targets: tuple[str, ...], symbols: tuple[str, ...], scored: bool = True, leaderboard: pd.DataFrame | None = None) -> RoutingReport:
    """A report on random candidates; `scored` puts noise on the holdout, else nothing was scored."""
    config = Config()
    decisions = route_candidates(random_candidates(targets, symbols), config.routing)
    holdout = [noise_holdout(target, len(symbols), seed=number) for number, target in enumerate(targets)] if scored else []
    results = measure_routing(decisions, holdout, symbols, (100, 140), config.scoring)
    plan = routing_plan(decisions, config.routing)
    return report_from_results(
        decisions,
        results,
        plan_metadata=dict(plan.metadata),
        config=config,
        holdout=("2024-01-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00", 40),
        evidence=(pd.DataFrame(), empty_audit(), pd.DataFrame(columns=list(STABILITY_COLUMNS)), leaderboard),
    )
