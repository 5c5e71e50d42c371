"""What an audit's findings mean for a feature, a target or a pair.

Belongs here: the audit table's schema and the reading of it. Does not: detectors, or how they are run (`audit`).
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.sections.base import LeakageStatus

AUDIT_COLUMNS = ("target", "symbol", "feature", "detector", "statistic", "threshold", "status", "accepted", "message")
"""One row a finding, and one with status SAFE a (target, detector) that ran and found nothing. `target`, `symbol` or `feature` is None where the
finding holds for all of them; `accepted` marks findings that the configuration lets pass (`leakage.accept`); UNKNOWN is a detector that could
not run. `statistic` and `threshold` are the number found and the bound it was held against."""

_SEVERITY = {LeakageStatus.SAFE.value: 0, LeakageStatus.UNKNOWN.value: 1, LeakageStatus.SUSPECT.value: 2, LeakageStatus.BLOCKED.value: 3}
_NAMES = np.array(list(_SEVERITY))


def empty_audit() -> pd.DataFrame:
    """An audit without findings."""
    return pd.DataFrame({column: pd.Series(dtype=object) for column in AUDIT_COLUMNS}).astype({"statistic": float, "threshold": float, "accepted": bool})


def open_findings(audit: pd.DataFrame) -> pd.DataFrame:
    """The findings that nobody has accepted."""
    return audit[~audit["accepted"].astype(bool)]


def quarantined_features(audit: pd.DataFrame, target: str) -> frozenset[str]:
    """Features that are BLOCKED for a target: left out of everything that target is scored on or trained with, in this plan only."""
    rows = open_findings(audit)
    rows = rows[(rows["status"] == LeakageStatus.BLOCKED.value) & rows["feature"].notna() & (rows["target"].isna() | (rows["target"] == target))]
    return frozenset(rows["feature"])


def allowed_features(audit: pd.DataFrame, target: str, features: Collection[str]) -> tuple[str, ...]:
    """The features of a target that are not quarantined, in the order given."""
    blocked = quarantined_features(audit, target)
    return tuple(name for name in features if name not in blocked)


def unsafe_features(audit: pd.DataFrame, target: str, features: Collection[str]) -> tuple[str, ...]:
    """Those of the features whose status for the target is not SAFE."""
    rows = open_findings(audit)
    rows = rows[(rows["status"] != LeakageStatus.SAFE.value) & rows["feature"].notna() & (rows["target"].isna() | (rows["target"] == target))]
    return tuple(sorted(set(rows["feature"]) & set(features)))


def side_statuses(audit: pd.DataFrame, target: str, symbols: Collection[str], features: Collection[str]) -> tuple[LeakageStatus, NDArray[np.str_]]:
    """Leakage status of a target's pooled side and of each symbol's own side.

    A finding on a feature that the side does not use says nothing about the side; one on a symbol holds for that symbol alone.

    Returns
    -------
    pooled : the worst finding of the target itself and of its features; UNKNOWN for a target that was not audited at all.
    local : shape (n_symbols,), the same joined with each symbol's own findings.
    """
    rows = audit[audit["target"].isna() | (audit["target"] == target)]
    if rows.empty:
        return LeakageStatus.UNKNOWN, np.full(len(symbols), LeakageStatus.UNKNOWN.value)
    rows = open_findings(rows)
    rows = rows[rows["feature"].isna() | rows["feature"].isin(list(features))]
    severity = rows["status"].map(_SEVERITY).to_numpy(int) if len(rows) else np.zeros(0, int)
    shared = rows["symbol"].isna().to_numpy(bool)
    pooled = int(severity[shared].max(initial=0))
    own = pd.Series(severity[~shared], index=rows["symbol"][~shared]).groupby(level=0).max() if (~shared).any() else pd.Series(dtype=int)
    local = np.maximum(own.reindex(list(symbols)).fillna(0).to_numpy(int), pooled)
    return LeakageStatus(_NAMES[pooled]), _NAMES[local]
