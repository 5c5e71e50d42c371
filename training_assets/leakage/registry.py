"""Every leakage detector, in the order they run."""

from training_assets.leakage.base import Detector
from training_assets.leakage.clocks import LABEL_KNOWN_AT_DECISION, LABEL_OVERLAP, LOOKBACK_OVERLAP, TESTED_ROWS_TRAINED
from training_assets.leakage.copies import NEAR_COPY, TARGET_COPY
from training_assets.leakage.duplicates import DUPLICATE_ROWS, SYMBOL_COPY
from training_assets.leakage.encoding import TARGET_ENCODING
from training_assets.leakage.fitted import CANARIES_SELECTED, FULL_SAMPLE_SCALING, PREPROCESSING_WINDOW, SELECTION_WINDOW
from training_assets.leakage.later_bars import LABEL_HORIZON, LATER_BARS
from training_assets.leakage.look_ahead import FEATURE_LOOK_AHEAD, LABEL_LOOK_AHEAD
from training_assets.leakage.market_clock import CLOCK_OFFSET, FUTURE_BARS, STALE_BARS
from training_assets.leakage.placebo import BARS_AHEAD, LEAD_LAG, PERMUTED_TARGET
from training_assets.leakage.skill import DOMINANCE, SCORE_GAP, SINGLE_FEATURE_SKILL
from training_assets.leakage.stretches import STRETCH_SKILL
from training_assets.leakage.supplied import FORWARD_NAME, SELECTIVE_LABELS

DETECTORS: tuple[Detector, ...] = (
    FEATURE_LOOK_AHEAD,
    LABEL_LOOK_AHEAD,
    FORWARD_NAME,
    FULL_SAMPLE_SCALING,
    DUPLICATE_ROWS,
    SYMBOL_COPY,
    STALE_BARS,
    FUTURE_BARS,
    CLOCK_OFFSET,
    BARS_AHEAD,
    LATER_BARS,
    LABEL_KNOWN_AT_DECISION,
    LABEL_HORIZON,
    LABEL_OVERLAP,
    LOOKBACK_OVERLAP,
    TESTED_ROWS_TRAINED,
    PREPROCESSING_WINDOW,
    CANARIES_SELECTED,
    SELECTION_WINDOW,
    SELECTIVE_LABELS,
    TARGET_COPY,
    NEAR_COPY,
    TARGET_ENCODING,
    SINGLE_FEATURE_SKILL,
    STRETCH_SKILL,
    LEAD_LAG,
    SCORE_GAP,
    DOMINANCE,
    PERMUTED_TARGET,
)
