"""The one strict schema of every setting: its type, unit, bound and meaning.

Sections live in `config.sections`; here they are joined and held against each other. Values only: what a
value does is decided by the code that reads it.
"""

from pydantic import Field

from config.sections.base import Section, Seed
from config.sections.data import DataConfig
from config.sections.features import FeatureConfig
from config.sections.leakage import LeakageConfig
from config.sections.resources import ResourcesConfig
from config.sections.routing import RoutingConfig
from config.sections.scoring import ScoringConfig
from config.sections.splits import SplitConfig
from config.sections.targets import TargetConfig
from config.sections.training import TrainingConfig


class Config(Section):
    """Every setting of one run; frozen, hashable by content (`config.load.config_hash`)."""

    seed: Seed = Field(0, description="Seed of everything random.")
    data: DataConfig = Field(DataConfig(), description="Market data.")
    features: FeatureConfig = Field(FeatureConfig(), description="Features.")
    targets: TargetConfig = Field(TargetConfig(), description="Targets.")
    splits: SplitConfig = Field(SplitConfig(), description="Folds and holdout.")
    scoring: ScoringConfig = Field(ScoringConfig(), description="Screening and scoring.")
    leakage: LeakageConfig = Field(LeakageConfig(), description="Leakage audit.")
    routing: RoutingConfig = Field(RoutingConfig(), description="Gates and policy.")
    training: TrainingConfig = Field(TrainingConfig(), description="Training.")
    resources: ResourcesConfig = Field(ResourcesConfig(), description="Means; never part of the content hash.")
