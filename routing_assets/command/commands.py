"""The commands that run something: run, plan, train, predict, validate, ui.

Belongs here: each command's steps in order. Does not: options (`command.options`), runs (`command.pipeline`), text (`command.summary`).
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from config.schema import Config
from config.stored import SETTINGS_FILE, read_stored
from resources.artifact_store import read_value, write_value
from resources.devices import check_device
from resources.instance import HOME_VARIABLE, end_abandoned_runs, instance_home, last_seconds, open_instance, written_workspace
from resources.market_data.sources import column_names, list_market_files, load_market_data
from resources.output_lock import OutputError, output_locked
from resources.settings import Settings
from routing_assets.assets import ROUTING_PLAN_PATH
from routing_assets.command.options import chosen, settings_of
from routing_assets.command.pipeline import Pipeline
from routing_assets.command.progress import Progress
from routing_assets.command.refusals import UsageError
from routing_assets.command.summary import run_document, run_text
from routing_assets.decisions.plan_documents import PlanError, read_routing_plan
from routing_assets.evidence.candidates_table import read_candidates
from routing_assets.plans.left_out import lines_not_in_data
from routing_assets.plans.training_plan import choose_families, filter_jobs
from routing_assets.plans.training_plan_files import find_training_plan, load_training_plan
from training_assets.contracts import Stage, TrainingJob, TrainingPlan
from training_assets.families.registry import FAMILIES
from training_assets.panel.alignment import align_bars
from training_assets.panel.targets.registry import refuse_unknown_names
from training_assets.plan_reader import with_families


@dataclass(frozen=True)
class CommandResult:
    """What a command says: text for people, the same as a document, lines of what did not succeed, the exit status."""

    text: str
    document: dict[str, Any]
    problems: tuple[str, ...] = ()
    status: int = field(default=0)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Plan, train what the plan says, report."""
    return _run(arguments, training=not arguments.skip_training)


def plan(arguments: argparse.Namespace) -> CommandResult:
    """Everything up to the training plan."""
    return _run(arguments, training=False)


def _run(arguments: argparse.Namespace, training: bool) -> CommandResult:
    settings = settings_of(arguments)
    config = checked_config(settings)
    if training:
        _check_device(config, config.training.families)
    files = list_market_files(config.data)  # refused before anything is run, where it is not there or holds no bars
    refuse_unknown_names(config.targets, column_names(files))
    with output_locked(settings.output, arguments.command), open_instance(settings.output) as instance:
        _remember(settings)
        end_abandoned_runs(instance, settings.output)
        pipeline = Pipeline(settings, instance, Progress(last_seconds(instance, settings.output)))
        pipeline.plan()
        made = load_training_plan(settings.plan_folder, allow_no_jobs=True)
        if training:
            pipeline.train(made.jobs)
            pipeline.report("report_routing")
    return _finished(settings, config, pipeline, made, trained=training)


def train(arguments: argparse.Namespace) -> CommandResult:
    """Train from a plan that is there; the options that name targets, symbols, families and types choose among its jobs."""
    settings = settings_of(arguments, filters_are_settings=False)
    config = checked_config(settings)
    list_market_files(config.data)
    output = settings.output
    if arguments.no_training_plan and arguments.training_plan_dir is not None:
        raise UsageError("--no-training-plan trains without the plan that --training-plan-dir names; leave one of them out")
    if not arguments.no_training_plan:
        folder = find_training_plan(output, arguments.training_plan_dir)
        jobs = _chosen_jobs(arguments, load_training_plan(folder))  # refused before anything is read or run
        _check_device(config, [name for job in jobs for name in with_families(job, tuple(chosen(arguments, "families"))).model_families])
        settings = settings.changed(training_plan_dir=str(folder))
    else:
        _check_device(config, chosen(arguments, "families") or config.training.families)
        settings = settings.changed(training_plan_dir=str(output / "globals" / "unrouted_plan"))
    from training_assets.prediction import jobs_without_models

    with output_locked(output, arguments.command), open_instance(output) as instance:
        end_abandoned_runs(instance, output)
        pipeline = Pipeline(settings, instance, Progress(last_seconds(instance, settings.output)))
        made, jobs = _prepared_jobs(arguments, settings, config, pipeline)
        if arguments.unfinished:
            jobs = jobs_without_models(jobs, settings.models_root, made.jobs)
        pipeline.train(jobs, chosen(arguments, "families"))
        pipeline.report("report_routing" if _routed_here(settings, made) else "report_models")
    return _finished(settings, config, pipeline, made, trained=True)


def _prepared_jobs(arguments: argparse.Namespace, settings: Settings, config: Config, pipeline: Pipeline) -> tuple[TrainingPlan, tuple[TrainingJob, ...]]:
    """The panel of the data in use, the audit of its leaks, the plan held against both, and its partitions in step."""
    from routing_assets.assets import AUDIT_PATH, SELECTION_PATH, read_table
    from routing_assets.plans.unrouted import write_unrouted_plan
    from training_assets.assets import PANEL_PATH
    from training_assets.leakage.lock import other_data
    from training_assets.panel.panel import Panel
    from training_assets.partitions import publish_plan

    pipeline.plan(["market_bars", "panel"])
    panel: Panel = read_value(settings.output / PANEL_PATH, Panel)
    # An audit that is there is refused here where it cannot be read, before any model is asked for; one of other data is made anew.
    there = (settings.output / AUDIT_PATH).exists() and other_data(read_table(settings, AUDIT_PATH), panel.data_hash) is None
    if arguments.no_training_plan or not there:
        pipeline.plan(["target_ranking", "feature_selection", "leakage_audit"])
    audit = read_table(settings, AUDIT_PATH)
    if arguments.no_training_plan:
        write_unrouted_plan(panel, read_table(settings, SELECTION_PATH), audit, config, settings.plan_folder)
    made = load_training_plan(settings.plan_folder, panel.data_hash)
    publish_plan(pipeline.instance, made, panel.symbols)
    return made, _chosen_jobs(arguments, made)


def _routed_here(settings: Settings, made: TrainingPlan) -> bool:
    """Whether the plan follows from the routing plan of this output folder, so that its routes can be held against the holdout."""
    try:
        return read_routing_plan(settings.output / ROUTING_PLAN_PATH).plan_id == str(made.metadata["routing_plan_id"])
    except PlanError:
        return False


def _chosen_jobs(arguments: argparse.Namespace, made: TrainingPlan) -> tuple[TrainingJob, ...]:
    """The plan's jobs that the filter options name; a name that the plan does not have is an error."""
    filters = {name: chosen(arguments, name) for name in ("targets", "symbols", "families", "routes")}
    return filter_jobs(made, **filters, model_types=arguments.model_types or "both")


def predict(arguments: argparse.Namespace) -> CommandResult:
    """Predict on the data in use with every model that serves the plan."""
    from training_assets.panel.build import build_panel
    from training_assets.panel.data_hash import data_hash
    from training_assets.prediction import missing_models, predict_plan

    settings = settings_of(arguments, filters_are_settings=False)
    config = checked_config(settings)
    made = load_training_plan(find_training_plan(settings.output, arguments.training_plan_dir))
    jobs = _chosen_jobs(arguments, made)
    data = load_market_data(config.data)
    alignment = align_bars(data.frames, config.data, config.targets, data.interval_minutes)
    panel = build_panel(alignment.bars, config, data_hash(alignment.bars)).panel
    frame, unusable = predict_plan(panel, settings.models_root, jobs, not arguments.all_bars, arguments.experimental, made.jobs)
    path = arguments.predictions_file or settings.output / "predictions.parquet"
    _write_predictions(path, frame)
    problems = [f"data: {problem}" for problem in (*data.problems, *alignment.problems)]
    problems += list(unusable.values())
    missing = [folder for folder in missing_models(jobs, settings.models_root, arguments.experimental, made.jobs) if folder not in unusable]
    problems += [f"no model at {folder}; train it with `switchyard train`" for folder in missing]
    text = f"{len(frame):,} predictions of {frame['model_id'].nunique():,} models for {frame['symbol'].nunique():,} symbols\nwritten to {path}\n"
    document = {"n_predictions": len(frame), "path": str(path), "problems": problems}
    return CommandResult(text, document, tuple(problems), 1 if problems else 0)


def _write_predictions(path: Path, frame: pd.DataFrame) -> None:
    if path.exists() and not path.is_file():  # a device or a pipe would be replaced by a file
        raise OutputError(f"{path} cannot be written: it is no file; name another with --predictions-file")
    try:
        write_value(path, frame)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}; name another file with --predictions-file") from None


def validate(arguments: argparse.Namespace) -> CommandResult:
    """Check configuration and data without running anything: the bars, and which features and targets they would give."""
    from training_assets.panel.build import outline_panel

    settings = settings_of(arguments)
    config = checked_config(settings)
    data = load_market_data(config.data)
    alignment = align_bars(data.frames, config.data, config.targets, data.interval_minutes)
    outline = outline_panel(alignment.bars, config)
    problems = tuple(f"data: {problem}" for problem in (*data.problems, *alignment.problems))
    notes = (*alignment.report.notes, *outline.notes.lines())
    targets = [info.name for info in outline.target_infos]
    lines = ["configuration: valid", f"source: {data.describe()}", f"bars: {alignment.report.describe()}"]
    lines += [f"features: {len(outline.feature_names)}", f"targets: {', '.join(targets)}", *(f"note: {note}" for note in notes)]
    document = {"symbols": list(alignment.bars.symbols), "n_bars": alignment.bars.n_rows, "features": list(outline.feature_names), "targets": targets}
    return CommandResult("\n".join(lines) + "\n", {**document, "problems": list(problems), "notes": list(notes)}, problems, 1 if problems else 0)


def ui(arguments: argparse.Namespace) -> CommandResult:
    """Serve the Dagster UI on 127.0.0.1 until it is interrupted, under the options given, else under those of the output folder's last run."""
    settings = settings_of(arguments)
    told_nothing = settings.values_json == "{}" and not settings.overrides and settings.config_dir is None
    if told_nothing and (stored := read_stored(settings.output)) is not None:
        settings = Settings(**stored.model_dump()).changed(output_dir=settings.output_dir)
    checked_config(settings)
    home = instance_home(settings.output)
    with open_instance(settings.output):
        pass  # made here with its settings, where there was none
    sys.stderr.write(f"Dagster UI at http://127.0.0.1:{arguments.port}, output {settings.output.resolve()}; Ctrl-C ends it\n")
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(arguments.port), "-w", str(written_workspace(settings.output))]
    status = subprocess.call(command, env={**os.environ, **settings.environment(), HOME_VARIABLE: str(home)})
    return CommandResult("", {"status": status}, (), 0 if status in (0, 130, -2) else 1)


def checked_config(settings: Settings) -> Config:
    """The configuration, its family names held against the registry before anything runs."""
    config = settings.load()
    choose_families(FAMILIES.values(), config.training.families)
    if settings.candidates_file is not None:
        read_candidates(settings.candidates_path)  # refused before anything is read or run
    return config


def _check_device(config: Config, families: Sequence[str]) -> None:
    """Refuse a device that is required and not there before anything is run, where a family of the GPU stage is to train. Raises DeviceError."""
    if any(family.stage is Stage.GPU for family in choose_families(FAMILIES.values(), families)):
        check_device(config.training.require_device)


def _remember(settings: Settings) -> None:
    """Leave the settings in the output folder, so that `switchyard ui` shows and materializes under the same ones, wherever it is started."""
    from resources.files import write_atomically

    write_atomically(settings.output / SETTINGS_FILE, settings.anywhere().model_dump_json(indent=2) + "\n")


def _finished(settings: Settings, config: Config, pipeline: Pipeline, made: TrainingPlan, trained: bool) -> CommandResult:
    problems = tuple(dict.fromkeys([*pipeline.outcome.failures, *lines_not_in_data(made.summary)]))
    text = run_text(settings, made, pipeline.outcome, trained)
    return CommandResult(text, run_document(settings, made, pipeline.outcome, trained, problems), problems, 1 if problems else 0)
