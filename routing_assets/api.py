"""The documented names for notebooks and scripts: load a panel, find candidates, route them, explain, ask what if, load a model.

Belongs here: thin functions over the domain, with the arguments that a person at a prompt has at hand. Does not: any decision, score or fit, and
nothing that writes; the command and Dagster do that. Everything returned is a frozen value, and two calls share nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from config.load import PACKAGED_CONFIG_DIR, config_hash, has_yaml, load_config, validate_config
from config.schema import Config
from config.stored import read_stored
from routing_assets.contracts import Candidates, Decisions, RoutingPlan
from routing_assets.decisions import explain as explaining
from routing_assets.decisions import policy
from routing_assets.decisions import routing_plan as planning
from routing_assets.evidence.candidates_table import read_candidates
from routing_assets.plans import comparison
from training_assets.leakage.audit import audit_leakage
from training_assets.model_store import CARD_FILE, LoadedModel, ModelError, model_folder
from training_assets.model_store import load_model as load_model_folder
from training_assets.panel.alignment import align_bars
from training_assets.panel.build import build_panel
from training_assets.panel.data_hash import data_hash
from training_assets.panel.panel import Bars, Panel

CANDIDATES_FILE = "METRICS/routing_candidates.parquet"


@dataclass(frozen=True)
class LoadedPanel:
    """Market data, ready to be scored.

    Attributes
    ----------
    panel : features and labels, float32; a row is one bar of one symbol, everything in it is known at the bar's close, UTC.
    bars : the clean bars on the same rows, float64.
    config : the settings that it was made with.
    problems : one line a symbol that could not be used, and why.
    notes : one line a feature or column that was left out, and why.
    """

    panel: Panel
    bars: Bars
    config: Config
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Routed:
    """Candidates with a route each, and the settings that decided.

    Attributes
    ----------
    candidates : one row a target's pooled side and one a pair's own side.
    decisions : the routes in columns, one entry a pair.
    config : `config.routing` decided.
    """

    candidates: Candidates
    decisions: Decisions
    config: Config

    def table(self) -> pd.DataFrame:
        """One row a pair: `target, symbol, route, cs_state, local_state, cs_reason, local_reason, policy_reason, q_value` (of the pair's own side)."""
        frame: pd.DataFrame = policy.decisions_table(self.decisions).to_pandas()
        return frame

    def counts(self) -> dict[str, int]:
        """Pairs by route, the commonest first."""
        return {str(route): int(count) for route, count in self.table()["route"].value_counts().items()}


def load_panel(
    data_dir: Path | str | None = None,
    *,
    config_dir: Path | str | None = None,
    symbols: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
) -> LoadedPanel:
    """Read market data, check it, and build features and labels.

    Parameters
    ----------
    data_dir : folder or file of bars; None reads the source in the configuration, by default the embedded sample.
    config_dir : folder of YAML files; None reads the packaged one.
    symbols : only these.
    overrides : `section.key=value` texts, as `--set` takes them.

    Raises
    ------
    ConfigError, DataError, PanelError, TargetError
        With what is wrong, where, and what to do. A problem of one symbol is a line in `problems`, and the others go on.
    """
    from resources.market_data.sources import load_market_data

    values: dict[str, Any] = {} if data_dir is None else {"data.source": "directory", "data.path": str(data_dir)}
    if symbols is not None:
        values["data.symbols"] = list(symbols)
    config = load_config(None if config_dir is None else Path(config_dir), overrides, values)
    data = load_market_data(config.data)
    alignment = align_bars(data.frames, config.data, config.targets, data.interval_minutes)
    built = build_panel(alignment.bars, config, data_hash(alignment.bars))
    problems = tuple(str(problem) for problem in (*data.problems, *alignment.problems))
    return LoadedPanel(built.panel, alignment.bars, config, problems, (*alignment.report.notes, *built.notes.lines()))


def find_candidates(loaded: LoadedPanel) -> Candidates:
    """Rank targets, select features, audit leakage, measure stability and score every pair out of sample; seconds to minutes.

    Nothing of the holdout is read. The same panel and settings give the same table.
    """
    from routing_assets.evidence.candidates import build_candidates
    from routing_assets.evidence.ranking import rank_targets
    from routing_assets.evidence.selection import select_features
    from routing_assets.evidence.stability import measure_stability

    panel, config = loaded.panel, loaded.config
    ranking = rank_targets(panel, config)
    selection = select_features(panel, ranking.loc[ranking["selected"], "target"].tolist(), config)
    audit = audit_leakage(loaded.bars, panel, selection, config)
    return build_candidates(panel, selection, audit, measure_stability(panel, selection, audit, config), config)


def read_run(output_dir: Path | str) -> Routed:
    """The candidates that a command left in its output folder, routed under the settings of that run.

    Raises
    ------
    CandidatesError, ConfigError
        There is no candidates table, or it or its settings cannot be used.
    """
    output = Path(output_dir)
    return route_candidates(read_candidates(output / CANDIDATES_FILE), stored_config(output))


def route_candidates(candidates: Candidates, config: Config | None = None) -> Routed:
    """Route every pair of a candidates table; milliseconds, without data. `config` None means the packaged settings."""
    chosen = load_config() if config is None else config
    return Routed(candidates, policy.route_candidates(candidates, chosen.routing), chosen)


def routing_plan(routed: Routed, *, data_hash: str | None = None, git_commit: str | None = None) -> RoutingPlan:
    """The routing plan of routed candidates, as the command writes it: `plan_id`, `metadata`, `targets`, `document()`.

    Parameters
    ----------
    data_hash : of the panel; None takes the one that the candidates state.
    git_commit : stated in the metadata as given; it is part of what `plan_id` covers.

    Returns
    -------
    The same plan, byte for byte, for the same candidates, settings and metadata.
    """
    return planning.routing_plan(routed.decisions, routed.config.routing, config_hash=config_hash(routed.config), data_hash=data_hash, git_commit=git_commit)


def explain(routed: Routed, target: str, symbol: str | None = None) -> explaining.Explanation:
    """Why a pair has its route, or what became of a target's pooled side (`symbol` None); `text()` says it for people.

    Raises
    ------
    KeyError
        No such target, or no such symbol of it.
    """
    return explaining.explain(routed.decisions, routed.config.routing, target, symbol)


def what_if(routed: Routed, settings: Mapping[str, Any]) -> comparison.WhatIf:
    """Which pairs move under other routing settings, from what to what.

    Parameters
    ----------
    settings : dotted key to value, for instance `{"routing.significance.max_q": 0.05}`.

    Raises
    ------
    ConfigError
        An unknown key or a value out of bounds.
    """
    return comparison.what_if(routed.candidates, routed.config.routing, changed_config(routed.config, settings).routing)


def changed_config(config: Config, settings: Mapping[str, Any]) -> Config:
    """The same settings but for these, dotted key to value, checked as a file is. Raises ConfigError."""
    merged = config.model_dump(mode="json")
    for key, value in settings.items():
        *groups, leaf = key.split(".")
        place = merged
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = value
    return validate_config(merged, dict.fromkeys(settings, "settings"))


def load_model(output_dir: Path | str, target: str, family: str, symbol: str | None = None) -> LoadedModel:
    """A trained model of an output folder; `predict(panel)` gives `timestamp, symbol, target, prediction, route, model_id`.

    Parameters
    ----------
    symbol : None for the cross-sectional model, else the symbol's own.

    Raises
    ------
    ModelError
        No such model (the message lists the target's), or one that was changed since it was written.
    """
    root = Path(output_dir) / "models"
    folder = model_folder(root, target, symbol, family)
    if not folder.is_dir():
        there = sorted(str(card.parent.relative_to(root)) for card in model_folder(root, target, None, family).parent.parent.rglob(CARD_FILE))
        raise ModelError(f"no model at {folder}; models of {target}: {', '.join(there) or 'none'}")
    return load_model_folder(folder)


def stored_config(output_dir: Path | str) -> Config:
    """The configuration of the last command that wrote into an output folder, the packaged one where there is no trace of any. Raises ConfigError."""
    stored = read_stored(Path(output_dir))
    if stored is None:
        return load_config()
    local = Path("config")
    named = stored.config_dir or (local if has_yaml(local) else PACKAGED_CONFIG_DIR)
    return load_config(Path(named), stored.overrides, stored.values)
