"""What a person wants to know of a plan at a glance: counts, commonest reasons, scores, what moved.

Belongs here: pure sums over plans and tables. Does not: drawing (`plots`), or printing.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from routing_assets.contracts import ROUTES, Mode, RoutingPlan
from routing_assets.report.plots import ForestRow
from training_assets.contracts import TrainingPlan


def reasons_by_route(plan: RoutingPlan, n_commonest: int = 3) -> dict[str, str]:
    """Route to its commonest reasons with their counts, as `NOT_SIGNIFICANT (12), SCORE (3)`."""
    counters: dict[str, Counter[str]] = {}
    for entry in plan.targets.values():
        for pair in entry["symbols"].values():
            counters.setdefault(pair["route"], Counter()).update(str(reason) for reason in pair["reason"])
    return {route: ", ".join(f"{reason} ({count:,})" for reason, count in counter.most_common(n_commonest)) for route, counter in counters.items()}


def decision_lines(plan: RoutingPlan) -> Iterator[str]:
    """One line a pair: its route, its states and its reasons."""
    for target, entry in plan.targets.items():
        for symbol, pair in entry["symbols"].items():
            yield f"{target}/{symbol}: {pair['route']} (pooled {pair['cs_state']}, local {pair['local_state']}): {', '.join(map(str, pair['reason']))}"


def status_counts(table: pd.DataFrame, column: str = "status") -> dict[str, int]:
    """How often each value of a column stands in a table, by name."""
    return {str(value): int(count) for value, count in sorted(table[column].value_counts().items())}


def plan_routes(plan: RoutingPlan) -> tuple[list[str], list[str], NDArray[np.int8]]:
    """Targets, symbols, and the route of each pair as its position in `ROUTES`, shape (n_targets, n_symbols); -1 where a target has no such symbol."""
    targets = list(plan.targets)
    symbols = sorted({symbol for entry in plan.targets.values() for symbol in entry["symbols"]})
    place = {symbol: column for column, symbol in enumerate(symbols)}
    code = {str(route): position for position, route in enumerate(ROUTES)}
    routes = np.full((len(targets), len(symbols)), -1, np.int8)
    for line, target in enumerate(targets):
        for symbol, pair in plan.targets[target]["symbols"].items():
            routes[line, place[symbol]] = code[pair["route"]]
    return targets, symbols, routes


def scores_of_side(candidates: pa.Table, mode: Mode, limit: int = 60) -> dict[str, tuple[list[ForestRow], float]]:
    """By metric, the scores of one side with their intervals, the best `limit` first, and the null they are held against; rows without a score are left out."""
    columns = ["target", "symbol", "mode", "metric_name", "score", "score_ci_low", "score_ci_high", "score_null"]
    found: dict[str, tuple[list[ForestRow], float]] = {}
    for row in candidates.select(columns).to_pylist():
        numbers = [row["score"], row["score_ci_low"], row["score_ci_high"]]
        if row["mode"] == mode and None not in numbers:
            label = row["target"] if row["symbol"] is None else f"{row['target']} / {row['symbol']}"
            found.setdefault(row["metric_name"] or "score", ([], row["score_null"] or 0.0))[0].append(ForestRow(label, *numbers))
    return {metric: (sorted(rows, key=lambda row: -row.value)[:limit], null) for metric, (rows, null) in sorted(found.items())}


def status_by_detector(audit: pd.DataFrame) -> pd.DataFrame:
    """One row a leakage detector: how many of its rows in the audit have each status."""
    return pd.crosstab(audit["detector"], audit["status"]).rename_axis(columns=None).reset_index()


def job_counts(plan: TrainingPlan) -> pd.DataFrame:
    """Jobs and estimated rows of a training plan by route and type."""
    rows = [(str(job.route), str(job.training_type), job.estimated_samples or 0) for job in plan.jobs]
    frame = pd.DataFrame(rows, columns=["route", "type", "rows"])
    return frame.groupby(["route", "type"], as_index=False).agg(jobs=("rows", "size"), estimated_rows=("rows", "sum"))


def moved_pairs(before: RoutingPlan, after: RoutingPlan) -> pd.DataFrame:
    """One row a pair whose route differs between two plans: `target, symbol, before, after, reasons`; a pair that a plan does not have has no route there."""
    routes = [{(target, symbol): pair for target, entry in plan.targets.items() for symbol, pair in entry["symbols"].items()} for plan in (before, after)]
    rows = []
    for target, symbol in sorted(routes[0].keys() | routes[1].keys()):
        old, new = (side.get((target, symbol)) for side in routes)
        names = [None if pair is None else pair["route"] for pair in (old, new)]
        if names[0] != names[1]:
            rows.append((target, symbol, *names, ", ".join(map(str, (new or {}).get("reason", ())))))
    return pd.DataFrame(rows, columns=["target", "symbol", "before", "after", "reasons"])
