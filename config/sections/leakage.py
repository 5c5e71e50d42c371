"""Bounds of the leakage detectors and the reviewed exceptions (`config/leakage.yaml`)."""

from pydantic import Field

from config.sections.base import PositiveInt, Section


class AcceptedFinding(Section):
    """A finding that somebody has reviewed and lets pass, with the reason, shown in the plan."""

    target: str = Field(description="Target the exception holds for; `*` for any.")
    feature: str = Field(description="Feature the exception holds for; `*` for findings without a feature.")
    detector: str = Field(description="Name of the detector whose finding is accepted.")
    reason: str = Field(min_length=10, description="Why it is no leak, in words.")


class LeakageConfig(Section):
    """Thresholds of the detectors, and accepted findings."""

    max_rows: PositiveInt = Field(50_000, description="Rows a detector looks at, whole timestamps kept.")
    near_copy_correlation: float = Field(0.98, gt=0.0, le=1.0, description="Absolute rank correlation of a feature with the target from which it is a copy.")
    single_feature_auc: float = Field(0.75, gt=0.5, le=1.0, description="AUC of one feature for the direction of a return from which it is too good to be true.")
    accept: tuple[AcceptedFinding, ...] = Field((), description="Reviewed findings that do not block.")
