"""The features a target is trained with, and the one id that a list of features has.

Belongs here: the final lists and their address. Does not: selection (`selection`), or what the audit makes of a feature (`training_assets.leakage`).
"""

import hashlib
from collections.abc import Sequence

import pandas as pd

from routing_assets.evidence.selection import given_features
from training_assets.leakage.status import allowed_features
from training_assets.panel.panel import Panel


def feature_sets(panel: Panel, selection: pd.DataFrame, audit: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The final feature list of each target: chosen on all rows before the holdout, less what the audit quarantines."""
    targets = tuple(dict.fromkeys(selection["target"]))
    return {target: allowed_features(audit, target, given_features(selection, target)) for target in targets}


def feature_set_id(features: Sequence[str]) -> str:
    """Content address of an ordered feature list, 12 hexadecimal digits."""
    return hashlib.sha256("\n".join(features).encode()).hexdigest()[:12]
