"""Plans of known content for the tests: one with a pair of every route, and the training plan made from it."""

import json
from importlib.resources import files

from config.sections.base import TaskType
from config.sections.routing import Experimental, RoutingConfig
from config.sections.training import TrainingConfig
from routing_assets.decisions.policy import route_candidates
from routing_assets.decisions.routing_plan import routing_plan
from routing_assets.plans.training_plan import make_training_plan
from tests.candidate_rows import STATE_CHANGES, candidates, local, pooled
from training_assets.contracts import Stage
from training_assets.families.base import Family

FORMATS = ("json", "yaml", "md")
DATA = "0123456789abcdef"
CONFIG = RoutingConfig(experimental=Experimental(max_fraction_symbols_per_target=1.0))


def family(name, stage=Stage.CPU, tasks=tuple(TaskType), cheap=False, single_symbol=True):
    return Family(name, stage, frozenset(tasks), cheap, {}, (), None, None, "", single_symbol=single_symbol)  # type: ignore[arg-type]


FAMILIES = (
    family("Ridge", cheap=True),
    family("LightGBM"),
    family("LSTM", Stage.GPU),
    family("Pool", single_symbol=False),
    family("Quantile", tasks=(TaskType.REGRESSION,)),
)
TRAINING = TrainingConfig(families=("ridge", "LightGBM", "LSTM", "Pool", "Quantile"))


def five_routes():
    """A table with a pair of every route."""
    return candidates(
        pooled(),
        local("BOTH"),
        local("CS", **STATE_CHANGES["DISALLOWED"]),
        local("BLOCKED", leakage_status="BLOCKED"),
        local("LOCAL", pooled_score_on_symbol_ci_high=0.4),
        local("TRY", **STATE_CHANGES["EXPERIMENTAL"], pooled_score_on_symbol_ci_high=0.4),
    )


def plan_of(table=None, config=CONFIG):
    return routing_plan(route_candidates(five_routes() if table is None else table, config), config, config_hash="c" * 16)


def training_of(table=None, config=TRAINING, features=("f1", "f2")):
    table = five_routes() if table is None else table
    return make_training_plan(plan_of(table), table, dict.fromkeys(table.targets, features), FAMILIES, config)


def schema(name):
    return json.loads((files("routing_assets") / "schemas" / f"{name}.schema.json").read_text())
