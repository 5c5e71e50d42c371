"""What a run came to, as a table that a person can read and as one document.

Belongs here: layout of the last words of `run`, `plan` and `train`. Does not: any figure that is not already in a plan, a table or a run.
"""

import io
import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from resources.settings import Settings
from routing_assets.assets import ROUTING_PLAN_PATH
from routing_assets.command.pipeline import PipelineOutcome
from routing_assets.command.terminal import table_box, width
from routing_assets.decisions.plan_documents import PlanError, read_routing_plan
from routing_assets.report.plan_summary import reasons_by_route
from training_assets.assets import LEADERBOARD_PATH
from training_assets.contracts import TrainingPlan


def run_text(settings: Settings, plan: TrainingPlan, outcome: PipelineOutcome, trained: bool) -> str:
    """Pairs by route with the commonest reasons, models by family with their scores, seconds by stage, where to look next."""
    console = Console(
        file=io.StringIO(),
        width=width(),
        force_terminal=False,
        legacy_windows=False,
        highlight=False,
        markup=False,
    )
    for table in (_routes_table(settings), _families_table(settings) if trained else None, _seconds_table(outcome)):
        if table is not None:
            console.print(table)
    if trained:
        console.print(f"{outcome.n_trained} models of {len(plan.jobs)} jobs" + (f", {outcome.n_cached} were there already" if outcome.n_cached else ""))
    console.print(f"plan     {settings.output / ROUTING_PLAN_PATH / 'routing_plan.md'}")
    console.print(f"jobs     {settings.plan_folder / 'training_plan.md'}")
    if trained:
        console.print(f"models   {settings.models_root}")
        report = settings.output / "METRICS" / "routing_report.md"
        if report.exists():
            console.print(f"report   {report}")
    console.print(f"UI       switchyard ui --output-dir {settings.output}")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def run_document(settings: Settings, plan: TrainingPlan, outcome: PipelineOutcome, trained: bool, problems: Sequence[str]) -> dict[str, Any]:
    """The same as plain values, with the lines of what did not succeed."""
    board = _leaderboard(settings) if trained else None
    return {
        "plan_id": plan.metadata["plan_id"],
        "routing_plan_id": plan.metadata["routing_plan_id"],
        "data_hash": plan.metadata["data_hash"],
        "summary": plan.summary,
        "routes": _route_counts(settings),
        "n_jobs": len(plan.jobs),
        "n_models": outcome.n_trained,
        "n_cached": outcome.n_cached,
        "models_by_family": {} if board is None else {str(family): len(rows) for family, rows in board.groupby("family")},
        "seconds_by_step": {step: round(seconds, 3) for step, seconds in outcome.seconds.items()},
        "run_ids": outcome.run_ids,
        "problems": list(problems),
        "output_dir": str(settings.output),
    }


def _route_counts(settings: Settings) -> dict[str, int]:
    try:
        return dict(read_routing_plan(settings.output / ROUTING_PLAN_PATH).metadata["route_counts"])
    except PlanError:
        return {}  # a plan from elsewhere has no routes here


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=table_box(sys.stdout))


def _routes_table(settings: Settings) -> Table | None:
    try:
        plan = read_routing_plan(settings.output / ROUTING_PLAN_PATH)
    except PlanError:
        return None
    table = _table("Pairs by route")
    table.add_column("route")
    table.add_column("pairs", justify="right")
    table.add_column("commonest reasons")
    reasons = reasons_by_route(plan)
    for route, count in plan.metadata["route_counts"].items():
        table.add_row(route, f"{count:,}", reasons.get(route, ""))
    return table


def _families_table(settings: Settings) -> Table | None:
    board = _leaderboard(settings)
    if board is None or board.empty:
        return None
    table = _table("Models by family, scores out of sample")
    for name, justify in (("family", "left"), ("metric", "left"), ("models", "right"), ("median", "right"), ("best", "right"), ("best on", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for (family, metric), rows in board.dropna(subset=["score"]).groupby(["family", "metric"]):
        best = rows.sort_values("score", ascending=False, kind="stable").iloc[0]
        where = best["target"] if not isinstance(best["symbol"], str) else f"{best['target']} / {best['symbol']}"
        table.add_row(str(family), str(metric), f"{len(rows):,}", f"{rows['score'].median():.3f}", f"{best['score']:.3f}", str(where))
    return table


def _seconds_table(outcome: PipelineOutcome) -> Table:
    table = _table("Seconds by stage")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    for step, seconds in outcome.seconds.items():
        table.add_row(step, f"{seconds:.1f}")
    table.add_row("all", f"{sum(outcome.seconds.values()):.1f}")
    return table


def _leaderboard(settings: Settings) -> pd.DataFrame | None:
    path = settings.output / LEADERBOARD_PATH
    return pd.read_parquet(path) if path.exists() else None
