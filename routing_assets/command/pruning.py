"""The command that keeps house: models of no plan are marked, then deleted; old runs are forgotten.

Belongs here: what is looked at, and what is printed. Does not: which models and runs go (`training_assets.retirement`, `resources.retention`).
"""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from resources.instance import open_instance
from resources.output_lock import output_locked
from resources.retention import forget_runs, forgettable_runs
from routing_assets.command.commands import CommandResult
from routing_assets.command.options import settings_of
from routing_assets.command.refusals import UsageError
from training_assets.contracts import TrainingPlan
from training_assets.retirement import GLOBALS, REGISTER_FILE, judge_models, plans_of_tree, read_register, retire

N_LISTED = 20


def prune(arguments: argparse.Namespace) -> CommandResult:
    """Mark, delete and forget what its time is over for; with `--dry-run` say it and change nothing."""
    settings = settings_of(arguments)
    keeping, output, now = settings.load().resources, settings.output, datetime.now(UTC)
    if not output.is_dir():
        raise UsageError(f"{output} is not there; name the output folder of a run with --output-dir")
    with output_locked(output, "prune"), open_instance(output) as instance:
        register = output / GLOBALS / REGISTER_FILE
        keep = timedelta(days=keeping.keep_retired_days)
        models = judge_models(settings.models_root, _plans(output), read_register(register), now, keep)
        runs = forgettable_runs(instance, now - timedelta(days=keeping.keep_event_days))
        if not arguments.dry_run:
            retire(settings.models_root, register, models)
            forget_runs(instance, runs)
    verb = "would be " if arguments.dry_run else ""
    lines = [
        f"models    {len(models.newly)} {verb}marked retired, {len(models.returned)} planned again, {len(models.expired)} {verb}deleted "
        f"(resources.keep_retired_days: {keeping.keep_retired_days})",
        *(f"  retired {name}" for name in models.newly[:N_LISTED]),
        *(f"  deleted {name}" for name in models.expired[:N_LISTED]),
        f"runs      {len(runs)} {verb}forgotten (resources.keep_event_days: {keeping.keep_event_days})",
    ]
    document: dict[str, Any] = {
        "dry_run": arguments.dry_run,
        "marked": list(models.newly),
        "returned": list(models.returned),
        "deleted": list(models.expired),
        "runs": list(runs),
    }
    return CommandResult("\n".join(lines) + "\n", document)


def _plans(output: Path) -> list[TrainingPlan]:
    """Every plan that models of the output tree may stand on. Without any there is nothing to hold models against: refused."""
    plans = plans_of_tree(output)
    if not plans:
        raise UsageError(f"{output} has no training plan to hold its models against; make one with `switchyard plan`")
    return plans
