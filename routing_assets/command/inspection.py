"""The commands that look at what is stored: explain, what-if, diff.

Belongs here: reading stored tables and plans and asking the domain. Does not: running anything; no data is read.
"""

import argparse
import difflib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from config.load import load_config
from config.schema import Config
from config.stored import read_stored
from resources.artifact_store import read_value
from resources.settings import Settings, resolve_config_dir
from routing_assets.assets import AUDIT_PATH, CANDIDATES_PATH, ROUTING_PLAN_PATH
from routing_assets.command.commands import CommandResult
from routing_assets.command.options import settings_of
from routing_assets.command.refusals import UsageError
from routing_assets.contracts import RoutingPlan
from routing_assets.decisions.explain import explain
from routing_assets.decisions.plan_documents import PlanError, read_routing_plan
from routing_assets.decisions.policy import route_candidates
from routing_assets.evidence.candidates_table import read_candidates
from routing_assets.plans.comparison import diff, what_if
from routing_assets.plans.training_plan_files import MASTER, load_training_plan
from training_assets.leakage.words import finding_sentences, told_findings

MAX_FINDINGS_TOLD = 12
# Routing settings that act while candidates are made; the stored ones hold what followed from them.
ACT_BEFORE_ROUTING = ("routing.stability_classification", "routing.harmful_confidence")


def explain_pair(arguments: argparse.Namespace) -> CommandResult:
    """Explain the route of a pair, or a target's pooled side, under the settings in use."""
    settings = settings_of(arguments)
    config = stored_or_given(settings)
    candidates = read_candidates(settings.output / CANDIDATES_PATH)
    target = _known(arguments.target, candidates.targets, "target")
    symbol = None if arguments.symbol is None else _known(arguments.symbol, candidates.symbols, "symbol")
    decisions = route_candidates(candidates, config.routing)
    try:
        explanation = explain(decisions, config.routing, target, symbol)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from None
    leakage = _leakage(settings, target, symbol)
    text = [explanation.text(), *(["  leakage:"] if leakage else []), *(f"    {line}" for line in leakage)]
    return CommandResult("\n".join(text) + "\n", asdict(explanation) | {"leakage": list(leakage)})


def what_if_settings(arguments: argparse.Namespace) -> CommandResult:
    """Route the stored candidates under the settings given by --set, against those without."""
    if not arguments.set:
        raise UsageError("nothing to change; give settings with --set, for instance --set routing.significance.max_q=0.05")
    settings = settings_of(arguments)
    before = stored_or_given(settings.changed(overrides=[]))
    after = stored_or_given(settings)
    answer = what_if(read_candidates(settings.output / CANDIDATES_PATH), before.routing, after.routing)
    moves = [{"before": old, "after": new, "pairs": count} for (old, new), count in sorted(answer.moves.items())]
    unseen = sorted({key for text in arguments.set if _acts_before_routing(key := text.partition("=")[0].strip())})
    notes = [f"{key} changes the candidates, which stay as they are here; `switchyard plan --set` shows its effect" for key in unseen]
    text = "\n".join([answer.text(arguments.limit), *(f"note: {note}" for note in notes)]) + "\n"
    return CommandResult(text, {"moves": moves, "moved": answer.moved.to_pylist(), "notes": notes})


def _acts_before_routing(key: str) -> bool:
    return not key.startswith("routing.") or any(key == part or key.startswith(f"{part}.") for part in ACT_BEFORE_ROUTING)


def diff_plans(arguments: argparse.Namespace) -> CommandResult:
    """Compare two training plans, each named by its folder, its master document, or an output folder."""
    folders = [_plan_folder(path) for path in (arguments.plan_a, arguments.plan_b)]
    plans = [load_training_plan(folder, allow_no_jobs=True) for folder in folders]
    answer = diff(plans[0], plans[1], *(_routing_beside(folder) for folder in folders))
    document = {**asdict(answer), "differs": answer.differs}
    return CommandResult(answer.text() + "\n", document, (), 1 if answer.differs else 0)


def stored_or_given(settings: Settings) -> Config:
    """The configuration of the output folder's last run with the overrides given now, or the one given where there was no run or it names a folder."""
    stored = read_stored(settings.output) if settings.config_dir is None else None
    if stored is None:
        return settings.load()
    return load_config(resolve_config_dir(stored.config_dir), [*stored.overrides, *settings.overrides], {**stored.values, **settings.values})


def _leakage(settings: Settings, target: str, symbol: str | None) -> tuple[str, ...]:
    """What the stored audit found about a pair, or about a target and its features, in words; nothing without an audit."""
    path = settings.output / AUDIT_PATH
    if not path.exists():
        return ()
    findings = told_findings(read_value(path, pd.DataFrame), target, None if symbol is None else (symbol,))
    return finding_sentences(findings, MAX_FINDINGS_TOLD)


def _known(name: str, names: Iterable[str], kind: str) -> str:
    """The name as it is spelled; targets match without regard to case."""
    known = list(names)
    folded = {item.casefold(): item for item in known}
    if name in known:
        return name
    if kind == "target" and name.casefold() in folded:
        return folded[name.casefold()]
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    hint = f"did you mean '{folded[close[0]]}'?" if close else f"there are {', '.join(known[:8])}{' ...' if len(known) > 8 else ''}"
    raise UsageError(f"no {kind} '{name}' among the {len(known)} of the stored candidates; {hint}")


def _plan_folder(path: Path) -> Path:
    if path.is_file():
        return path.parent
    inside = path / "globals" / "training_plan"
    return inside if not (path / MASTER).exists() and (inside / MASTER).exists() else path


def _routing_beside(folder: Path) -> RoutingPlan | None:
    try:
        return read_routing_plan(folder.parent.parent / ROUTING_PLAN_PATH)
    except PlanError:
        return None
