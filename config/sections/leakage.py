"""Bounds of the leakage detectors and the reviewed exceptions (`config/leakage.yaml`)."""

from pydantic import Field

from config.sections.base import Fraction, PositiveInt, Section


class AcceptedFinding(Section):
    """A finding that somebody has reviewed and lets pass, with the reason, shown in the plan."""

    target: str = Field(description="Target the exception holds for; `*` for any.")
    feature: str = Field(description="Feature the exception holds for; `*` for findings without a feature.")
    detector: str = Field(description="Name of the detector whose finding is accepted.")
    reason: str = Field(min_length=10, description="Why it is no leak, in words.")


class LeakageConfig(Section):
    """Thresholds of the detectors, and accepted findings."""

    max_rows: PositiveInt = Field(50_000, description="Rows a detector looks at, whole timestamps kept.")
    truncation_rows: PositiveInt = Field(
        6_000, description="Bars, of a few symbols, that built-in features and targets are built on again without their future."
    )
    truncation_cuts: PositiveInt = Field(2, description="Times at which the future is removed, and replaced by noise; each costs two builds.")
    copy_share: float = Field(
        0.99, gt=0.5, le=1.0, description="Share of a feature's values that equal the label's, at a lag at which it is not known, from which it is a copy."
    )
    near_copy_correlation: float = Field(0.98, gt=0.0, le=1.0, description="Absolute rank correlation of a feature with the target from which it is a copy.")
    single_feature_auc: float = Field(
        0.70, gt=0.5, le=1.0, description="Lower bound of one feature's AUC for the direction of a return from which it is too good to be true."
    )
    single_feature_suspect_auc: float = Field(0.65, gt=0.5, le=1.0, description="The same from which it is suspect.")
    lead_lag_excess: Fraction = Field(
        0.2,
        description="Rank correlation with labels not yet known in excess of that with known ones and the row's own, from which a feature reads the future.",
    )
    bars_ahead_excess: Fraction = Field(
        0.4, description="Rank correlation with bar returns to come in excess of that with past ones, from which a feature is made of them."
    )
    later_returns: Fraction = Field(
        0.4, description="Correlation of what the known past leaves of a feature with returns of later bars from which it is made of them."
    )
    later_sizes: Fraction = Field(0.5, description="The same with sizes of moves, ranges and volume of later bars, which honest features partly foresee.")
    label_beyond_horizon: Fraction = Field(
        0.3, description="Correlation of a supplied label with bars after its horizon, less what bars up to it say of them, from which it reaches beyond it."
    )
    stretch_correlation: Fraction = Field(
        0.5, description="Rank correlation of a feature with a return in one symbol or one stretch of time from which it was made from labels there."
    )
    partial_copy_share: float = Field(
        0.03,
        gt=0.0,
        le=1.0,
        description="Share of a feature's values that equal the label's rare values, at a lag at which it is not known, from which it holds labels.",
    )
    score_gap: Fraction = Field(
        0.25,
        description="Rank correlation of a feature with a return in the first half of time in excess of that in the second, from which it was fitted to the first.",
    )
    dominance_jump: Fraction = Field(
        0.5, description="Gain in out-of-sample rank correlation when one feature joins all others, from which it is too good to be true."
    )
    n_permutations: int = Field(20, ge=5, le=1_000, description="Shuffles of a target's labels, in blocks of time, that are scored.")
    permuted_score: Fraction = Field(0.05, description="Mean score of shuffled labels, out of sample, from which training and test are not apart.")
    duplicate_share: Fraction = Field(0.01, description="Share of a symbol's rows that stand in another fold too, from which they are duplicates.")
    symbol_copy_correlation: Fraction = Field(0.9995, description="Absolute correlation of two symbols' bar returns from which they are one series.")
    symbol_shift_correlation: Fraction = Field(
        0.9, description="Absolute correlation of a symbol's bar returns with another's some bars later from which the other is its delayed copy."
    )
    stale_share: Fraction = Field(0.5, description="Share of a symbol's bars that repeat the bar before from which it is blocked.")
    stale_suspect_share: Fraction = Field(0.2, description="The same from which it is suspect.")
    clock_excess: Fraction = Field(
        0.2, description="Correlation with another symbol's returns an hour or a bar away in excess of that at the same bars, from which a clock is off."
    )
    selective_label_gini: Fraction = Field(
        0.3, description="|2 AUC - 1| of the size of the return to come for which labels are missing, from which rows were left out by outcome."
    )
    forward_name_patterns: tuple[str, ...] = Field(
        (
            r"(^|_)(fwd|forward|future|next|ahead)_?(\d+[a-z]?_)?(ret|return|returns|direction|label)(_|$|\d)",
            r"(^|_)(next|future)_?(\d+[a-z]?_)?(open|high|low|close|price|vol|volatility|range)(_|$|\d)",
            r"(^|_)(tomorrow|lookahead|look_ahead|oracle|y_true)(_|$)",
            r"(^|_)lead_?\d+[a-z]?(_|$)",
            r"(_t|_)\+\d+$",
        ),
        description="Regular expressions, without regard to case; a supplied feature whose name matches one says that it looks forward.",
    )
    accept: tuple[AcceptedFinding, ...] = Field((), description="Reviewed findings that do not block.")
