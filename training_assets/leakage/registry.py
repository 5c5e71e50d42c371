"""Every leakage detector, in the order they run."""

from training_assets.leakage.base import Detector
from training_assets.leakage.clocks import LABEL_KNOWN_AT_DECISION, LABEL_OVERLAP
from training_assets.leakage.copies import NEAR_COPY

DETECTORS: tuple[Detector, ...] = (
    LABEL_KNOWN_AT_DECISION,
    LABEL_OVERLAP,
    NEAR_COPY,
)
