"""A plan without a router: every pair of the panel that no leakage gate blocks, for `switchyard train --no-training-plan`.

Belongs here: that plan, made like any other so that training needs no second way in. Does not: scores; the pairs were never looked at.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from config.load import config_hash
from config.schema import Config
from config.sections.base import LeakageStatus
from resources.provenance import git_commit
from routing_assets.contracts import Candidates, Mode, RoutingPlan, SignalState
from routing_assets.decisions.plan_documents import SCHEMA_VERSION
from routing_assets.evidence.candidates_table import candidates_from_table, candidates_hash
from routing_assets.evidence.feature_sets import feature_sets
from routing_assets.plans.plan_inputs import state_feature_sets
from routing_assets.plans.training_plan import choose_families, make_training_plan, plan_libraries
from routing_assets.plans.training_plan_files import write_training_plan
from training_assets.content_key import library_versions, training_settings
from training_assets.contracts import Route, TrainingPlan
from training_assets.families.registry import FAMILIES
from training_assets.leakage.lock import leakage_lock
from training_assets.panel.panel import Panel
from training_assets.plan_reader import content_hash

REASON = "UNROUTED"


def write_unrouted_plan(panel: Panel, selection: pd.DataFrame, audit: pd.DataFrame, config: Config, folder: Path) -> TrainingPlan:
    """Make the plan and write it as the router's are written."""
    plan = unrouted_plan(panel, selection, audit, config, git_commit())
    write_training_plan(plan, folder, config.routing.dump_plan_as)
    return plan


def unrouted_plan(panel: Panel, selection: pd.DataFrame, audit: pd.DataFrame, config: Config, commit: str | None = None) -> TrainingPlan:
    """A training plan in which every pair is routed BOTH unless the leakage lock is shut for it.

    Parameters
    ----------
    selection : its targets are the ones trained, with the features it chose less what the audit quarantines.
    """
    features = feature_sets(panel, selection, audit)
    candidates = _bare_candidates(panel, tuple(features))
    routes = {target: {symbol: _route(audit, target, symbol, names, config) for symbol in panel.symbols} for target, names in features.items()}
    routing = _routing_plan(routes, candidates, config, commit)
    libraries = library_versions(plan_libraries(FAMILIES.values(), config.training.families))
    identity = training_settings(config, choose_families(FAMILIES.values(), config.training.families))
    states = state_feature_sets(panel, audit, features)
    return make_training_plan(routing, candidates, features, FAMILIES.values(), config.training, states, libraries, identity)


def _route(audit: pd.DataFrame, target: str, symbol: str, features: tuple[str, ...], config: Config) -> Route:
    allow_unknown = config.routing.dev_mode or LeakageStatus.UNKNOWN in config.routing.allowed_feature_leakage_status
    verdict = leakage_lock(audit, target, (symbol,), features, block=config.routing.block_on_leakage, allow_unknown=allow_unknown)
    return Route.BOTH if verdict.is_open else Route.BLOCKED


def _bare_candidates(panel: Panel, targets: tuple[str, ...]) -> Candidates:
    """A row a target and a pair that say nothing but what they are."""
    infos = {info.name: info for info in panel.target_infos}
    rows = [
        {
            "target": target,
            "symbol": symbol,
            "mode": str(Mode.CROSS_SECTIONAL if symbol is None else Mode.SYMBOL_SPECIFIC),
            "task_type": str(infos[target].task_type),
        }
        for target in targets
        for symbol in (None, *panel.symbols)
    ]
    schema = pa.schema([("target", pa.string()), ("symbol", pa.string()), ("mode", pa.string()), ("task_type", pa.string())])
    return candidates_from_table(pa.Table.from_pylist(rows, schema=schema), "panel without scores", panel.data_hash)


def _routing_plan(routes: dict[str, dict[str, Route]], candidates: Candidates, config: Config, commit: str | None) -> RoutingPlan:
    every = [route for symbols in routes.values() for route in symbols.values()]
    state = str(SignalState.DISALLOWED)
    targets = {
        target: {
            "cross_sectional": {"route": "ENABLED", "state": state, "stability": None, "reason": REASON, "evidence": {}},
            "symbols": {
                symbol: {"route": str(route), "cs_state": state, "local_state": state, "reason": [REASON if route is Route.BOTH else "LEAKAGE"], "evidence": {}}
                for symbol, route in symbols.items()
            },
        }
        for target, symbols in routes.items()
    }
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "config_hash": config_hash(config),
        "data_hash": candidates.data_hash,
        "git_commit": commit,
        "metrics_snapshot": candidates_hash(candidates),
        "n_targets": len(routes),
        "n_pairs": len(every),
        "route_counts": {str(route): every.count(route) for route in Route},
        "dev_mode": config.routing.dev_mode,
    }
    return RoutingPlan({**metadata, "plan_id": content_hash({"metadata": metadata, "targets": targets})}, targets)
