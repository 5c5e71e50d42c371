"""What a person wants to know of a plan at a glance: counts, commonest reasons, the pooled scores.

Belongs here: pure sums over plans and tables. Does not: drawing (`route_picture`), or printing.
"""

from collections import Counter
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from routing_assets.contracts import Mode, RoutingPlan
from routing_assets.route_picture import ScoreBar


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


def score_bars(candidates: pa.Table) -> dict[str, list[ScoreBar]]:
    """The pooled scores by metric, best first; targets without a score or an interval are left out."""
    columns = ["target", "mode", "metric_name", "score", "score_ci_low", "score_ci_high", "score_null"]
    bars: dict[str, list[ScoreBar]] = {}
    for row in candidates.select(columns).to_pylist():
        numbers = [row["score"], row["score_ci_low"], row["score_ci_high"], row["score_null"]]
        if row["mode"] == Mode.CROSS_SECTIONAL and None not in numbers:
            bars.setdefault(row["metric_name"] or "score", []).append(ScoreBar(row["target"], *numbers))
    return {metric: sorted(rows, key=lambda bar: -bar.score) for metric, rows in sorted(bars.items())}
