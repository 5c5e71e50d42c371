"""The routing report: what the routes were worth on the holdout, with everything a reader needs to judge them.

Belongs here: putting the report together, its table, its words and its Markdown. Does not: scores (`holdout_scores`), means (`regret`), or the page
(`report.html_page`). Nothing before the report reads the holdout, and nothing after it may decide by what it says: a plan that is changed because
of a report needs a new holdout.
"""

from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from config.schema import Config
from routing_assets.contracts import ROUTES, STATES, Candidates, Decisions, RoutingPlan
from routing_assets.decisions.policy import route_candidates
from routing_assets.decisions.screen_recall import screen_recall
from routing_assets.evidence.candidates_table import parquet_bytes
from routing_assets.evidence.holdout_scores import score_holdout
from routing_assets.plans.plan_consistency import plan_against_candidates
from routing_assets.report.regret import CONTRAST, FIXED, Mean, RoutingResults, mean_of, measure_routing
from training_assets.contracts import Route
from training_assets.leakage.status import allowed_features
from training_assets.panel.panel import Panel

REPORT_COLUMNS = {
    "target": "target of the pair",
    "symbol": "symbol of the pair",
    "route": "the route the pair got",
    "cs_state": "state of the pooled side as it was available to this symbol",
    "local_state": "state of the symbol's own side",
    "task_type": "task of the target",
    "metric_name": "metric of every score in the row: centred_rank_ic, centred_auc or centred_auc_one_vs_rest",
    "horizon_minutes": "how far the label reaches",
    "n_rows": "labelled rows of the holdout behind the scores; null where the target was not scored",
    "n_effective": "of them not overlapping",
    "score_null": "what chance scores",
    "score_pooled": "holdout score of the pooled model on this symbol",
    "score_local": "holdout score of the symbol's own model",
    "score_both": "holdout score of the pooled model with the symbol's residual on top",
    "score_routed": "holdout score of what the route trains; null for a blocked pair",
    "score_routed_ci_low": "lower bound of its confidence interval",
    "score_routed_ci_high": "upper bound of its confidence interval",
    "best": "the side with the best holdout score: CROSS_SECTIONAL, SYMBOL_SPECIFIC or BOTH",
    "score_best": "its score",
    "regret": "score_best less score_routed, zero where the route is the best side; null for a blocked pair",
    "earlier_pooled": "score of the pooled model on this symbol before the holdout, that the route was decided by",
    "earlier_local": "the same of the symbol's own model",
    "earlier_both": "the same of the blend",
}
_TEXT = ("target", "symbol", "route", "cs_state", "local_state", "task_type", "metric_name", "best")
_COUNTS = ("horizon_minutes", "n_rows")
_SCHEMA = pa.schema([(name, pa.string() if name in _TEXT else pa.int64() if name in _COUNTS else pa.float64()) for name in REPORT_COLUMNS])
CALIBRATION_COLUMNS = ("side", "state", "n_pairs", "skill_before", "skill_holdout", "ci_low", "ci_high", "share_above_null")
_SIDE_OF_STATES = {"cs_state": ("pooled", "earlier_pooled", "score_pooled"), "local_state": ("local", "earlier_local", "score_local")}


class ReportError(ValueError):
    """A report that cannot be made from what was given; the message says what does not fit and what to do."""


@dataclass(frozen=True)
class RoutingReport:
    """Everything that the table, the Markdown and the page are written from.

    Attributes
    ----------
    table : one row a pair, columns `REPORT_COLUMNS`, ordered by target and symbol; what was not computed is null.
    means : means over pairs with intervals, in skill; see `routing_assets.report.regret.RoutingResults`.
    calibration : one row a side and state, columns `CALIBRATION_COLUMNS`: mean skill before the holdout and on it.
    verdicts : the findings in sentences, the plain answer first.
    plan_metadata : of the routing plan. config : the settings it was made with.
    holdout_start, holdout_end : first and last bar of the holdout, UTC, ISO 8601; n_holdout_times of them.
    selection, audit, stability : evidence tables as stored. leaderboard : of the trained models, None where none is trained.
    """

    table: pd.DataFrame
    means: pd.DataFrame
    calibration: pd.DataFrame
    verdicts: tuple[str, ...]
    decisions: Decisions
    plan_metadata: dict[str, object]
    config: Config
    holdout_start: str
    holdout_end: str
    n_holdout_times: int
    selection: pd.DataFrame
    audit: pd.DataFrame
    stability: pd.DataFrame
    leaderboard: pd.DataFrame | None

    def mean(self, kind: str, group: str, quantity: str) -> Mean:
        """A mean over pairs; see `routing_assets.report.regret.RoutingResults` for the groups."""
        return mean_of(self.means, kind, group, quantity)


def build_report(
    panel: Panel,
    plan: RoutingPlan,
    candidates: Candidates,
    selection: pd.DataFrame,
    audit: pd.DataFrame,
    stability: pd.DataFrame,
    leaderboard: pd.DataFrame | None,
    config: Config,
) -> RoutingReport:
    """Score every pair on the holdout and hold its route against the alternatives.

    Scores are those of the screen's models (closed-form ridge, and boosted trees where they took part before), fitted on everything before the
    holdout with every feature that the audit allows; the pooled one pools all symbols.

    Parameters
    ----------
    candidates : the table that `plan` was made from. A target of it that the panel does not hold has no holdout scores.

    Raises
    ------
    ReportError
        Plan, candidates, panel and settings do not belong together.
    """
    decisions = route_candidates(candidates, config.routing)
    _refuse_mismatch(panel, plan, decisions)
    features = {target: allowed_features(audit, target, panel.feature_names) for target in candidates.targets if target in panel.target_names}
    start, stop = panel.holdout_start_code, int(panel.times_ns.size)
    results = measure_routing(decisions, score_holdout(panel, features, candidates, config), panel.symbols, (start, stop), config.scoring)
    return report_from_results(
        decisions,
        results,
        plan_metadata=dict(plan.metadata),
        config=config,
        holdout=(_iso(panel, start), _iso(panel, stop - 1), stop - start),
        evidence=(selection, audit, stability, leaderboard),
    )


def report_from_results(
    decisions: Decisions,
    results: RoutingResults,
    *,
    plan_metadata: dict[str, object],
    config: Config,
    holdout: tuple[str, str, int],
    evidence: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame | None],
) -> RoutingReport:
    """Put the report together from what was measured; parameters as the attributes of `RoutingReport`, in their order."""
    table = _table(decisions, results)
    calibration = _calibration(table, results.means)
    recall = screen_recall(decisions, config.scoring.confidence)
    verdicts = (*_verdicts(table, results.means), *([recall.text()] if recall.n_refused else []))
    selection, audit, stability, leaderboard = evidence
    return RoutingReport(table, results.means, calibration, verdicts, decisions, plan_metadata, config, *holdout, selection, audit, stability, leaderboard)


def report_bytes(report: RoutingReport) -> bytes:
    """The table as parquet, what each column holds in the file's own metadata; the same report gives the same bytes."""
    table = pa.Table.from_pandas(report.table, schema=_SCHEMA, preserve_index=False)
    documented = {f"switchyard.column.{name}": text for name, text in REPORT_COLUMNS.items()}
    return parquet_bytes(table.replace_schema_metadata({"switchyard.plan_id": str(report.plan_metadata.get("plan_id")), **documented}))


def _refuse_mismatch(panel: Panel, plan: RoutingPlan, decisions: Decisions) -> None:
    mend = "make the plan again with `switchyard plan`"
    if plan.metadata.get("data_hash") not in (None, panel.data_hash):
        raise ReportError(f"routing report: plan {plan.plan_id} was made from data {plan.metadata['data_hash']}, the panel is {panel.data_hash}; {mend}")
    faults = plan_against_candidates(plan, decisions.candidates)
    if faults:
        raise ReportError(f"routing report: plan {plan.plan_id} does not stand on these candidates: {faults[0]}; {mend}")
    targets, symbols = _names(decisions)
    for target, symbol, route in zip(targets, symbols, decisions.routes.tolist(), strict=True):
        planned = plan.targets[target]["symbols"][symbol]["route"]
        if planned != ROUTES[route]:
            raise ReportError(
                f"routing report: {target}/{symbol} is {planned} in plan {plan.plan_id}, the settings in use give {ROUTES[route]}; "
                f"use the settings that the plan was made with, or {mend}"
            )


def _names(decisions: Decisions) -> tuple[list[str], list[str]]:
    candidates = decisions.candidates
    targets = [candidates.targets[code] for code in candidates.target_codes[decisions.rows].tolist()]
    return targets, [candidates.symbols[code] for code in candidates.symbol_codes[decisions.rows].tolist()]


def _table(decisions: Decisions, results: RoutingResults) -> pd.DataFrame:
    candidates, rows = decisions.candidates, decisions.rows
    targets, symbols = _names(decisions)
    held = results.pairs
    columns: dict[str, object] = {
        "target": targets,
        "symbol": symbols,
        "route": [str(ROUTES[code]) for code in decisions.routes.tolist()],
        "cs_state": [str(STATES[code]) for code in decisions.cs_states.tolist()],
        "local_state": [str(STATES[code]) for code in decisions.local_states.tolist()],
        **{name: candidates.table.column(name).take(rows).to_pylist() for name in ("task_type", "metric_name")},
        "horizon_minutes": pd.array(candidates.table.column("horizon_minutes").take(rows).to_pylist(), dtype="Int64"),
        "n_rows": held["n_rows"].astype("Int64"),
        **{name: held[name] for name in REPORT_COLUMNS if name in held and name != "n_rows"},
        "earlier_pooled": candidates.numbers("pooled_score_on_symbol")[rows],
        "earlier_local": candidates.numbers("score")[rows],
        "earlier_both": candidates.numbers("blended_score")[rows],
    }
    return pd.DataFrame(columns, columns=list(REPORT_COLUMNS))


def _calibration(table: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    scale = 1.0 - table["score_null"]
    rows: list[tuple[object, ...]] = []
    for kind, (side, before, after) in _SIDE_OF_STATES.items():
        for state in STATES:
            own = table[(table[kind] == str(state)) & table[after].notna()]
            skill_before = ((own[before] - own["score_null"]) / scale[own.index]).mean()
            above = (own[after] > own["score_null"]).mean()
            held = mean_of(means, kind, str(state), f"skill_{side}")
            rows.append((side, str(state), len(own), skill_before, held.value, held.low, held.high, above))
    return pd.DataFrame(rows, columns=list(CALIBRATION_COLUMNS))


def _verdicts(table: pd.DataFrame, means: pd.DataFrame) -> tuple[str, ...]:
    """The findings as sentences. An interval that holds zero is said to hold zero, whichever way the mean points."""
    n_routed = int((table["route"] != str(Route.BLOCKED)).sum())
    lines = [_signal_line(mean_of(means, "all", "all", "skill_routed"), n_routed, len(table))]
    regret = mean_of(means, "all", "all", "regret")
    if regret.n_pairs:
        lines += [_choice_line(name, mean_of(means, "all", "all", f"routed_minus_{name}")) for name in FIXED]
        lines.append(f"Mean regret against the best side in hindsight: {regret.text()}.")
    for kind, (side, *_) in _SIDE_OF_STATES.items():
        contrast = mean_of(means, kind, CONTRAST, f"skill_{side}")
        if contrast.n_pairs:
            held = ("is not told apart from", "held up better than", "held up worse than")[contrast.sign]
            lines.append(f"On the {side} side STRONG {held} WEAK_BUT_OK: {contrast.text()}.")
    return tuple(lines)


def _signal_line(skill: Mean, n_routed: int, n_pairs: int) -> str:
    if not n_routed:
        return f"None of {n_pairs:,} pairs is routed: there is nothing to train, and no route to judge."
    if not skill.n_pairs:
        return f"{n_routed:,} of {n_pairs:,} pairs are routed; none could be scored on the holdout by all three sides, so what routing was worth is not known."
    what = ("is not told apart from chance", "is above chance", "is below chance")[skill.sign]
    return f"{n_routed:,} of {n_pairs:,} pairs are routed; the holdout skill of the {skill.n_pairs:,} that all three sides could score {what}: {skill.text()}."


def _choice_line(name: str, difference: Mean) -> str:
    if difference.value == difference.low == difference.high == 0.0:
        return f"Routing is the same as always-{name} here: every routed pair got that side."
    what = ("Routing is not told apart from", "Routing helped against", "Routing did not help; it did worse than")[difference.sign]
    return f"{what} always-{name}: {difference.text()}."


def _iso(panel: Panel, code: int) -> str:
    """A bar's open, UTC; empty where the holdout has no bar."""
    return pd.Timestamp(int(panel.times_ns[code]), tz="UTC").isoformat() if 0 <= code < panel.times_ns.size else ""
