"""What a leakage detector is and what it sees.

Belongs here: the entry type, its context and its findings. Does not: any detector, or what findings mean together (`status`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from config.schema import Config
from config.sections.base import LeakageStatus
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
class AuditContext:
    """Everything a detector may look at.

    `bars` and `panel` share their rows. `target` is None for detectors of scope PANEL. `rows` are the panel rows whose label for the target is known
    before the holdout (for PANEL scope, all rows before the holdout), at most `config.leakage.max_rows` of them, whole timestamps kept.
    """

    bars: Bars
    panel: Panel
    target: TargetInfo | None
    rows: NDArray[np.int64]
    config: Config
    target_values: NDArray[np.float32]  # shape (rows.size,), the label on `rows`; empty for PANEL scope


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
