"""What the report's page says of one target as a whole: its features, stability, findings, models, and what its routes were worth.

Belongs here: facts of a target, gathered from the evidence tables as they are stored. Does not: pairs (`page_data`), or layout (`html_page`).
"""

from typing import Any

import pandas as pd

from config.sections.base import LeakageStatus
from routing_assets.contracts import Mode
from routing_assets.report.report import RoutingReport

MAX_FEATURES, MAX_FINDINGS, MAX_MODELS = 12, 12, 8
_MEANS = {
    "skill of what the routes train": "skill_routed",
    "regret against hindsight": "regret",
    "routed less always pooled": "routed_minus_pooled",
    "routed less always local": "routed_minus_local",
    "routed less always both": "routed_minus_both",
}


def target_pages(report: RoutingReport) -> list[dict[str, Any]]:
    """One entry a target, in the order of the candidates.

    Returns
    -------
    Entries of `facts` (pairs of name and text), `features` (the selected ones, best first, at most `MAX_FEATURES`), `findings` (detector, feature, symbol
    and message of what is not SAFE, the gravest first) and `models` (family, symbol or null, metric, score, best first).
    """
    selection, audit, stability, models = (_by_target(table) for table in (report.selection, report.audit, report.stability, report.leaderboard))
    return [
        {
            "facts": [*_holdout_facts(report, target), *_evidence_facts(selection.get(target), stability.get(target), audit.get(target))],
            "features": _features(selection.get(target)),
            "findings": _findings(audit.get(target)),
            "models": _models(models.get(target)),
        }
        for target in report.decisions.candidates.targets
    ]


def _by_target(table: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    return {} if table is None or table.empty else {str(target): rows for target, rows in table.groupby("target", sort=False)}


def _holdout_facts(report: RoutingReport, target: str) -> list[tuple[str, str]]:
    means = {name: report.mean("target", target, quantity) for name, quantity in _MEANS.items()}
    return [(f"holdout: {name}", mean.text() if mean.n_pairs else "none scored") for name, mean in means.items()]


def _evidence_facts(selection: pd.DataFrame | None, stability: pd.DataFrame | None, audit: pd.DataFrame | None) -> list[tuple[str, str]]:
    facts = []
    if stability is not None:
        pooled = stability.loc[stability["mode"] == str(Mode.CROSS_SECTIONAL), "stability"]
        own = stability.loc[stability["mode"] == str(Mode.SYMBOL_SPECIFIC), "stability"].value_counts()
        counted = ", ".join(f"{word} {count:,}" for word, count in sorted(own.items()))
        facts.append(("stability", f"pooled {pooled.iloc[0] if len(pooled) else 'not computed'}; symbols {counted or 'not computed'}"))
    if selection is not None:
        facts.append(("features", f"{int(selection['selected'].sum()):,} selected of {len(selection):,}"))
    if audit is not None:
        counts = audit["status"].value_counts()
        facts.append(("leakage findings", ", ".join(f"{status} {int(counts.get(str(status), 0)):,}" for status in LeakageStatus)))
    return facts


def _features(selection: pd.DataFrame | None) -> list[str]:
    if selection is None:
        return []
    chosen = selection[selection["selected"].astype(bool)].sort_values("rank", kind="stable")
    return [str(name) for name in chosen["feature"].head(MAX_FEATURES)]


def _findings(audit: pd.DataFrame | None) -> list[dict[str, Any]]:
    if audit is None:
        return []
    order = {str(status): place for place, status in enumerate((LeakageStatus.BLOCKED, LeakageStatus.SUSPECT, LeakageStatus.UNKNOWN))}
    found = audit[audit["status"].isin(order)].sort_values("status", key=lambda column: column.map(order), kind="stable")
    names = ("status", "detector", "feature", "symbol", "message")
    return [{name: None if pd.isna(row[name]) else str(row[name]) for name in names} for row in found.head(MAX_FINDINGS).to_dict("records")]


def _models(board: pd.DataFrame | None) -> list[dict[str, Any]]:
    if board is None:
        return []
    best = board.dropna(subset=["score"]).sort_values("score", ascending=False, kind="stable").head(MAX_MODELS)
    return [
        {
            "family": str(row["family"]),
            "symbol": row["symbol"] if isinstance(row["symbol"], str) else None,
            "metric": str(row["metric"]),
            "score": float(f"{row['score']:.4g}"),
        }
        for row in best.to_dict("records")
    ]
