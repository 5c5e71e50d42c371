"""What a leakage detector is and what it sees.

Belongs here: the entry type, its context and its findings. Does not: any detector, or what findings mean together (`status`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.schema import Config
from config.sections.base import LeakageStatus
from training_assets.leakage.evidence import Evidence
from training_assets.leakage.machinery import Machinery
from training_assets.panel.panel import Bars, Panel, TargetInfo


class Scope(StrEnum):
    """What one run of a detector looks at."""

    PANEL = "panel"  # once; findings may name a symbol or a feature
    TARGET = "target"  # once a target


class Taxonomy(StrEnum):
    """Classes of leakage after Kapoor & Narayanan 2023 (Patterns 4(9))."""

    NO_TEST_SET = "L1.1 no test set"
    PREPROCESSING = "L1.2 preprocessing on training and test set"
    FEATURE_SELECTION = "L1.3 feature selection on training and test set"
    DUPLICATES = "L1.4 duplicates"
    ILLEGITIMATE_FEATURES = "L2 illegitimate features"
    TEMPORAL = "L3.1 temporal leakage"
    DEPENDENCE = "L3.2 dependence between training and test samples"
    SAMPLING = "L3.3 sampling bias in the test distribution"


@dataclass(frozen=True)
class TargetEvidence:
    """What detectors of one target share.

    Attributes
    ----------
    info, code : the target and its position in the panel.
    labels : shape (n_rows,), ranks of the label (mean 0, variance 1) over all panel rows whose label is known before the holdout, NaN elsewhere.
    own_labels : the same within each symbol.
    honest_correlation : how well the label is predicted by its own past and by trailing moves, in [0, 1]; see `Evidence.honest_correlation`.
    n_effective : timestamps whose labels do not overlap.
    """

    info: TargetInfo
    code: int
    labels: NDArray[np.float32]
    own_labels: NDArray[np.float32]
    honest_correlation: float
    n_effective: float


@dataclass(frozen=True)
class AuditContext:
    """Everything a detector may look at.

    `bars` and `panel` share their rows. `evidence` holds ranks of all features on the audited rows: those before the holdout, at most
    `config.leakage.max_rows` of them, whole timestamps kept. `target` is None for detectors of scope PANEL. `selection` is the feature selection.
    """

    bars: Bars
    panel: Panel
    selection: pd.DataFrame
    config: Config
    machinery: Machinery
    evidence: Evidence
    target: TargetEvidence | None = None

    @property
    def unproven(self) -> NDArray[np.bool_]:
        """Shape (n_features,): features whose builder is not at hand, so that only statistics can judge them.

        A built-in feature is held to the truncation test (`look_ahead`), which leaves no doubt; bounds on skill would only cry wolf, since some
        labels (a return's place in its own past) honestly follow from known bars.
        """
        names = {feature.name for feature in self.machinery.features}
        return np.array([info.source != "builtin" or info.name not in names for info in self.panel.feature_infos], bool)

    @property
    def of_target(self) -> TargetEvidence:
        """The target, for detectors of scope TARGET. Raises ValueError for scope PANEL."""
        if self.target is None:
            raise ValueError("a detector of scope PANEL asked for a target; give it scope TARGET")
        return self.target


@dataclass(frozen=True)
class Finding:
    """One thing found: the number against the bound, and what it means in words."""

    symbol: str | None
    feature: str | None
    statistic: float
    threshold: float
    status: LeakageStatus
    message: str


@dataclass(frozen=True)
class Verdict:
    """What one run of a detector says: its findings, and the worst number it saw against its bound (NaN where it has none)."""

    findings: Sequence[Finding]
    worst: float
    threshold: float
    n_checked: int
    not_run: str | None = None  # why it could not run, where it could not

    @classmethod
    def unable(cls, reason: str) -> "Verdict":
        """A detector that could not run: its subject is UNKNOWN."""
        return cls((), float("nan"), float("nan"), 0, reason)


@dataclass(frozen=True)
class Detector:
    """One entry of `DETECTORS`.

    `applies` says whether the sin is possible at all in this context (a detector of supplied features has nothing to say of built-in ones).
    """

    name: str
    sin: str
    taxonomy: Taxonomy
    scope: Scope
    status: LeakageStatus
    run: Callable[[AuditContext], Verdict]
    applies: Callable[[AuditContext], bool]


def always(context: AuditContext) -> bool:
    """A sin that is possible in every panel."""
    return True


def blocked(feature: str | None, statistic: float, threshold: float, message: str, symbol: str | None = None) -> Finding:
    """A finding of status BLOCKED."""
    return Finding(symbol, feature, float(statistic), float(threshold), LeakageStatus.BLOCKED, message)


def suspect(feature: str | None, statistic: float, threshold: float, message: str, symbol: str | None = None) -> Finding:
    """A finding of status SUSPECT."""
    return Finding(symbol, feature, float(statistic), float(threshold), LeakageStatus.SUSPECT, message)


OR_ACCEPT = "or accept it in leakage.accept (config/leakage.yaml) with a reason"
