"""Thresholds of the gates, the policy that combines two sides, and the plan's dumps (`config/routing.yaml`)."""

from typing import Literal

from pydantic import Field, model_validator

from config.sections.base import Count, FiniteFloat, Fraction, LeakageStatus, PositiveInt, Section, Stability

DumpFormat = Literal["json", "yaml", "md"]


class MinSampleSize(Section):
    """Fewest rows, and fewest effective rows, a side needs."""

    cross_sectional: PositiveInt = Field(2_000, description="Fewest labelled out-of-sample rows of the pooled side.")
    symbol: PositiveInt = Field(400, description="Fewest labelled out-of-sample rows of the symbol's own side.")
    effective_cross_sectional: Count = Field(60, description="Fewest effective (non-overlapping) rows of the pooled side.")
    effective_symbol: Count = Field(40, description="Fewest effective (non-overlapping) rows of the symbol's own side.")


class RegressionTiers(Section):
    """Rank-IC bounds by horizon tier; null falls back to `default`."""

    default: FiniteFloat = Field(0.02, description="Bound where a tier has none of its own.")
    short: FiniteFloat | None = Field(None, description="Horizons under 60 minutes.")
    medium: FiniteFloat | None = Field(None, description="Horizons from 60 to under 240 minutes.")
    long: FiniteFloat | None = Field(None, description="Horizons from 240 to under 1440 minutes.")
    very_long: FiniteFloat | None = Field(None, description="Horizons from 1440 minutes.")


class ScoreBounds(Section):
    """Score bounds by task."""

    classification: FiniteFloat = Field(0.52, description="AUC bound of binary and multi-class targets.")
    regression: RegressionTiers = Field(RegressionTiers(), description="Rank-IC bounds of regression targets.")


class SideThresholds(Section):
    """What a side's score must reach."""

    min_score: ScoreBounds = Field(ScoreBounds(), description="Smallest score that is not refused by the `SCORE` gate.")
    strong_score: ScoreBounds = Field(
        ScoreBounds(classification=0.55, regression=RegressionTiers(default=0.05)), description="Score from which a side that passed every gate is STRONG."
    )

    @model_validator(mode="after")
    def strong_is_not_below_min(self) -> "SideThresholds":
        if self.strong_score.classification < self.min_score.classification:
            raise ValueError(f"strong_score.classification {self.strong_score.classification} < min_score.classification {self.min_score.classification}")
        for tier in ("default", "short", "medium", "long", "very_long"):
            low = getattr(self.min_score.regression, tier)
            low = self.min_score.regression.default if low is None else low
            high = getattr(self.strong_score.regression, tier)
            high = self.strong_score.regression.default if high is None else high
            if high < low:
                raise ValueError(f"strong_score.regression.{tier} {high} < min_score.regression.{tier} {low}")
        return self


class Significance(Section):
    """False-discovery control over the pairs."""

    method: Literal["fdr_bh", "fdr_by", "none"] = Field("fdr_bh", description="Benjamini-Hochberg, Benjamini-Yekutieli, or q = p.")
    max_q: Fraction = Field(0.10, description="Largest q of a side that is not refused by the `NOT_SIGNIFICANT` gate.")
    family: Literal["target", "all", "both"] = Field(
        "both",
        description="Pairs corrected together: those of one target, of all targets, or `both`: within a target, which itself has to stand out among all targets.",
    )

    @property
    def name(self) -> str:
        """What a candidates table says of its q: the method and the family, without the bound they are held against."""
        return f"{self.method}:{self.family}"


class StabilityAllowlist(Section):
    """Stabilities that pass the `STABILITY` gate."""

    cross_sectional: tuple[Stability, ...] = Field((Stability.STABLE, Stability.DRIFTING), description="Allowed on the pooled side.")
    symbol: tuple[Stability, ...] = Field((Stability.STABLE, Stability.DRIFTING), description="Allowed on the symbol's own side.")


class StabilityClassification(Section):
    """How snapshots of feature selection become a stability."""

    n_blocks: int = Field(5, ge=2, description="Stretches of time, sliding from the first to the last row, that snapshots are drawn from.")
    window_fraction: float = Field(0.7, gt=0.0, le=1.0, description="Length of one stretch as a share of the time before the holdout.")
    n_bootstraps: int = Field(8, ge=1, description="Block bootstraps a time block; blocks times bootstraps snapshots in all, at least 20.")
    top_k: PositiveInt = Field(10, description="Feature clusters selected in one snapshot.")
    cluster_correlation: Fraction = Field(0.8, description="Features whose absolute correlation exceeds this count as one cluster.")
    stable_lower_bound: FiniteFloat = Field(0.40, description="STABLE from this lower confidence bound of Nogueira's measure.")
    drifting_lower_bound: FiniteFloat = Field(0.02, description="DRIFTING from this lower confidence bound; DIVERGED below it.")
    min_persistence: Fraction = Field(
        0.5, description="DIVERGED where the share of a signal's association that lasts from the earlier to the later half is below this with confidence."
    )
    max_drop: FiniteFloat = Field(
        0.30, description="A fall of the measure against an earlier plan's snapshots larger than this is DRIFTING, twice as large DIVERGED."
    )

    @model_validator(mode="after")
    def bounds_are_ordered(self) -> "StabilityClassification":
        if self.stable_lower_bound < self.drifting_lower_bound:
            raise ValueError(f"stable_lower_bound {self.stable_lower_bound} < drifting_lower_bound {self.drifting_lower_bound}")
        if self.n_blocks * self.n_bootstraps < 20:
            raise ValueError(f"n_blocks x n_bootstraps = {self.n_blocks * self.n_bootstraps} snapshots < 20, too few for the interval to hold")
        return self


class ExperimentalScores(Section):
    """Smallest scores of the experimental lane, by task."""

    classification: FiniteFloat = Field(0.51, description="AUC bound.")
    regression: FiniteFloat = Field(0.01, description="Rank-IC bound.")


class Experimental(Section):
    """The experimental lane's own bounds."""

    min_score: ExperimentalScores = Field(ExperimentalScores(), description="Smallest score in the lane, by task; one number holds for both.")
    max_p: Fraction = Field(0.01, description="Largest p-value in the lane.")
    allowed_stabilities: tuple[Stability, ...] = Field(tuple(Stability), description="Stabilities allowed in the lane.")
    max_fraction_symbols_per_target: Fraction = Field(0.20, description="Largest share of a target's symbols in the lane; the best lower bounds first.")

    @model_validator(mode="before")
    @classmethod
    def one_number_means_both_tasks(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(values.get("min_score"), int | float) and not isinstance(values["min_score"], bool):
            return {**values, "min_score": {"classification": values["min_score"], "regression": values["min_score"]}}
        return values


class RoutingConfig(Section):
    """Everything the router decides by."""

    min_sample_size: MinSampleSize = Field(MinSampleSize(), description="Fewest rows of each side.")
    block_on_leakage: bool = Field(True, description="Refuse a side whose leakage status is BLOCKED; false needs `dev_mode`.")
    allowed_feature_leakage_status: tuple[LeakageStatus, ...] = Field(
        (LeakageStatus.SAFE,),
        description="Leakage statuses that pass in full; SUSPECT reaches the experimental lane at most, whatever stands here; add UNKNOWN to let it pass.",
    )
    cross_sectional: SideThresholds = Field(
        SideThresholds(
            min_score=ScoreBounds(classification=0.515, regression=RegressionTiers(default=0.015)),
            strong_score=ScoreBounds(classification=0.55, regression=RegressionTiers(default=0.05)),
        ),
        description="Score bounds of the pooled side.",
    )
    symbol: SideThresholds = Field(
        SideThresholds(
            min_score=ScoreBounds(classification=0.52, regression=RegressionTiers(default=0.02)),
            strong_score=ScoreBounds(classification=0.57, regression=RegressionTiers(default=0.10)),
        ),
        description="Score bounds of the symbol's own side.",
    )
    significance: Significance = Field(Significance(), description="False-discovery control.")
    stability_allowlist: StabilityAllowlist = Field(StabilityAllowlist(), description="Stabilities that pass.")
    stability_classification: StabilityClassification = Field(StabilityClassification(), description="How stability is measured and named.")
    both_strong_behavior: Literal["ROUTE_BOTH", "PREFER_CS", "PREFER_SYMBOL", "EVIDENCE"] = Field(
        "EVIDENCE", description="What a pair gets whose two sides both pass; EVIDENCE lets the paired difference decide."
    )
    enable_experimental_lane: bool = Field(True, description="Let near misses train cheap families, marked as experimental.")
    experimental: Experimental = Field(Experimental(), description="Bounds of the experimental lane.")
    require_safe_features_only: bool = Field(False, description="Refuse a side that uses a feature whose status is not SAFE.")
    require_min_successful_families: Count = Field(
        1,
        description="Fewest screening families that must have succeeded on a side, and in training fewest that must succeed for a job of those tried at a "
        "stage (all of them where fewer are tried, and never none); below it the job is recorded as failed, and the models it has stay.",
    )
    harmful_confidence: float = Field(
        0.95, gt=0.5, lt=1.0, description="Confidence with which the pooled score on a symbol must be below the null to be called harmful there."
    )
    dump_plan_as: tuple[DumpFormat, ...] = Field(("json", "yaml", "md"), description="Formats that plans are written in.")
    yaml_max_pairs: PositiveInt = Field(200_000, description="A YAML plan of more pairs than this is split by target.")
    log_decision_reasons: bool = Field(False, description="Log each pair's reasons while routing.")
    dev_mode: bool = Field(False, description="Relaxes the leakage and sample gates for development; a plan made with it says so.")

    @model_validator(mode="after")
    def leaks_pass_only_in_dev_mode(self) -> "RoutingConfig":
        if not self.block_on_leakage and not self.dev_mode:
            raise ValueError("block_on_leakage: false is only allowed together with dev_mode: true")
        if LeakageStatus.BLOCKED in self.allowed_feature_leakage_status and not self.dev_mode:
            raise ValueError("allowed_feature_leakage_status: BLOCKED is only allowed together with dev_mode: true")
        return self
