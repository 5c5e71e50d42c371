"""An audit's findings as sentences, for the terminal and for the plan.

Belongs here: which findings a reader is told of, in what order, and how one reads. Does not: what a finding means for a side (`status`).
"""

import math
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import pandas as pd

from config.sections.base import LeakageStatus

# The order in which findings are told: what shuts a door first, what somebody has let pass last.
_ORDER = {LeakageStatus.BLOCKED.value: 0, LeakageStatus.SUSPECT.value: 1, LeakageStatus.UNKNOWN.value: 2}


def told_findings(audit: pd.DataFrame, target: str | None = None, symbols: Collection[str] | None = None) -> pd.DataFrame:
    """Findings that are not SAFE, the worst first and accepted ones last.

    Parameters
    ----------
    audit : columns `training_assets.leakage.status.AUDIT_COLUMNS`.
    target : those that concern this target; None for all.
    symbols : those that concern any of these symbols, or all symbols; None for all.

    Returns
    -------
    The audit's rows; one that stands in for many targets (null) is kept once.
    """
    rows = audit[audit["status"].isin(list(_ORDER))]
    if target is not None:
        rows = rows[rows["target"].isna() | (rows["target"] == target)]
    if symbols is not None:
        rows = rows[rows["symbol"].isna() | rows["symbol"].isin(list(symbols))]
    rank = rows["status"].map(_ORDER) + 10 * rows["accepted"].astype(int)
    return rows.loc[rank.sort_values(kind="stable").index]


def finding_sentence(row: Mapping[Hashable, Any]) -> str:
    """One finding: its status, what it is about, the number against the bound, what it means and what to do."""
    about = [f"{kind} {row[kind]}" for kind in ("feature", "symbol") if row[kind] is not None] or ["the target itself"]
    status = "accepted" if row["accepted"] else row["status"]
    return f"{status} {row['detector']}, {', '.join(about)}: {row['message']}{_scores(row)}"


def finding_sentences(findings: pd.DataFrame, limit: int) -> tuple[str, ...]:
    """The first findings as sentences, and how many are left out."""
    lines = [finding_sentence(row) for row in findings.head(limit).to_dict("records")]
    left_out = len(findings) - len(lines)
    return (*lines, f"and {left_out:,} more in METRICS/leakage_audit.parquet") if left_out else tuple(lines)


def _scores(row: Mapping[Hashable, Any]) -> str:
    """What quarantine cost, where the audit measured it."""
    if not (math.isfinite(row["score_with"]) and math.isfinite(row["score_without"])):
        return ""
    return f" (a quick pooled model scores {row['score_with']:.3f} with what is quarantined and {row['score_without']:.3f} without)"
