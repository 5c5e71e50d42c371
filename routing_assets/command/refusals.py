"""Which errors say that what was given cannot be used: wrong usage, configuration or data, exit status 2.

Belongs here: the list. Does not: raising them, or what an exit status is (`cli`). Anything else that is raised is a fault of ours, status 1.
"""

from config.load import ConfigError
from resources.artifact_store import ArtifactError
from resources.devices import DeviceError
from resources.market_data.records import DataError
from resources.output_lock import OutputError
from routing_assets.decisions.plan_documents import PlanError
from routing_assets.evidence.candidates_table import CandidatesError
from training_assets.model_store import ModelError
from training_assets.panel.build import PanelError
from training_assets.panel.targets.base import TargetError
from training_assets.plan_reader import TrainingPlanError
from training_assets.splits import SplitError


class UsageError(ValueError):
    """What was asked cannot be started: wrong usage, configuration or data."""


REFUSALS: tuple[type[Exception], ...] = (
    UsageError,
    ConfigError,
    DataError,
    PanelError,
    TargetError,
    SplitError,
    PlanError,
    TrainingPlanError,
    CandidatesError,
    ModelError,
    ArtifactError,
    OutputError,
    DeviceError,
)
# A step's error comes out of a Dagster run by the name of its class.
REFUSAL_NAMES = frozenset(error.__name__ for error in REFUSALS)
