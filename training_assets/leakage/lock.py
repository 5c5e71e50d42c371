"""The leakage lock: the last word before a fit, inside the asset that fits.

Belongs here: one pure verdict over the audit table. Does not: detectors, or the check that shows the same verdict in the UI. A blocking check
stops its own run only, so every model asset asks here again, whoever started it.
"""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from config.sections.base import LeakageStatus
from training_assets.leakage.status import DATA_COLUMN, concerning, is_audited


class AuditError(ValueError):
    """An audit that says nothing of what is to be fitted."""


@dataclass(frozen=True)
class LockVerdict:
    """Whether a job may be fitted; `reasons` are the findings that keep it shut, in words."""

    is_open: bool
    reasons: tuple[str, ...]


def leakage_lock(
    audit: pd.DataFrame, target: str, symbols: Collection[str], features: Collection[str], *, block: bool = True, allow_unknown: bool = False
) -> LockVerdict:
    """Judge one job by the audit's findings on its target, its symbols and its features.

    Parameters
    ----------
    audit : columns as in `training_assets.leakage.status.AUDIT_COLUMNS`; a null target, symbol or feature means all of them.
    symbols, features : what the job would be fitted on.
    block : `routing.block_on_leakage`; without it the lock stays open.
    allow_unknown : whether a target that nobody audited may be fitted.

    Returns
    -------
    Shut by a BLOCKED finding that concerns the job and that nobody has accepted, by an UNKNOWN one, and for a target that was not audited.
    """
    if not block:
        return LockVerdict(True, ())
    if not is_audited(audit, target):
        return LockVerdict(allow_unknown, () if allow_unknown else (f"LEAKAGE: no audit of target {target}; materialize leakage_audit",))
    shut = [LeakageStatus.BLOCKED] if allow_unknown else [LeakageStatus.BLOCKED, LeakageStatus.UNKNOWN]
    findings = concerning(audit, target, symbols, features)
    findings = findings[findings["status"].isin(shut)]
    reasons = tuple(dict.fromkeys(f"LEAKAGE: {row.detector}: {row.message}" for row in findings.itertuples()))
    return LockVerdict(not reasons, reasons)


def other_data(audit: pd.DataFrame, data_hash: str) -> str | None:
    """Why an audit says nothing of the data `data_hash`, in words; None where it is an audit of these."""
    audited = set(audit[DATA_COLUMN]) if DATA_COLUMN in audit else set()
    if audited == {data_hash}:
        return None
    told = ", ".join(sorted(map(str, audited))) or "data that it does not name"
    return f"LEAKAGE: the leakage audit is of {told}, not of the data in use ({data_hash}); materialize leakage_audit"


def require_audit_of(audit: pd.DataFrame, data_hash: str, *, block: bool = True) -> None:
    """Refuse to fit on data that were not audited; without `block` (`routing.block_on_leakage`) nothing is refused.

    Raises
    ------
    AuditError
        The audit is of other data.
    """
    if block and (reason := other_data(audit, data_hash)) is not None:
        raise AuditError(reason)
