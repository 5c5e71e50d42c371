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
SCORE_COLUMNS = ("score_with", "score_without")
"""A quick pooled model's rank correlation out of sample with all features and without the quarantined ones, at the findings that quarantine a
feature; NaN elsewhere. Two more columns of the audit table, which nothing decides by."""

DATA_COLUMN = "data_hash"
"""A last column, the same in every row: the data that was audited. What was found in other data says nothing."""

_SEVERITY = {LeakageStatus.SAFE.value: 0, LeakageStatus.UNKNOWN.value: 1, LeakageStatus.SUSPECT.value: 2, LeakageStatus.BLOCKED.value: 3}
_NAMES = np.array(list(_SEVERITY))
_DTYPES = {"statistic": float, "threshold": float, "accepted": bool, "score_with": float, "score_without": float}


def empty_audit() -> pd.DataFrame:
    """An audit without findings."""
    return pd.DataFrame({column: pd.Series(dtype=object) for column in (*AUDIT_COLUMNS, *SCORE_COLUMNS, DATA_COLUMN)}).astype(_DTYPES)


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


def is_audited(audit: pd.DataFrame, target: str) -> bool:
    """Whether any detector looked at the target itself; what holds for the whole panel is no audit of a target."""
    return bool((audit["target"] == target).any())


def concerning(audit: pd.DataFrame, target: str, symbols: Collection[str], features: Collection[str]) -> pd.DataFrame:
    """The findings, SAFE rows aside, that nobody has accepted and that concern a target, any of the symbols and any of the features.

    A null target, symbol or feature concerns all of them. A finding on a feature that is not used, or on another symbol, says nothing.
    """
    rows = open_findings(audit)
    rows = rows[rows["status"] != LeakageStatus.SAFE.value]
    return rows[_concerns(rows["target"], (target,)) & _concerns(rows["symbol"], symbols) & _concerns(rows["feature"], features)]


def feature_status(audit: pd.DataFrame, target: str, feature: str) -> LeakageStatus:
    """Worst finding on one feature for one target, in any symbol; UNKNOWN where the target was not audited or a detector could not run."""
    rows = open_findings(audit)
    rows = rows[_concerns(rows["target"], (target,))]
    rows = rows[(rows["feature"] == feature) | (rows["feature"].isna() & (rows["status"] == LeakageStatus.UNKNOWN.value))]
    return _worst(rows) if is_audited(audit, target) else LeakageStatus.UNKNOWN


def target_status(audit: pd.DataFrame, target: str) -> LeakageStatus:
    """Worst finding on the target itself: those that name no feature and no symbol; UNKNOWN where it was not audited."""
    return _worst(concerning(audit, target, (), ())) if is_audited(audit, target) else LeakageStatus.UNKNOWN


def pair_status(audit: pd.DataFrame, target: str, symbol: str, features: Collection[str]) -> LeakageStatus:
    """Worst finding on a target, one symbol and the features used; UNKNOWN where the target was not audited."""
    return _worst(concerning(audit, target, (symbol,), features)) if is_audited(audit, target) else LeakageStatus.UNKNOWN


def side_statuses(audit: pd.DataFrame, target: str, symbols: Collection[str], features: Collection[str]) -> tuple[LeakageStatus, NDArray[np.str_]]:
    """Leakage status of a target's pooled side and of each symbol's own side.

    A finding on a feature that the side does not use says nothing about the side; one on a symbol holds for that symbol alone.

    Returns
    -------
    pooled : the worst finding of the target itself and of its features; UNKNOWN for a target that was not audited at all.
    local : shape (n_symbols,), the same joined with each symbol's own findings.
    """
    if not is_audited(audit, target):
        return LeakageStatus.UNKNOWN, np.full(len(symbols), LeakageStatus.UNKNOWN.value)
    rows = concerning(audit, target, symbols, features)
    severity = _severities(rows)
    shared = rows["symbol"].isna().to_numpy(bool)
    pooled = int(severity[shared].max(initial=0))
    own = pd.Series(severity[~shared], index=rows["symbol"][~shared]).groupby(level=0).max() if (~shared).any() else pd.Series(dtype=int)
    local = np.maximum(own.reindex(list(symbols)).fillna(0).to_numpy(int), pooled)
    return LeakageStatus(_NAMES[pooled]), _NAMES[local]


def _concerns(column: "pd.Series[str]", names: Collection[str]) -> "pd.Series[bool]":
    return column.isna() | column.isin(list(names))


def _severities(rows: pd.DataFrame) -> NDArray[np.int64]:
    return np.array([_SEVERITY[status] for status in rows["status"]], np.int64)


def _worst(rows: pd.DataFrame) -> LeakageStatus:
    return LeakageStatus(_NAMES[_severities(rows).max(initial=0)])
