"""Run every detector over a panel and write down what each found.

Belongs here: which rows detectors see, the order, the table. Does not: the detectors, or what findings mean together (`status`).
"""

import difflib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.load import ConfigError
from config.schema import Config
from config.sections.base import LeakageStatus
from config.sections.leakage import AcceptedFinding
from resources.process_limits import release_unused_memory
from training_assets.leakage.base import AuditContext, Detector, Finding, Scope, TargetEvidence, Verdict
from training_assets.leakage.evidence import Evidence
from training_assets.leakage.machinery import Machinery
from training_assets.leakage.registry import DETECTORS
from training_assets.leakage.skill import quick_model
from training_assets.leakage.status import AUDIT_COLUMNS, DATA_COLUMN, SCORE_COLUMNS
from training_assets.panel.panel import Bars, Panel, TargetInfo
from training_assets.splits import SplitError

Row = dict[str, object]

# With fewer labelled rows before the holdout than this no detector says anything.
MIN_LABELLED_ROWS = 30


def audit_leakage(
    bars: Bars,
    panel: Panel,
    selection: pd.DataFrame,
    config: Config,
    machinery: Machinery | None = None,
    detectors: Sequence[Detector] = DETECTORS,
) -> pd.DataFrame:
    """Audit the features, the labels and the symbols of every target that is routed.

    Parameters
    ----------
    bars, panel : share their rows.
    selection : feature selection by target; its targets are the ones audited.
    machinery : builders, splitter and preprocessing; None for the house's own.
    detectors : run in this order.

    Returns
    -------
    Columns `AUDIT_COLUMNS`, `SCORE_COLUMNS` and `DATA_COLUMN`: one row a finding; a target's detector that ran and found nothing has one row with
    status SAFE, one that could not run has one with status UNKNOWN. `score_with` and `score_without` stand at a target's quarantined features: the rank
    correlation out of sample of one pooled ridge model with all features, and with all that are not quarantined.

    Raises
    ------
    ConfigError : `leakage.accept` names a detector that is not in the registry.
    """
    _require_known_detectors(config.leakage.accept)
    evidence = Evidence(panel, audited_rows(panel, config.leakage.max_rows))
    whole = AuditContext(bars, panel, selection, config, machinery or Machinery(), evidence)
    shared: list[Row] = []
    for detector in detectors:
        if detector.scope is Scope.PANEL and detector.applies(whole):
            shared += _table_rows(detector, None, detector.run(whole))
    release_unused_memory()  # of the panels that were built again
    # A feature is quarantined for a target, never for all: what the whole panel says of one is written down once a target, with that target's scores.
    rows = [row for row in shared if row["feature"] is None]
    for target in dict.fromkeys(selection["target"]):
        context = replace(whole, target=_target_evidence(evidence, panel.target_infos[panel.target_code(target)]))
        mine = [row | {"target": target} for row in shared if row["feature"] is not None]
        for detector in detectors:
            if detector.scope is Scope.TARGET and detector.applies(context):
                mine += _table_rows(detector, context.of_target.info, _run(detector, context))
        mine = [_with_acceptance(row, config.leakage.accept) for row in mine]
        rows += _with_scores(context, mine)
    table = pd.DataFrame([_with_acceptance(row, config.leakage.accept) for row in rows], columns=[*AUDIT_COLUMNS, *SCORE_COLUMNS])
    table[DATA_COLUMN] = panel.data_hash
    table = table.astype({"statistic": float, "threshold": float, "accepted": bool, "score_with": float, "score_without": float})
    keys = ["target", "detector", "feature", "symbol"]
    return table.sort_values(keys, kind="stable", na_position="first").reset_index(drop=True)


def audited_rows(panel: Panel, max_rows: int) -> NDArray[np.int64]:
    """Rows before the holdout, every k-th timestamp of them, so that at most about `max_rows` remain."""
    rows = np.flatnonzero(panel.time_codes < panel.holdout_start_code)
    step = max(1, -(-rows.size // max_rows))
    return rows[panel.time_codes[rows] % step == 0] if step > 1 else rows


def _target_evidence(evidence: Evidence, info: TargetInfo) -> TargetEvidence:
    code = evidence.panel.target_code(info.name)
    labels = evidence.labels(code)
    honest = evidence.honest_correlation(labels, info.horizon_bars)
    return TargetEvidence(info, code, labels, evidence.within_symbols(labels), honest, evidence.effective_times(info.horizon_bars))


def _run(detector: Detector, context: AuditContext) -> Verdict:
    n_labelled = int(np.isfinite(context.of_target.labels).sum())
    if n_labelled < MIN_LABELLED_ROWS:
        return Verdict.unable(f"{n_labelled} labelled rows before the holdout < {MIN_LABELLED_ROWS}; supply more history, or leave the target out")
    try:
        return detector.run(context)
    except SplitError as error:
        return Verdict.unable(str(error))


def _with_scores(context: AuditContext, rows: list[Row]) -> list[Row]:
    """Put the scores with and without the quarantined features at the findings that quarantine them."""
    gone = {row["feature"] for row in rows if _quarantines(row)}
    if not gone:
        return rows
    try:
        model = quick_model(context)
    except SplitError:
        return rows
    kept = np.array([code for code, name in enumerate(context.panel.feature_names) if name not in gone], np.int64)
    scores = {"score_with": float(model.scores()[0]), "score_without": float(model.scores(kept)[0])}
    return [row | scores if _quarantines(row) else row for row in rows]


def _quarantines(row: Row) -> bool:
    return row["status"] == LeakageStatus.BLOCKED.value and row["feature"] is not None and not row["accepted"]


def _with_acceptance(row: Row, accept: Sequence[AcceptedFinding]) -> Row:
    """Mark a finding that the configuration lets pass, and say why in its message."""
    if "accepted" in row:
        return row
    reasons = [one.reason for one in accept if _matches(row, one) and row["status"] != LeakageStatus.SAFE.value]
    message = f"{row['message']} (accepted in leakage.accept: {reasons[0]})" if reasons else row["message"]
    return row | {"accepted": bool(reasons), "message": message}


def _matches(row: Row, one: AcceptedFinding) -> bool:
    feature = "*" if row["feature"] is None else row["feature"]
    return one.detector == row["detector"] and one.target in ("*", row["target"]) and one.feature == feature


def _require_known_detectors(accept: Sequence[AcceptedFinding]) -> None:
    names = [detector.name for detector in DETECTORS]
    for place, one in enumerate(accept):
        if one.detector not in names:
            close = difflib.get_close_matches(one.detector.lower(), names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(names)}"
            raise ConfigError(f"leakage.accept[{place}].detector: {one.detector!r} is no leakage detector; {hint}")


def _table_rows(detector: Detector, info: TargetInfo | None, verdict: Verdict) -> list[Row]:
    nothing: Row = {
        "target": info.name if info else None,
        "detector": detector.name,
        "symbol": None,
        "feature": None,
        "score_with": np.nan,
        "score_without": np.nan,
    }
    numbers: Row = {"statistic": verdict.worst, "threshold": verdict.threshold}
    if verdict.not_run is not None:
        return [nothing | numbers | {"status": LeakageStatus.UNKNOWN.value, "message": f"could not run: {verdict.not_run}"}]
    if not verdict.findings:
        return [nothing | numbers | {"status": LeakageStatus.SAFE.value, "message": f"{verdict.n_checked} checked, nothing found"}]
    return [nothing | _finding_row(one) for one in verdict.findings]


def _finding_row(one: Finding) -> Row:
    return {
        "symbol": one.symbol,
        "feature": one.feature,
        "statistic": one.statistic,
        "threshold": one.threshold,
        "status": one.status.value,
        "message": one.message,
    }
