"""Run every detector over a panel and write down what each found.

Belongs here: which rows detectors see, the order, the table. Does not: the detectors, or what findings mean together (`status`).
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.schema import Config
from config.sections.base import LeakageStatus
from training_assets.leakage.base import AuditContext, Detector, Scope, Verdict
from training_assets.leakage.registry import DETECTORS
from training_assets.leakage.status import AUDIT_COLUMNS
from training_assets.panel.panel import Bars, Panel, TargetInfo
from training_assets.splits import pre_holdout_mask


def audit_leakage(bars: Bars, panel: Panel, selection: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Audit the features, the labels and the symbols of every target that is routed.

    Parameters
    ----------
    selection : feature selection by target; its targets are the ones audited.

    Returns
    -------
    Columns `AUDIT_COLUMNS`, one row a finding; a target's detector that ran and found nothing has one row with status SAFE.
    """
    infos = [panel.target_infos[panel.target_code(target)] for target in dict.fromkeys(selection["target"])]
    rows: list[dict[str, object]] = []
    for detector in DETECTORS:
        for info in [None] if detector.scope is Scope.PANEL else infos:
            context = _context(bars, panel, info, config)
            if detector.applies(context):
                rows += _table_rows(detector, info, detector.run(context))
    table = pd.DataFrame(rows, columns=[column for column in AUDIT_COLUMNS if column != "accepted"])
    accepted = [any(_matches(row, one.target, one.feature, one.detector) for one in config.leakage.accept) for row in table.itertuples()]
    table.insert(AUDIT_COLUMNS.index("accepted"), "accepted", np.array(accepted, bool))
    keys = ["target", "detector", "feature", "symbol"]
    return table.sort_values(keys, kind="stable", na_position="first").reset_index(drop=True)


def _context(bars: Bars, panel: Panel, info: TargetInfo | None, config: Config) -> AuditContext:
    if info is None:
        rows = np.flatnonzero(panel.time_codes < panel.holdout_start_code)
        return AuditContext(bars, panel, None, _thinned(panel, rows, config), config, np.zeros(0, np.float32))
    code = panel.target_code(info.name)
    rows = _thinned(panel, np.flatnonzero(pre_holdout_mask(panel.holdout_start_code, panel.label_end_codes[code])), config)
    return AuditContext(bars, panel, info, rows, config, np.asarray(panel.labels[code])[rows])


def _thinned(panel: Panel, rows: NDArray[np.int64], config: Config) -> NDArray[np.int64]:
    """Every k-th timestamp, so that at most `leakage.max_rows` rows remain."""
    step = max(1, -(-rows.size // config.leakage.max_rows))
    return rows[panel.time_codes[rows] % step == 0] if step > 1 else rows


def _table_rows(detector: Detector, info: TargetInfo | None, verdict: Verdict) -> list[dict[str, object]]:
    shared: dict[str, object] = {"target": info.name if info else None, "detector": detector.name}
    if verdict.not_run is not None:
        unknown = {"symbol": None, "feature": None, "statistic": np.nan, "threshold": verdict.threshold, "status": LeakageStatus.UNKNOWN.value}
        return [shared | unknown | {"message": f"could not run: {verdict.not_run}"}]
    if not verdict.findings:
        passed = {"symbol": None, "feature": None, "statistic": verdict.worst, "threshold": verdict.threshold, "status": LeakageStatus.SAFE.value}
        return [shared | passed | {"message": f"{verdict.n_checked} checked, nothing found"}]
    return [
        shared
        | {"symbol": one.symbol, "feature": one.feature, "statistic": one.statistic, "threshold": one.threshold}
        | {"status": one.status.value, "message": one.message}
        for one in verdict.findings
    ]


def _matches(row: object, target: str, feature: str, detector: str) -> bool:
    row_target, row_feature = getattr(row, "target", None), getattr(row, "feature", None)
    return getattr(row, "detector", None) == detector and target in ("*", row_target) and feature in ("*", row_feature)
